package main

import (
	"math"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/traces"
)

func sliceCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "slice", Usage: "cut a trace, and strip it of names to share it", ArgsUsage: "TRACE",
		Description: "Keeps what lies between the times, counted from the first event. Mappings and\n" +
			"forks from before are kept too, so that hits still find their probes.\n\n" +
			"Example:\n\n   replay slice --time 1s,1.5s --anonymise -o small.parquet app.parquet",
		Flags: commonFlags(append([]cli.Flag{
			&cli.StringFlag{Name: "time", Usage: "`A,B` as durations from the first event, such as 500ms,2s; either may be empty"},
			&cli.IntSliceFlag{Name: "pid", Usage: "keep only this process; may be given again"},
			&cli.StringSliceFlag{Name: "probe", Usage: "keep only hits of this probe; may be given again"},
			&cli.BoolFlag{Name: "anonymise", Usage: "replace names, paths and symbols, the same one always by the same"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write; required"},
		}, ingestFlags...)...),
		Action: e.slice,
	}
}

func (e *env) slice(c *cli.Context) error {
	path, loss, err := oneTrace(c)
	if err != nil {
		return err
	}
	name := c.String("output")
	if name == "" {
		return usage("slice: no -o FILE given; see replay slice --help")
	}
	cut, err := parseCut(c)
	if err != nil {
		return err
	}
	if err := e.cut(c, path, name, cut); err != nil {
		return err
	}
	if !c.Bool("json") && loss.text == "" {
		return nil
	}
	info, err := e.inspect(c, name)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		if err := writeJSON(e, info); err != nil {
			return err
		}
	}
	return loss.check(info.LostEvents(), info.Events, info.Unknown)
}

// cut writes the cut of a trace.
func (e *env) cut(c *cli.Context, path, name string, cut *traces.Cut) error {
	t, err := e.open(c, path, "")
	if err != nil {
		return err
	}
	defer t.Close()
	if cut.Looks() {
		stream, err := t.Stream(traces.LookColumns)
		if err != nil {
			return badInput(err)
		}
		err = each(c.Context, stream, func(ev *traces.Event) error {
			cut.Look(ev)
			return nil
		})
		if err != nil {
			return err
		}
		cut.Looked()
		if unmet := cut.Unmet(); len(unmet) > 0 {
			return usage("--probe %s: the trace has no hit of it; see replay info for its probes", unmet[0])
		}
	}
	stream, err := t.Stream(traces.AllColumns)
	if err != nil {
		return badInput(err)
	}
	w, err := create(name, c.Bool("force"))
	if err != nil {
		return err
	}
	defer w.Abort()
	err = each(c.Context, stream, func(ev *traces.Event) error {
		if !cut.Keep(ev) {
			return nil
		}
		return w.Write(ev)
	})
	if err != nil {
		return err
	}
	if w.Rows() == 0 {
		return usage("none of the %d events of %s is in the cut: see replay info for its span, processes and probes", t.file.NumRows(), path)
	}
	if err := w.Commit(cut.Meta(t.Meta())); err != nil {
		return err
	}
	e.remark(c, "%s: %d of %d events", name, w.Rows(), t.file.NumRows())
	return nil
}

// parseCut reads the flags that say what to keep.
func parseCut(c *cli.Context) (*traces.Cut, error) {
	cut := &traces.Cut{Probes: c.StringSlice("probe"), Anonymise: c.Bool("anonymise"), From: -1, To: -1}
	for _, pid := range c.IntSlice("pid") {
		if pid < 0 || pid > math.MaxInt32 {
			return nil, usage("--pid %d: no process has this id", pid)
		}
		cut.PIDs = append(cut.PIDs, int32(pid))
	}
	if s := c.String("time"); s != "" {
		if err := parseSpan(s, cut); err != nil {
			return nil, err
		}
	}
	return cut, nil
}

// parseSpan reads A,B as durations.
func parseSpan(s string, cut *traces.Cut) error {
	from, to, ok := strings.Cut(s, ",")
	if !ok {
		return usage("--time %q: want A,B such as 500ms,2s", s)
	}
	for _, part := range []struct {
		text string
		to   *int64
	}{{from, &cut.From}, {to, &cut.To}} {
		if part.text == "" {
			continue
		}
		d, err := time.ParseDuration(part.text)
		if err != nil || d < 0 {
			return usage("--time %q: %q is no duration such as 500ms", s, part.text)
		}
		*part.to = d.Nanoseconds()
	}
	if cut.To >= 0 && cut.To < max(cut.From, 0) {
		return usage("--time %q: it ends before it begins", s)
	}
	return nil
}
