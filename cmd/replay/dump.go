package main

import (
	"bufio"
	"errors"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/traces"
)

func dumpCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "dump", Usage: "print a trace as text that ingest reads back", ArgsUsage: "TRACE",
		Description: "Example:\n\n   replay dump app.parquet | head",
		Flags:       commonFlags(ingestFlags...),
		Action:      e.dump,
	}
}

func (e *env) dump(c *cli.Context) error {
	path, err := one(c, "trace")
	if err != nil {
		return err
	}
	t, err := e.open(c, path)
	if err != nil {
		return err
	}
	defer t.Close()
	stream, err := t.Stream(traces.AllColumns)
	if err != nil {
		return badInput(err)
	}
	e.endProgress()
	out := bufio.NewWriterSize(e.stdout, 1<<16)
	w, err := traces.NewTextWriter(out, t.Meta())
	if err != nil {
		return err
	}
	var ev traces.Event
	for n := 0; ; n++ {
		if err := stream.Next(&ev); errors.Is(err, io.EOF) {
			return out.Flush()
		} else if err != nil {
			return badInput(err)
		}
		if err := w.Write(&ev); err != nil {
			return err
		}
		if n%4096 == 0 && c.Context.Err() != nil {
			return c.Context.Err()
		}
	}
}
