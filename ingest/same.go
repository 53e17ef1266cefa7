package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/replay/replay/traces"
)

// once leaves out inputs that are the same file as one before, or a copy of it, and
// tells of them: their events would count twice.
func once(paths []string) (kept, warnings []string) {
	for _, path := range paths {
		i := 0
		for i < len(kept) && !same(kept[i], path) {
			i++
		}
		if i < len(kept) {
			warnings = append(warnings, fmt.Sprintf("%s has the same content as %s and is read once", path, kept[i]))
			continue
		}
		kept = append(kept, path)
	}
	return kept, warnings
}

// same reports whether two files have the same content. Files that cannot be read are
// no copies; opening them as inputs says why.
func same(a, b string) bool {
	if a == "-" || b == "-" {
		return a == b
	}
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	if errX != nil || errY != nil {
		return false
	}
	if os.SameFile(x, y) {
		return true
	}
	if !x.Mode().IsRegular() || !y.Mode().IsRegular() || x.Size() != y.Size() || x.Size() == 0 {
		return false
	}
	f, err := os.Open(a)
	if err != nil {
		return false
	}
	defer f.Close()
	g, err := os.Open(b)
	if err != nil {
		return false
	}
	defer g.Close()
	return equal(f, g)
}

func equal(a, b io.Reader) bool {
	x, y := make([]byte, sniffed), make([]byte, sniffed)
	for {
		n, errX := io.ReadFull(a, x)
		m, errY := io.ReadFull(b, y)
		if !bytes.Equal(x[:n], y[:m]) {
			return false
		}
		if errX != nil || errY != nil {
			ended := func(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
			return ended(errX) && ended(errY)
		}
	}
}

// warned is a Stream with warnings of its own.
type warned struct {
	Stream
	warnings []string
}

// Meta is part of traces.Stream.
func (w *warned) Meta() traces.Meta {
	m := w.Stream.Meta()
	m.Warnings = append(w.warnings[:len(w.warnings):len(w.warnings)], m.Warnings...)
	return m
}
