package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/cmd/replay/heap"
	"github.com/replay/replay/ingest"
	"github.com/replay/replay/ingest/bpftrace"
	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/reports"
	"github.com/replay/replay/traces"
)

// openTrace is a trace in the store, opened for reading: it is a timeline.Trace.
type openTrace struct {
	path  string
	sha   string // "" where nobody asked for it
	file  *traces.File
	aside string // a temporary folder to remove on Close, of a raw capture
	kept  bool   // it was made of a raw capture, to be kept
	warn  func(format string, args ...any)
}

func (t *openTrace) Path() string      { return t.path }
func (t *openTrace) SHA256() string    { return t.sha }
func (t *openTrace) Meta() traces.Meta { return t.file.Meta() }

func (t *openTrace) Stream(columns traces.Columns) (traces.Stream, error) {
	return t.file.Events(columns)
}

// Survey is part of timeline.Surveyed. One that is damaged is no reason to give up: it
// can be made anew.
func (t *openTrace) Survey() *timeline.Survey {
	text, ok := t.file.Attached(timeline.SurveyKey)
	if !ok {
		return nil
	}
	survey, err := timeline.ReadKept(text, t.Meta(), t.file.NumRows())
	if err != nil {
		t.warn("warning: %s: %v; it is made anew, as it is by replay ingest", t.path, err)
	}
	return survey
}

// Close releases the trace.
func (t *openTrace) Close() error {
	var errs [2]error
	if t.file != nil {
		errs[0] = t.file.Close()
	}
	if t.aside != "" {
		errs[1] = os.RemoveAll(t.aside)
	}
	return errors.Join(errs[:]...)
}

// ingestFlags are those of commands that take raw captures.
var ingestFlags = []cli.Flag{
	&cli.StringFlag{Name: "format", Value: "auto", Usage: "`FORMAT` of the input: " + ingest.FormatList()},
	&cli.StringFlag{Name: "on-bad-record", Value: "fail", Usage: "`WHAT` to do with a record that makes no sense: fail or skip"},
	&cli.BoolFlag{Name: "inlines", Usage: "name inlined functions in user stacks; reads all DWARF of the programs"},
	&cli.StringFlag{Name: "kallsyms", Usage: "`FILE` like /proc/kallsyms of the recorded kernel, to name kernel frames"},
	&cli.StringFlag{Name: "bpftrace-format", Usage: "what the lines of a bpftrace script of your own mean: `FILE` in YAML, or such text itself"},
	&cli.StringFlag{Name: "arrive-arg", Usage: "`ARGUMENT` of perf's probes that holds the time just before the trap, in ns of CLOCK_MONOTONIC: arrivals of hits are taken from it"},
	&cli.StringFlag{Name: "stderr", Usage: "`FILE` that bpftrace's standard error went to: losses in it are counted"},
	&cli.StringFlag{Name: "max-loss", Usage: "exit 4 when more than `N` events were lost; 0.01 or 1% is a share of them"},
}

func (e *env) ingestOptions(c *cli.Context) (ingest.Options, error) {
	o := ingest.Options{
		Format: c.String("format"), Kallsyms: c.String("kallsyms"),
		Inlines: c.Bool("inlines"), Stdin: e.stdin, Stderr: c.String("stderr"), ArriveArg: c.String("arrive-arg"),
	}
	if names := strings.Split(ingest.FormatList(), ", "); !slices.Contains(names, o.Format) {
		return o, usage("--format %q: want one of %s", o.Format, ingest.FormatList())
	}
	switch c.String("on-bad-record") {
	case "fail":
	case "skip":
		o.SkipBad = true
	default:
		return o, usage("--on-bad-record %q: want fail or skip", c.String("on-bad-record"))
	}
	var err error
	if given := c.String("bpftrace-format"); given != "" {
		o.Bpftrace, err = bpftraceFormat(given)
	}
	return o, err
}

// formatBytesMax bounds the description of a format.
const formatBytesMax = 1 << 20

