package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/reports"
	"github.com/replay/replay/traces"
)

func ingestCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "ingest", Usage: "make a trace of what perf or bpftrace recorded", ArgsUsage: "INPUT...",
		Description: "INPUT is a perf.data file, the folder of perf record --threads, the text of perf\n" +
			"script, what bpftrace printed as text or JSON, a trace or its text, or - for\n" +
			"standard input; of those that need not be a file, gzip is read. Several are merged\n" +
			"on their clock, as if one recorder had made them; one of them must have a probe.\n" +
			"The trace is a Parquet file, by default named after the first input, in the\n" +
			"current folder.\n\n" +
			"bpftrace without -o prints losses on standard error: keep it, and give it with\n" +
			"--stderr. A script of your own needs --bpftrace-format; README tells how.\n\n" +
			"Examples:\n\n   replay ingest perf.data\n   perf script --ns --show-task-events --show-lost-events \\\n     -F comm,pid,tid,cpu,time,event,trace,ip,sym,symoff,dso | replay ingest -o app.parquet -\n   replay ingest --bpftrace-format tool.yaml out.txt",
		Flags: commonFlags(append([]cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write"},
		}, ingestFlags...)...),
		Action: e.ingest,
	}
}

func (e *env) ingest(c *cli.Context) error {
	if c.NArg() == 0 {
		return usage("ingest: no input given; see replay ingest --help")
	}
	loss, err := parseLoss(c.String("max-loss"))
	if err != nil {
		return err
	}
	o, err := e.ingestOptions(c)
	if err != nil {
		return err
	}
	o.Progress = e.progress(c, reading)
	name := c.String("output")
	if name == "" {
		name = traceName(c.Args().First())
	}
	count := reports.NewInfoCounter()
	meta, err := e.store(c.Context, c.Args().Slice(), o, name, c.Bool("force"), count)
	if err != nil {
		return err
	}
	for _, s := range meta.Sources {
		e.detail(c, "%s was read as %s", s.Path, s.Format)
	}
	info := count.Info(meta)
	if c.Bool("json") {
		err = writeJSON(e, info)
	} else {
		_, err = fmt.Fprintf(e.stdout, "%s: %d events, %s, %s\n", name, info.Events, info.HitsText(), info.LostText())
	}
	for _, w := range meta.Warnings {
		e.remark(c, "warning: %s", w)
	}
	e.remarkUnknown(c, info)
	if err != nil {
		return err
	}
	return loss.check(info.LostEvents(), info.Events, info.Unknown)
}

// remarkUnknown says what a new trace cannot tell, but for the outcomes: leaving out
// lock events is a choice.
func (e *env) remarkUnknown(c *cli.Context, info *reports.Info) {
	for _, u := range info.Unknown {
		if u.What != traces.UnknownOutcomes || info.Kinds["lock_start"] > 0 {
			e.remark(c, "warning: %s", u)
		}
	}
}

// traceName is the default name of the trace made from an input.
func traceName(input string) string {
	if input == "-" {
		return "stdin.parquet"
	}
	base := filepath.Base(input)
	for _, ext := range []string{".data", ".txt", ".json", ".jsonl", ".out"} {
		base = strings.TrimSuffix(base, ext)
	}
	return base + ".parquet"
}
