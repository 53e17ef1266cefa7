package main

import (
	"github.com/urfave/cli/v2"

	"github.com/replay/replay/reports"
)

func infoCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "info", Usage: "what is in a trace, and SQL to ask it more", ArgsUsage: "TRACE",
		Description: "Example:\n\n   replay info app.parquet",
		Flags:       commonFlags(ingestFlags...),
		Action: func(c *cli.Context) error {
			path, loss, err := oneTrace(c)
			if err != nil {
				return err
			}
			info, err := e.inspect(c, path)
			if err != nil {
				return err
			}
			e.endProgress()
			if c.Bool("json") {
				err = writeJSON(e, info)
			} else {
				err = info.Text(e.stdout, path)
			}
			if err != nil {
				return err
			}
			return loss.check(info.LostEvents(), info.Events, info.Unknown)
		},
	}
}

// inspect counts what is in a trace. Of a raw capture it counts the rows as they come, and
// makes no trace.
func (e *env) inspect(c *cli.Context, path string) (*reports.Info, error) {
	o, err := e.ingestOptions(c)
	if err != nil {
		return nil, err
	}
	stored, err := isStored(path)
	if err != nil {
		return nil, err
	}
	count := reports.NewInfoCounter()
	if !stored {
		e.detail(c, "counting what is in %s as it is read", path)
		o.Progress = e.progress(c, reading)
		stream, err := openInputs(c.Context, []string{path}, o)
		if err != nil {
			return nil, err
		}
		defer stream.Close()
		if err := each(c.Context, stream, count.Add); err != nil {
			return nil, err
		}
		return count.Info(stream.Meta()), nil
	}
	t, err := e.open(c, path, "")
	if err != nil {
		return nil, err
	}
	defer t.Close()
	stream, err := t.Stream(reports.InfoColumns)
	if err != nil {
		return nil, badInput(err)
	}
	if err := each(c.Context, stream, count.Add); err != nil {
		return nil, err
	}
	return count.Info(t.Meta()), nil
}