// bpftraceFormat reads the description of lines from a file, or is given it.
func bpftraceFormat(given string) (*bpftrace.Format, error) {
	text, name := []byte(given), "--bpftrace-format"
	if !strings.Contains(given, "line:") {
		f, err := os.Open(given)
		if err != nil {
			return nil, fmt.Errorf("--bpftrace-format: %w; want a file, or a format with a line: in it", err)
		}
		defer f.Close()
		name = given
		if text, err = io.ReadAll(io.LimitReader(f, formatBytesMax)); err != nil {
			return nil, err
		}
	}
	format, err := bpftrace.ParseFormat(text, name)
	if err != nil {
		return nil, usage("%w", err)
	}
	return format, nil
}

// open opens a trace of the store. Of a raw capture it makes one: under the name that
// it is to be kept by, or where that is "" a temporary one.
func (e *env) open(c *cli.Context, path, keep string) (*openTrace, error) {
	t := &openTrace{path: path, warn: func(format string, args ...any) { e.remark(c, format, args...) }}
	if err := e.openInto(c, t, keep); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (e *env) openInto(c *cli.Context, t *openTrace, keep string) error {
	o, err := e.ingestOptions(c)
	if err != nil {
		return err
	}
	stored, err := isStored(t.path)
	if err != nil {
		return err
	}
	name := t.path
	if !stored {
		if name = keep; name == "" {
			if t.aside, err = os.MkdirTemp("", "replay-"); err != nil {
				return err
			}
			name = filepath.Join(t.aside, reports.TraceFile)
			e.detail(c, "ingesting %s into %s, for this once", t.path, name)
		} else {
			e.detail(c, "ingesting %s into a trace that is kept with the reports", t.path)
			t.kept = true
		}
		o.Progress = e.progress(c, reading)
		if _, err := e.store(c.Context, []string{t.path}, o, name, false, nil); errors.Is(err, syscall.ENOSPC) && keep == "" {
			return fmt.Errorf("%w; a trace of the capture is made there: set TMPDIR to a folder with space, or keep it with replay ingest -o", err)
		} else if errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("the trace of %s, which is kept with the reports: %w; choose a folder with space with -o, or do without it with --no-trace", t.path, syscall.ENOSPC)
		} else if err != nil {
			return err
		}
		heap.Reuse()
	}
	if t.file, err = traces.Open(name); err != nil {
		return badInput(err)
	}
	return nil
}

// openHashed opens a trace for a report that says which one it is of.
func (e *env) openHashed(c *cli.Context, path, keep string) (*openTrace, error) {
	if path == "-" {
		return e.open(c, path, keep)
	}
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel()
	var sha string
	var failed error
	done := make(chan struct{})
	go func() { // while a capture is ingested
		defer close(done)
		sha, failed = hashFile(ctx, path)
	}()
	t, err := e.open(c, path, keep)
	if err != nil {
		return nil, err
	}
	<-done
	if failed != nil {
		t.Close()
		return nil, failed
	}
	t.sha = sha
	return t, nil
}

