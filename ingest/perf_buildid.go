package ingest

import (
	"os"
	"syscall"

	"github.com/replay/replay/ingest/perfdata"
	"github.com/replay/replay/ingest/symbols"
)

// replacedFiles are those that another has the name of by now, by name. Where a mapping does
// not tell its file's build id, perf reads it at the end of the recording, from the file that
// has the name then (perf_session__read_build_ids): of one that was built anew meanwhile,
// that is the id of the new one.
type replacedFiles map[string]*fileNow

// fileNow is a file as it is on this machine.
type fileNow struct {
	dev, inode uint64
	buildID    string
}

// foundID is the build id that perf found for the file of a mapping, "" where it is another's,
// as is known where it was recorded: the file that has the name has that id and is not the one
// that was mapped. One that was replaced later has another id.
func (r *replacedFiles) foundID(info *perfdata.Info, m *perfdata.Mapping) string {
	id := info.BuildIDs[m.File]
	if id == "" || m.Inode == 0 {
		return id
	}
	now := (*r)[m.File]
	if now == nil {
		if *r == nil {
			*r = replacedFiles{}
		}
		now = &fileNow{} // another machine's
		if host, err := os.Hostname(); err == nil && host == info.Host {
			now = readFileNow(m.File)
		}
		(*r)[m.File] = now
	}
	if now.buildID == id && now.inode != m.Inode && now.dev == device(m.Major, m.Minor) {
		return ""
	}
	return id
}

func readFileNow(name string) *fileNow {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return &fileNow{}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return &fileNow{}
	}
	return &fileNow{dev: uint64(stat.Dev), inode: stat.Ino, buildID: symbols.BuildID(name)}
}

// device is a device's number as stat tells it (gnu_dev_makedev).
func device(major, minor uint32) uint64 {
	return uint64(major&0xfff)<<8 | uint64(major&^0xfff)<<32 | uint64(minor&0xff) | uint64(minor&^0xff)<<12
}
