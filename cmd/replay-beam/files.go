package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/io/filesystem"

	"github.com/replay/replay/reports/sweep"
	"github.com/replay/replay/traces"
)

// readFile reads a file of any of Beam's file systems.
func readFile(ctx context.Context, name string) ([]byte, error) {
	fs, err := filesystem.New(ctx, name)
	if err != nil {
		return nil, err
	}
	defer fs.Close()
	f, err := fs.OpenRead(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// writeFile writes a file as a whole: aside and then in its place, where the file system
// can rename; object stores show a file only when it is complete.
func writeFile(ctx context.Context, name string, write func(io.Writer) error) error {
	fs, err := filesystem.New(ctx, name)
	if err != nil {
		return err
	}
	defer fs.Close()
	to := name
	renamer, renames := fs.(filesystem.Renamer)
	if renames = renames && !strings.Contains(name, "://"); renames {
		to = fmt.Sprintf("%s.%d.tmp", name, os.Getpid())
	}
	f, err := fs.OpenWrite(ctx, to)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if renames {
		return renamer.Rename(ctx, to, name)
	}
	return nil
}

// fetched is a trace on this machine's disk.
type fetched struct {
	sweep.Stored
	aside string // to remove; empty: it is where it was
}

// fetch makes a trace readable here: one of another file system is copied, since Parquet is
// read from its end.
func fetch(ctx context.Context, name string) (*fetched, error) {
	t := &fetched{}
	t.Name = name
	local := name
	h := sha256.New()
	fs, err := filesystem.New(ctx, name)
	if err != nil {
		return nil, err
	}
	defer fs.Close()
	from, err := fs.OpenRead(ctx, name)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	to := io.Discard
	if strings.Contains(name, "://") {
		f, err := os.CreateTemp("", "replay-*.parquet")
		if err != nil {
			return nil, err
		}
		defer f.Close()
		t.aside, local, to = f.Name(), f.Name(), f
	}
	if _, err := io.Copy(io.MultiWriter(h, to), from); err != nil {
		t.Close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	t.SHA = hex.EncodeToString(h.Sum(nil))
	if t.File, err = traces.Open(local); err != nil {
		t.Close()
		return t, err // its SHA-256 is known
	}
	return t, nil
}

// Close lets go of the trace.
func (t *fetched) Close() {
	if t.File != nil {
		t.File.Close()
	}
	if t.aside != "" {
		os.Remove(t.aside)
	}
}
