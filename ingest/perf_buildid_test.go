package ingest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/replay/replay/ingest/perfdata"
	"github.com/replay/replay/ingest/symbols"
)

// The build id that perf found by a file's name is of the file that had the name at the end.
// Where that was recorded, it is seen whether it is the one that was mapped.
func TestBuildIDOfReplacedFile(t *testing.T) {
	libraries, _ := filepath.Glob("/usr/lib/*-linux-gnu*/libc.so.6")
	if len(libraries) == 0 {
		t.Skip("no C library")
	}
	data, err := os.ReadFile(libraries[0])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "lib.so")
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	stat := func(name string) *syscall.Stat_t {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t)
	}
	here, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	now, id := stat(path), symbols.BuildID(path)
	if id == "" {
		t.Skip("the C library has no build id")
	}
	major, minor := uint32(now.Dev>>8)&0xfff|uint32(now.Dev>>32)&^0xfff, uint32(now.Dev&0xff)|uint32(now.Dev>>12)&^0xff
	if device(major, minor) != uint64(now.Dev) {
		t.Fatalf("device %d:%d is not %#x", major, minor, now.Dev)
	}
	const another = "00112233"
	for _, c := range []struct {
		name        string
		host, found string
		inode       uint64
		minor       uint32
		want        string
	}{
		{"the file that was mapped", here, id, now.Ino, minor, id},
		{"built anew while it was recorded", here, id, now.Ino + 1, minor, ""},
		{"built anew since", here, another, now.Ino + 1, minor, another},
		{"of another machine", here + "x", id, now.Ino + 1, minor, id},
		{"of a file system whose numbers are not those of stat", here, id, now.Ino + 1, minor + 1, id},
		{"of which no inode was recorded", here, id, 0, 0, id},
	} {
		var r replacedFiles
		info := &perfdata.Info{Host: c.host, BuildIDs: map[string]string{path: c.found}}
		m := &perfdata.Mapping{File: path, Inode: c.inode, Major: major, Minor: c.minor}
		for range 2 {
			if got := r.foundID(info, m); got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
	}
	var r replacedFiles
	if got := r.foundID(&perfdata.Info{Host: here, BuildIDs: map[string]string{"/gone": id}}, &perfdata.Mapping{File: "/gone", Inode: 5}); got != id {
		t.Errorf("of a file that is gone: %q", got)
	}
}
