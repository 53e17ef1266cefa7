package bpftrace

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/lines"
	"github.com/replay/replay/traces"
)

// checkParser reads to the end and checks what any input must hold: the end is
// reached, every error is of a line, and every row is one that the store takes.
func checkParser(t *testing.T, p *Parser, size int) {
	for n := 0; ; n++ {
		if n > 2*size+10 {
			t.Fatalf("%d records of %d bytes", n, size)
		}
		var r assemble.Record
		used, err := p.Next(&r)
		if errors.Is(err, io.EOF) {
			return
		}
		var bad *lines.Error
		switch {
		case err != nil && (used || !errors.As(err, &bad) || bad.Line < 1):
			t.Fatalf("%v, used %v", err, used)
		case err != nil || !used:
			continue
		}
		if _, err := traces.ParseKind(r.Kind.String()); err != nil {
			t.Fatal(err)
		}
		if r.Got(traces.ColCPU) && (r.CPU < 0 || r.CPU >= cpuMax) || r.PID < 0 || r.TID < 0 || r.Time > timeMax {
			t.Fatalf("%s", traces.FormatText(&r.Event))
		}
		if p.Position() > int64(size) {
			t.Fatalf("at %d of %d bytes", p.Position(), size)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, line := range strings.SplitAfter(sample, "\n") {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkParser(t, New(bufio.NewReaderSize(strings.NewReader(text), bufferBytes), "fuzz", nil), len(text))
	})
}

func FuzzJSON(f *testing.F) {
	for _, line := range strings.SplitAfter(asJSON(sample), "\n") {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkParser(t, NewJSON(bufio.NewReaderSize(strings.NewReader(text), bufferBytes), "fuzz", nil), len(text))
	})
}

// The text of documents is the text that was printed: what is a row in one is a row
// in the other.
func FuzzJSONEqualsText(f *testing.F) {
	f.Add(hit)
	f.Add(sample)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > bufferBytes/8 || strings.ContainsAny(text, "\r\x00{\ufffd") || strings.ToValidUTF8(text, "") != text {
			t.Skip("not as it is, or longer, in JSON")
		}
		_, want, bad := parseText(text, nil)
		got, worse := parse(NewJSON(bufio.NewReaderSize(strings.NewReader(asJSON(text)), bufferBytes), "fuzz", nil))
		if len(got) != len(want) || len(bad) != len(worse) {
			t.Fatalf("%d rows and %d errors in JSON, %d and %d in text", len(got), len(worse), len(want), len(bad))
		}
	})
}

func FuzzStderr(f *testing.F) {
	f.Add("Attaching 2 probes...\nLost 5 events\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadStderr(bufio.NewReaderSize(strings.NewReader(text), bufferBytes), "fuzz")
		if (s == nil) == (err == nil) {
			t.Fatalf("%v, %v", s, err)
		}
		if s != nil && (s.Lost < 0 || len(s.Said) > saidMax) {
			t.Fatalf("%+v", s)
		}
	})
}

func FuzzFormat(f *testing.F) {
	examples, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range examples {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b), "1 2 3")
	}
	f.Fuzz(func(t *testing.T, spec, text string) {
		format, err := ParseFormat([]byte(spec), "fuzz")
		if (format == nil) == (err == nil) || err != nil && !errors.Is(err, ErrFormat) {
			t.Fatalf("%v, %v", format, err)
		}
		if format != nil {
			checkParser(t, New(bufio.NewReaderSize(strings.NewReader(text), bufferBytes), "fuzz", format), len(text))
		}
	})
}
