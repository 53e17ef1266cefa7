package ingest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// inflate reads on through gzip where the input is compressed with that.
func (in *input) inflate() error {
	if !bytes.HasPrefix(in.prefix, []byte{0x1f, 0x8b, 8}) {
		return nil
	}
	z, err := gzip.NewReader(in.reader)
	if err != nil {
		return fmt.Errorf("%s: it is compressed with gzip: %w", in.path, err)
	}
	in.inflated, in.size = true, 0
	in.reader = bufio.NewReaderSize(whole{z}, sniffed)
	return in.peek()
}

// whole is what gzip compressed, with an error that says so where that is cut short.
type whole struct{ *gzip.Reader }

func (w whole) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("what gzip compressed ends too early; was the copy cut short?")
	}
	return n, err
}

// seekable is an error for a file that has to be read in any order, and cannot be where
// it is compressed.
func (in *input) seekable(format string) error {
	if in.inflated && (format == "parquet" || format == "perf-data" && !isPipeHeader(in.prefix)) {
		return fmt.Errorf("%s: it is a file of the format %s, compressed with gzip: gunzip it first", in.path, format)
	}
	return nil
}
