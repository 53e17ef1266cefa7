package ingest

import (
	"context"
	"fmt"

	"github.com/replay/replay/traces"
)

// storedStream reads a trace that is in the store already, in order to merge it
// with others.
type storedStream struct {
	traces.Stream
	file *traces.File
}

func openStored(_ context.Context, in *input) (Stream, error) {
	if in.file == nil {
		return nil, fmt.Errorf("a Parquet file cannot be read from standard input: give its path")
	}
	f, err := traces.Open(in.path)
	if err != nil {
		return nil, err
	}
	in.close()
	events, err := f.Events(traces.AllColumns)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &storedStream{events, f}, nil
}

// Close is part of Stream.
func (s *storedStream) Close() error { return s.file.Close() }

// textStream reads the text twin of the store.
type textStream struct {
	*traces.TextReader
	in    *input
	traps traces.Traps
}

func openText(_ context.Context, in *input) (Stream, error) {
	return &textStream{TextReader: traces.NewTextReader(in.reader, in.path), in: in}, nil
}

// Next is part of traces.Stream. Where rows do not say that they share a trap, as in
// text that people write, it is found.
func (s *textStream) Next(ev *traces.Event) error {
	err := s.TextReader.Next(ev)
	if err == nil {
		s.traps.Join(ev, 0, false)
	}
	return err
}

// Close is part of Stream.
func (s *textStream) Close() error {
	s.in.close()
	return nil
}
