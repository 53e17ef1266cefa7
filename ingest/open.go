package ingest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/replay/replay/ingest/bpftrace"
	"github.com/replay/replay/ingest/perfdata"
	"github.com/replay/replay/traces"
)

// Errors of inputs. They are wrapped with the file and the position in it.
var (
	// ErrFormat is returned for an input of no known format.
	ErrFormat = errors.New("unknown format")
	// ErrNoProbe is returned for an input without any uprobe event.
	ErrNoProbe = errors.New("no uprobe event in it")
	// ErrClock is returned for inputs whose clocks differ.
	ErrClock = errors.New("the clocks differ")

	errEmpty = fmt.Errorf("%w: the file is empty", ErrFormat)
)

// Options of Open. The zero value is usable.
type Options struct {
	Format   string // "auto" or "", or one of FormatList
	SkipBad  bool   // count bad records instead of failing at the first
	Kallsyms string // a file like /proc/kallsyms of the recorded kernel
	Inlines  bool   // name inlined functions in user stacks, from DWARF
	// Bpftrace says what the lines of a bpftrace script of one's own mean; nil for
	// those of replay capture.
	Bpftrace *bpftrace.Format
	// ArriveArg names the probes' argument that holds the time just before the trap, in ns
	// of CLOCK_MONOTONIC, "" for none: each makes an arrive row. Only perf.data has it.
	ArriveArg string
	Stderr    string // the file that bpftrace's standard error went to, "" for none
	Stdin     io.Reader
	Progress  func(done, total int64) // bytes read; total is 0 where unknown
}

// Stream is an opened input, or several merged.
type Stream interface {
	traces.Stream
	io.Closer
}

// input is one source as its reader gets it.
type input struct {
	path   string
	index  int32    // in Meta.Sources
	file   *os.File // nil for standard input
	size   int64    // of file
	reader *bufio.Reader
	prefix []byte
	shared bool // there are other inputs

	inflated bool // reader takes it out of gzip
	opts     *Options
}

// format is a kind of input: how to tell it, and how to read it.
type format struct {
	name string
	is   func(prefix []byte) bool
	open func(context.Context, *input) (Stream, error)
}

// formats are tried in this order: binary ones by their magic, then text.
var formats = []format{
	{"perf-data", isPerfData, openPerfData},
	{"parquet", traces.IsParquet, openStored},
	{"text", traces.IsText, openText},
	{"bpftrace-json", bpftrace.IsJSON, openBpftraceJSON},
	{"bpftrace", bpftrace.Is, openBpftrace},
	{"perf-script", isPerfScript, openPerfScript},
}

// FormatList names the formats for help texts.
func FormatList() string {
	names := []string{"auto"}
	for _, f := range formats {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// sniffed is how much of an input decides on its format.
const sniffed = 64 << 10

// Open opens inputs; the path "-" is standard input.
func Open(ctx context.Context, paths []string, o Options) (Stream, error) {
	if o.Stderr != "" && len(paths) > 1 {
		return nil, fmt.Errorf("what bpftrace said on standard error is of one input, not of %d", len(paths))
	}
	paths, left := once(paths)
	shared := len(paths) > 1
	var streams []Stream
	var opened []string
	for i, path := range paths {
		s, err := openOne(ctx, &input{path: path, index: int32(len(opened)), shared: shared, opts: &o})
		if errors.Is(err, errEmpty) && (i+1 < len(paths) || len(opened) > 0) {
			left = append(left, fmt.Sprintf("%s is empty and left out: perf script --per-event-dump leaves such a file for what never came", path))
			continue
		}
		if err != nil {
			for _, s := range streams {
				s.Close()
			}
			return nil, err
		}
		streams, opened = append(streams, s), append(opened, path)
	}
	s := streams[0]
	if shared {
		var err error
		if s, err = merge(opened, streams); err != nil {
			return nil, err
		}
	}
	if len(left) > 0 {
		s = &warned{s, left}
	}
	return s, nil
}

func openOne(ctx context.Context, in *input) (Stream, error) {
	path, o := in.path, in.opts
	var source io.Reader = o.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open input: %w", err)
		}
		info, err := f.Stat()
		if err == nil && info.IsDir() {
			f.Close()
			header := perfFolder(path)
			if header == "" {
				return nil, fmt.Errorf("%s is a folder: give the files in it", path)
			}
			in.path = header
			return openOne(ctx, in)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		in.file, in.size, source = f, info.Size(), f
	}
	in.reader = bufio.NewReaderSize(source, sniffed)
	err := in.peek()
	if err == nil {
		err = in.inflate()
	}
	if err != nil {
		in.close()
		return nil, err
	}
	f, err := in.format()
	if err == nil {
		err = in.seekable(f.name)
	}
	if err == nil && o.Stderr != "" && f.name != "bpftrace" && f.name != "bpftrace-json" {
		err = fmt.Errorf("%s: what bpftrace said on standard error does not go with an input of format %s", path, f.name)
	}
	if err == nil && o.ArriveArg != "" && f.name != "perf-data" {
		err = fmt.Errorf("%s: arrivals in an argument are read from perf.data alone: an input of format %s does not tell its clock, or has its rows already", path, f.name)
	}
	if err != nil {
		in.close()
		return nil, err
	}
	s, err := f.open(ctx, in)
	if err != nil {
		in.close()
		return nil, err
	}
	return s, nil
}

// peek looks at what decides on the format.
func (in *input) peek() error {
	prefix, err := in.reader.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return fmt.Errorf("%s: read: %w", in.path, err)
	}
	in.prefix = prefix
	return nil
}

// format returns the format asked for, or the one that the prefix shows.
func (in *input) format() (*format, error) {
	if name := in.opts.Format; name != "" && name != "auto" {
		if f := formatNamed(name); f != nil {
			return f, nil
		}
		return nil, fmt.Errorf("%w %q: want one of %s", ErrFormat, name, FormatList())
	}
	if len(in.prefix) == 0 {
		return nil, fmt.Errorf("%s: %w; was the recording interrupted?", in.path, errEmpty)
	}
	for i := range formats {
		if formats[i].is(in.prefix) {
			return &formats[i], nil
		}
	}
	if in.opts.Bpftrace != nil {
		return formatNamed("bpftrace"), nil
	}
	return nil, unknownFormat(in.path, in.prefix)
}

func formatNamed(name string) *format {
	for i := range formats {
		if formats[i].name == name {
			return &formats[i]
		}
	}
	return nil
}

func (in *input) close() {
	if in.file != nil {
		in.file.Close()
	}
}

// progress reports bytes read of this input.
func (in *input) progress(done int64) {
	if in.opts.Progress != nil {
		in.opts.Progress(done, in.size)
	}
}

func isPerfData(prefix []byte) bool {
	return bytes.HasPrefix(prefix, []byte("PERFILE2")) || perfdata.PipeAfterText(prefix) > 0 || bytes.HasPrefix(prefix, []byte("2ELIFREP"))
}
