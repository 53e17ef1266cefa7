package ingest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/lines"
	"github.com/replay/replay/ingest/perfscript"
	"github.com/replay/replay/traces"
)

// findProcesses reads texts that name threads alone once, for what tells their
// processes. Of a thread that may be known at its last line only.
func findProcesses(ctx context.Context, texts []*scriptStream) error {
	p := assemble.NewProcesses()
	asm := assemble.New(assemble.Options{}) // for its records
	parsers := make([]*perfscript.Parser, len(texts))
	heads := make([]*assemble.Record, len(texts))
	for i, s := range texts {
		whole := io.NewSectionReader(s.in.file, 0, math.MaxInt64)
		parsers[i] = perfscript.New(bufio.NewReaderSize(whole, sniffed), s.in.path)
		heads[i] = nextUsed(parsers[i], asm)
	}
	for n := 1; ; n++ {
		least := -1
		for i, r := range heads {
			if r != nil && (least < 0 || r.Time < heads[least].Time) {
				least = i
			}
		}
		if least < 0 {
			break
		}
		p.Note(heads[least])
		asm.Release(heads[least])
		heads[least] = nextUsed(parsers[least], asm)
		if n%advanceEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	p.Settle()
	for i, s := range texts {
		*s.processes = *p
		s.silent = i > 0
	}
	return nil
}

// findShared finds the processes of all texts among inputs that name threads alone.
func findShared(inputs []recordStream) error {
	var texts []*scriptStream
	for _, i := range inputs {
		if s, ok := i.(*scriptStream); ok && s.processes != nil {
			texts = append(texts, s)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return findProcesses(texts[0].ctx, texts)
}

// firstExec finds when the exec that a recording begins with replaced the address space,
// in what decided on the format. Its own line comes at its end.
func firstExec(in *input) *assemble.Processes {
	p, asm := assemble.NewProcesses(), assemble.New(assemble.Options{})
	parser := perfscript.New(bufio.NewReaderSize(bytes.NewReader(in.prefix), sniffed), in.path)
	for r := nextUsed(parser, asm); r != nil; r = nextUsed(parser, asm) {
		p.Note(r)
		asm.Release(r)
	}
	p.Settle()
	return p.ExecsAlone()
}

// nextUsed is the next record that makes a row, nil at the end. Whoever reads the text
// for its rows meets its errors.
func nextUsed(p *perfscript.Parser, asm *assemble.Assembler) *assemble.Record {
	for {
		r := asm.Record()
		used, err := p.Next(r)
		if used && err == nil {
			return r
		}
		asm.Release(r)
		var bad *lines.Error
		if err != nil && !errors.As(err, &bad) {
			return nil
		}
	}
}

// spool puts an input that cannot be read twice into a file, which has no name.
func (in *input) spool(ctx context.Context) error {
	if in.file != nil && !in.inflated {
		if info, err := in.file.Stat(); err == nil && info.Mode().IsRegular() {
			return nil
		}
	}
	f, err := os.CreateTemp("", "replay-*.txt")
	if err != nil {
		return fmt.Errorf("%s: its lines name no process, and it has to be read twice: %w", in.path, err)
	}
	os.Remove(f.Name())
	_, err = io.Copy(f, &whileWanted{ctx, in.reader})
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("%s: its lines name no process, and it has to be read twice: keep it in %s: %w", in.path, os.TempDir(), err)
	}
	in.close()
	in.file, in.inflated = f, false
	in.reader.Reset(f)
	return nil
}

// whileWanted is a Reader until its context ends.
type whileWanted struct {
	ctx context.Context
	io.Reader
}

func (r *whileWanted) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(b)
}

// namesProcesses is how perf script prints what tells processes, whose address spaces
// they share, and the rest that is used. -F +pid alone leaves the callchains out.
const namesProcesses = "perf script --ns --show-task-events --show-lost-events -F comm,pid,tid,cpu,time,event,trace,ip,sym,symoff,dso (-F +pid alone leaves the callchains out)"

// told is what there is to say of an input.
type told struct {
	warnings []string
	unknown  []traces.Unknown
}

// noThreads says that lines name no thread either.
func noThreads(n int64) traces.Unknown {
	return traces.Unknown{What: traces.UnknownProcesses, Why: fmt.Sprintf("%d lines name neither process nor thread", n), Remedy: namesProcesses}
}

// processesTold says how far the processes of a text that does not name them are known.
func processesTold(p *assemble.Processes) told {
	var t told
	all, found, unknown := p.Threads()
	if found > 0 {
		t.warnings = append(t.warnings, fmt.Sprintf("the text names no processes: those of %d threads were found by exec, by the mm that they lock and by who was the last to exit, and where none of that names one it has the lowest id of its threads; print with %s", found, namesProcesses))
	}
	if unknown > 0 && all > 1 {
		t.unknown = append(t.unknown, traces.Unknown{
			What: traces.UnknownProcesses, Why: fmt.Sprintf("the text names no processes, and nothing in it tells whose %d of %d threads are", unknown, all),
			Remedy: namesProcesses,
		})
	}
	return t
}
