package main

import (
	"github.com/urfave/cli/v2"

	"github.com/replay/replay/traces"
)

func dumpCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "dump", Usage: "print a trace as text, which ingest reads back", ArgsUsage: "TRACE",
		Description: "One line to an event: its time in nanoseconds, its kind, then the columns that it\n" +
			"has. What is known of the whole trace stands in lines that begin with #. With\n" +
			"--json it is one document, which ingest does not read back.\n\n" +
			"Examples:\n\n   replay dump app.parquet | grep mprotect\n" +
			"   replay dump --json app.parquet | jq '.events[] | select(.kind == \"munmap\")'",
		Flags:  commonFlags(ingestFlags...),
		Action: e.dump,
	}
}

func (e *env) dump(c *cli.Context) error {
	path, loss, err := oneTrace(c)
	if err != nil {
		return err
	}
	t, err := e.open(c, path, "")
	if err != nil {
		return err
	}
	defer t.Close()
	stream, err := t.Stream(traces.AllColumns)
	if err != nil {
		return badInput(err)
	}
	e.endProgress()
	var w eventWriter = textDump{traces.NewTextWriter(e.stdout)}
	if c.Bool("json") {
		w = traces.NewJSONWriter(e.stdout)
	}
	if err := w.WriteMeta(t.Meta()); err != nil {
		return err
	}
	if err := each(c.Context, stream, w.Write); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return loss.check(t.Meta().Lost, t.file.NumRows(), t.Meta().Unknown)
}

// eventWriter is a form that a trace is printed in.
type eventWriter interface {
	WriteMeta(traces.Meta) error
	Write(*traces.Event) error
	Close() error
}

// textDump is the text twin, whose end is nothing but that.
type textDump struct{ *traces.TextWriter }

func (d textDump) Close() error { return d.Flush() }
