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

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/ingest"
	"github.com/replay/replay/traces"
)

// openTrace is a trace in the store, opened for reading: it is a replay.Trace.
type openTrace struct {
	path, sha string
	file      *traces.File
	temporary string // the file to remove on Close, made from a raw capture
}

func (t *openTrace) Path() string      { return t.path }
func (t *openTrace) SHA256() string    { return t.sha }
func (t *openTrace) Meta() traces.Meta { return t.file.Meta() }

func (t *openTrace) Stream(columns traces.Columns) (traces.Stream, error) {
	return t.file.Events(columns)
}

// Close releases the trace.
func (t *openTrace) Close() error {
	err := t.file.Close()
	if t.temporary != "" {
		err = errors.Join(err, os.Remove(t.temporary))
	}
	return err
}

// ingestFlags are those of commands that take raw captures.
var ingestFlags = []cli.Flag{
	&cli.StringFlag{Name: "format", Value: "auto", Usage: "`FORMAT` of the input: " + ingest.FormatList()},
	&cli.StringFlag{Name: "on-bad-record", Value: "fail", Usage: "`WHAT` to do with a record that makes no sense: fail or skip"},
	&cli.StringFlag{Name: "stderr", Usage: "`FILE` with what bpftrace wrote on standard error, for its lost events"},
	&cli.StringFlag{Name: "kallsyms", Usage: "`FILE` like /proc/kallsyms of the recorded kernel, to name kernel frames"},
	&cli.StringFlag{Name: "bpftrace-format", Usage: "`PATTERN` of the lines of another bpftrace script; see the README"},
	&cli.StringFlag{Name: "max-loss", Usage: "exit 4 when more events than `N` were lost, or more than N% of them"},
}

func (e *env) ingestOptions(c *cli.Context) (ingest.Options, error) {
	o := ingest.Options{
		Format: c.String("format"), StderrFile: c.String("stderr"), Kallsyms: c.String("kallsyms"),
		BpftraceFormat: c.String("bpftrace-format"), Stdin: e.stdin, Progress: e.progress(c, "reading"),
	}
	switch c.String("on-bad-record") {
	case "fail":
	case "skip":
		o.SkipBad = true
	default:
		return o, usage("--on-bad-record %q: want fail or skip", c.String("on-bad-record"))
	}
	return o, nil
}

// open opens a trace of the store, or ingests a raw capture into a temporary one.
func (e *env) open(c *cli.Context, path string) (*openTrace, error) {
	t := &openTrace{path: path}
	stored, err := isStored(path)
	if err != nil {
		return nil, err
	}
	name := path
	if !stored {
		if t.temporary, err = e.ingestAside(c, path); err != nil {
			return nil, err
		}
		name = t.temporary
	}
	if t.file, err = traces.Open(name); err != nil {
		t.remove()
		return nil, badInput(err)
	}
	if path != "-" {
		if t.sha, err = hashFile(c.Context, path); err != nil {
			t.Close()
			return nil, err
		}
	}
	return t, nil
}

func (t *openTrace) remove() {
	if t.temporary != "" {
		os.Remove(t.temporary)
	}
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
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return false, usage("%s is a folder: want a trace or a capture", path)
	}
	prefix := make([]byte, 4)
	n, _ := io.ReadFull(f, prefix)
	return traces.IsParquet(prefix[:n]), nil
}

// ingestAside makes a trace of a raw capture in a temporary folder.
func (e *env) ingestAside(c *cli.Context, path string) (string, error) {
	o, err := e.ingestOptions(c)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "replay-")
	if err != nil {
		return "", err
	}
	os.Remove(dir)
	name := filepath.Clean(dir) + ".parquet"
	if _, err := e.store(c.Context, []string{path}, o, name, true); err != nil {
		return "", err
	}
	return name, nil
}

// store writes what the inputs hold into a trace, aside and then in its place.
func (e *env) store(ctx context.Context, inputs []string, o ingest.Options, name string, force bool) (traces.Meta, error) {
	stream, err := ingest.Open(ctx, inputs, o)
	if err != nil {
		return traces.Meta{}, badInput(err)
	}
	defer stream.Close()
	w, err := traces.Create(name, traces.WriterOptions{Force: force})
	if err != nil {
		return traces.Meta{}, err
	}
	defer w.Abort()
	var ev traces.Event
	for n := 0; ; n++ {
		if err := stream.Next(&ev); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return traces.Meta{}, badInput(err)
		}
		if err := w.Write(&ev); err != nil {
			return traces.Meta{}, err
		}
		if n%65536 == 0 && ctx.Err() != nil {
			return traces.Meta{}, context.Cause(ctx)
		}
	}
	meta := stream.Meta()
	return meta, w.Commit(meta)
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
