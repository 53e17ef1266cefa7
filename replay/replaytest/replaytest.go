// Package replaytest has traces and a machine for the tests of the packages that replay
// them.
package replaytest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/traces"
)

// Machine is the built-in profile that stands for no machine in particular.
func Machine(t testing.TB) *machines.Profile {
	t.Helper()
	p, err := machines.Load(machines.Generic)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Stored is a trace of the corpus, perhaps changed on the way.
type Stored struct {
	*traces.File
	path   string
	Change func(*traces.Event) bool // false: the row is left out
}

// Corpus opens a trace of traces/corpus. The test closes it.
func Corpus(t testing.TB, name string) *Stored {
	t.Helper()
	folder := "traces/corpus"
	for up := 0; up < 4; up++ { // the package of the test is somewhere below the module's root
		if _, err := os.Stat(folder); err == nil {
			break
		}
		folder = filepath.Join("..", folder)
	}
	path := filepath.Join(folder, name+".parquet")
	f, err := traces.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &Stored{File: f, path: path}
}

// Path is part of timeline.Trace.
func (s *Stored) Path() string { return s.path }

// SHA256 is part of timeline.Trace.
func (s *Stored) SHA256() string { return "" }

// Stream is part of timeline.Trace.
func (s *Stored) Stream(c traces.Columns) (traces.Stream, error) {
	r, err := s.Events(c)
	if err != nil || s.Change == nil {
		return r, err
	}
	// What is changed may depend on columns that were not asked for.
	r.Close()
	r, err = s.Events(traces.AllColumns)
	return &changed{r, s.Change}, err
}

type changed struct {
	traces.Stream
	change func(*traces.Event) bool
}

func (c *changed) Next(ev *traces.Event) error {
	for {
		if err := c.Stream.Next(ev); err != nil || c.change(ev) {
			return err
		}
	}
}

// Rows are all rows of the trace.
func (s *Stored) Rows(t testing.TB) []traces.Event {
	t.Helper()
	stream, err := s.Stream(traces.AllColumns)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.(io.Closer).Close()
	var all []traces.Event
	for {
		var ev traces.Event
		if err := stream.Next(&ev); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, ev)
	}
}

// Begin is a trace of the first n rows of a corpus trace, where many replays are compared.
func Begin(t testing.TB, name string, n int) *Memory {
	t.Helper()
	s := Corpus(t, name)
	return &Memory{s.Meta(), s.Rows(t)[:n]}
}

// Memory is a trace of rows that are at hand.
type Memory struct {
	Of   traces.Meta
	List []traces.Event
}

// Made is a trace of rows of two CPUs.
func Made(rows []traces.Event) *Memory {
	return &Memory{traces.Meta{Schema: traces.Schema, CPUs: 2}, rows}
}

// Path is part of timeline.Trace.
func (m *Memory) Path() string { return "made" }

// SHA256 is part of timeline.Trace.
func (m *Memory) SHA256() string { return "" }

// Meta is part of timeline.Trace.
func (m *Memory) Meta() traces.Meta { return m.Of }

// Stream is part of timeline.Trace.
func (m *Memory) Stream(traces.Columns) (traces.Stream, error) {
	return &memoryStream{m.Of, m.List}, nil
}

type memoryStream struct {
	meta traces.Meta
	left []traces.Event
}

func (s *memoryStream) Meta() traces.Meta { return s.meta }

func (s *memoryStream) Next(ev *traces.Event) error {
	if len(s.left) == 0 {
		return io.EOF
	}
	*ev, s.left = s.left[0], s.left[1:]
	return nil
}
