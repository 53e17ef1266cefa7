package perfdata

import (
	"os"
	"path/filepath"
	"testing"
)

// What a mapped file gives back it still has: records wait there to be put in order.
func TestMappedFileStays(t *testing.T) {
	const size, step = behind + 3*behindStep, 1 << 20
	path := filepath.Join(t.TempDir(), "data")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := int64(0); at < size; at += step { // the rest is a hole
		if _, err := f.WriteAt([]byte{byte(1 + at/step)}, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	s := newFileSource(f, 0, size)
	defer s.close()
	if !s.mapped {
		t.Skip("files cannot be mapped here")
	}
	for at := 0; at < size; at += step {
		if b := s.peek(1); len(b) != 1 || b[0] != byte(1+at/step) {
			t.Fatalf("%v at %d", b, at)
		}
		s.take(step)
		for back := 0; back <= at; back += step {
			if s.buf[back] != byte(1+back/step) {
				t.Fatalf("at %d there is %d at %d", at, s.buf[back], back)
			}
		}
	}
	if s.kept != 3*behindStep || s.pos != size || len(s.peek(1)) != 0 {
		t.Errorf("%d bytes are given back, at %d of %d", s.kept, s.pos, size)
	}
}