// named says which trace lacks what a replay needs. Other errors say it themselves.
func named(path string, err error) error {
	if errors.Is(err, replay.ErrNoHits) {
		return fmt.Errorf("%s: %w: did the program come to the probe? See replay info for what was recorded", path, err)
	}
	if errors.Is(err, fit.ErrNoLocks) {
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}

// isStored reports whether the file is a trace of the store.
func isStored(path string) (bool, error) {
	if path == "-" {
		return false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("open trace: %w", err)
	}
	defer f.Close()
	if isOtherFolder(path) {
		return false, usage("%s is a folder: want a trace or a capture", path)
	}
	prefix := make([]byte, 4)
	n, _ := io.ReadFull(f, prefix)
	return traces.IsParquet(prefix[:n]), nil
}

// store writes what the inputs hold into a trace, aside and then in its place, with the
// survey that a replay begins with. It counts the events, unless count is nil.
func (e *env) store(ctx context.Context, inputs []string, o ingest.Options, name string, force bool, count *reports.InfoCounter) (traces.Meta, error) {
	stream, err := openInputs(ctx, inputs, o)
	if err != nil {
		return traces.Meta{}, err
	}
	defer stream.Close()
	w, err := create(name, force)
	if err != nil {
		return traces.Meta{}, err
	}
	defer w.Abort()
	survey := timeline.NewSurveyor()
	write := func(ev *traces.Event) error {
		if count != nil {
			if err := count.Add(ev); err != nil {
				return err
			}
		}
		if err := w.Write(ev); err != nil {
			return err
		}
		survey.Add(ev) // with its number in the trace
		return nil
	}
	if err := each(ctx, stream, write); err != nil {
		return traces.Meta{}, err
	}
	meta := stream.Meta()
	if text := survey.Finish(meta).Keep(meta); text != "" {
		w.Attach(timeline.SurveyKey, text)
	}
	return meta, w.Commit(meta)
}

// openInputs opens captures and traces as one stream of rows.
func openInputs(ctx context.Context, inputs []string, o ingest.Options) (ingest.Stream, error) {
	if i := slices.IndexFunc(inputs, isOtherFolder); i >= 0 {
		return nil, usage("%s is a folder: give the files in it", inputs[i])
	}
	stream, err := ingest.Open(ctx, inputs, o)
	return stream, badInput(err)
}

// create begins a trace.
func create(name string, force bool) (*traces.Writer, error) {
	if name == "-" {
		return nil, usage("a trace is a file, and not written to standard output: name one with -o; replay dump prints one as text")
	}
	if dir := filepath.Dir(name); !isFolder(dir) {
		return nil, usage("%s: there is no folder %s; make it, or choose another with -o", name, dir)
	}
	w, err := traces.Create(name, traces.WriterOptions{Force: force})
	if errors.Is(err, traces.ErrExists) {
		return nil, usage("%s %w", name, reports.ErrExists)
	}
	return w, err
}

// isOtherFolder reports whether path is a folder and none of perf record.
func isOtherFolder(path string) bool { return isFolder(path) && !ingest.IsPerfFolder(path) }

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Events pass from who reads them to who takes them in blocks, of which one is filled
// while the other is taken. Who waits for a block is a thread that has to be woken, which
// takes as long as decoding some hundred events.
const (
	blockEvents = 4096
	blocks      = 2
)

// block is some events, and why there are no more after them.
type block struct {
	events []traces.Event
	err    error
}

// each calls do with every event of the stream, which it may change. The stream reads on
// in a goroutine of its own meanwhile: decoding is more than half of the work. It has ended
// when each returns.
func each(ctx context.Context, stream traces.Stream, do func(*traces.Event) error) error {
	empty, full := make(chan *block, blocks), make(chan *block, blocks)
	for range blocks {
		empty <- &block{events: make([]traces.Event, 0, blockEvents)}
	}
	go func() {
		defer close(full)
		for b := range empty {
			b.events = b.events[:0]
			for b.err == nil && len(b.events) < blockEvents {
				at := len(b.events)
				b.events = b.events[:at+1]
				if b.err = stream.Next(&b.events[at]); b.err != nil {
					b.events = b.events[:at]
				}
			}
			full <- b
			if b.err != nil {
				return
			}
		}
	}()
	err := take(ctx, full, empty, do)
	close(empty)
	for range full {
		continue // what is under way ends
	}
	return err
}

// take calls do with the events of full blocks, until there are no more or it fails.
func take(ctx context.Context, full <-chan *block, empty chan<- *block, do func(*traces.Event) error) error {
	for b := range full {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for i := range b.events {
			if err := do(&b.events[i]); err != nil {
				return err
			}
		}
		if b.err == io.EOF { // only the bare one is an end
			return nil
		} else if b.err != nil {
			return badInput(b.err)
		}
		empty <- b
	}
	return nil
}

// hashFile is the SHA-256 of a file, in hex.
func hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
	}
}
