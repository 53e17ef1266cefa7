package ingest

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/replay/replay/ingest/perfdata"
)

// perfPart is one of the files of a recording. perf record --threads -o FOLDER writes
// FOLDER/data, with the header, and FOLDER/data.0 and so on, one per buffer and each in
// order. They are read as far as one another, so that few records wait.
type perfPart struct {
	r      *perfdata.Reader
	file   io.Closer // nil for the first, which is the input's
	newest int64     // ns
	ended  bool
	mapped int // its number among the queue's files, from 1; 0: it is not mapped
}

// share lets records wait in the file itself, where it is mapped.
func (p *perfPart) share(q *perfQueue) {
	if m := p.r.Mapped(); m != nil {
		q.files = append(q.files, m)
		p.mapped = len(q.files)
	}
}

// number says in which of the queue's files the record is that was read last.
func (p *perfPart) number() int {
	if !p.r.InFile() {
		return 0
	}
	return p.mapped
}

// openParts opens the files beside that with the header.
func (s *perfStream) openParts() error {
	if s.in.file == nil {
		return fmt.Errorf("%s: it is one file of a folder that perf record --threads wrote: give the folder", s.in.path)
	}
	for i := 0; ; i++ {
		path := fmt.Sprintf("%s.%d", s.in.path, i)
		f, err := os.Open(path)
		if os.IsNotExist(err) && i > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("open a part of what perf record --threads wrote (give the whole folder): %w", err)
		}
		s.parts = append(s.parts, perfPart{file: f, newest: math.MinInt64})
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("open input: %w", err)
		}
		s.parts[len(s.parts)-1].r = s.r.Part(f, info.Size(), path)
		s.in.size += info.Size()
	}
}

// part is the file to read on in, nil when all are read: the one that is least far.
func (s *perfStream) part() *perfPart {
	var least *perfPart
	for i := range s.parts {
		if p := &s.parts[i]; !p.ended && (least == nil || p.newest < least.newest) {
			least = p
		}
	}
	return least
}

// advanceParts tells the queue how far all parts are read: none has rounds.
func (s *perfStream) advanceParts() {
	if part := s.part(); len(s.parts) > 1 && part != nil {
		s.complete(part.newest)
	}
}

// position is how many bytes are read.
func (s *perfStream) position() (n int64) {
	for i := range s.parts {
		n += s.parts[i].r.Position()
	}
	return n
}

func (s *perfStream) closeParts() {
	for _, p := range s.parts {
		if p.r != nil {
			p.r.Close()
		}
		if p.file != nil {
			p.file.Close()
		}
	}
}

// IsPerfFolder reports whether path is a folder that perf record wrote, an input like a
// file of it.
func IsPerfFolder(path string) bool { return perfFolder(path) != "" }

// perfFolder returns the file with the header in a folder that perf record wrote with
// --threads or --kcore, "" when it is none.
func perfFolder(folder string) string {
	path := filepath.Join(folder, "data")
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	magic := make([]byte, 8)
	if _, err := io.ReadFull(f, magic); err != nil || !isPerfData(magic) {
		return ""
	}
	return path
}
