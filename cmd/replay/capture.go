package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/ingest"
	"github.com/replay/replay/ingest/capture"
	"github.com/replay/replay/reports"
)

func captureCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "capture", Usage: "record a program's hits with perf or bpftrace, and make a trace of them", ArgsUsage: "[-- PROGRAM ARGUMENT...]",
		Description: "A PROBE is path:function, path:function%return, path:0xoffset (in the file),\n" +
			"sdt:provider:name (a marker of the program or its libraries; path:sdt:provider:name\n" +
			"for that of a file), or the group:event of a probe that exists. A function of C++ or\n" +
			"Rust may have its name in the source, such as ns::A::f. %return records the entry, too.\n\n" +
			"It needs root. Probes that it adds are removed at the end, also after Ctrl-C,\n" +
			"which ends the recording and keeps what it has.\n\n" +
			"Examples:\n\n   replay capture --probe libc.so.6:malloc -- ./app\n   replay capture --probe /usr/bin/python3:sdt:python:gc__start -p 1234 -o gc.parquet",
		Flags: commonFlags(
			&cli.StringFlag{Name: "tool", Value: string(capture.Perf), Usage: "`TOOL` to record with: perf or bpftrace"},
			&cli.StringSliceFlag{Name: "probe", Usage: "`PROBE` to record the hits of; may be given several times"},
			&cli.IntFlag{Name: "pid", Aliases: []string{"p"}, Usage: "record the process `PID` until it ends, or Ctrl-C"},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "record all processes until the program ends, or Ctrl-C"},
			&cli.BoolFlag{Name: "stacks", Usage: "record the callchain of each hit"},
			&cli.BoolFlag{Name: "no-locks", Usage: "leave out mmap_lock events, the ground truth, where they cost too much"},
			&cli.StringFlag{Name: "buffer", Aliases: []string{"m"}, Usage: "`SIZE` of the buffer of each CPU, such as 64M (default: up to 32M, 2G in all)"},
			&cli.BoolFlag{Name: "print", Usage: "print the commands to record with, and run nothing"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write"},
			&cli.BoolFlag{Name: "inlines", Usage: "name inlined functions in user stacks; reads all DWARF of the programs"},
			&cli.StringFlag{Name: "max-loss", Usage: "exit 4 when more than `N` events were lost; 0.01 or 1% is a share of them"},
		),
		Action: e.capture,
	}
}

// recording is one run of the capture command.
type recording struct {
	*env
	c       *cli.Context
	machine capture.Machine
	options capture.Options
	trace   string
}

func (e *env) capture(c *cli.Context) error {
	loss, err := parseLoss(c.String("max-loss"))
	if err != nil {
		return err
	}
	r := &recording{env: e, c: c, machine: capture.ThisMachine()}
	if err := r.choose(); err != nil {
		return err
	}
	if c.Bool("print") {
		return r.print()
	}
	if err := r.options.Check(); err != nil {
		return err // what is wrong on any machine comes first
	}
	if missing := r.machine.Missing(r.options); len(missing) > 0 {
		return usage("%s", strings.Join(missing, "\n"))
	}
	if pid := r.options.PID; pid != 0 && !isFolder(fmt.Sprintf("/proc/%d", pid)) {
		return usage("-p %d: there is no such process", pid)
	}
	if c.NArg() > 0 {
		if _, err := exec.LookPath(c.Args().First()); err != nil {
			return usage("the program cannot be started: %w", err)
		}
	}
	for _, name := range []string{r.trace, r.options.Output} {
		if err := unused(name, c.Bool("force")); err != nil {
			return err
		}
	}
	if err := r.record(); err != nil {
		return err
	}
	return r.ingest(loss)
}

// What each tool's recording is called, and the format of it.
var (
	rawSuffix = map[capture.Tool]string{capture.Perf: ".perf.data", capture.BPFtrace: ".bpftrace.json"}
	rawFormat = map[capture.Tool]string{capture.Perf: "perf-data", capture.BPFtrace: "bpftrace-json"}
)

// choose makes options of the flags.
func (r *recording) choose() error {
	c := r.c
	r.trace = c.String("output")
	if r.trace == "" {
		r.trace = captureName(c)
	}
	tool := capture.Tool(c.String("tool"))
	if rawFormat[tool] == "" {
		return usage("--tool %q: want perf or bpftrace", tool)
	}
	r.options = capture.Options{
		Command: c.Args().Slice(), PID: c.Int("pid"), All: c.Bool("all"),
		Tool: tool, Stacks: c.Bool("stacks"), NoLocks: c.Bool("no-locks"), Quiet: c.Bool("quiet"),
		Buffer: c.String("buffer"), Output: strings.TrimSuffix(r.trace, ".parquet") + rawSuffix[tool],
		Group: capture.Group(os.Getpid()), Arrive: r.machine.HasKprobes(),
	}
	if r.options.Buffer == "" {
		r.options.Buffer = capture.DefaultBuffer(tool, runtime.NumCPU())
	}
	if c.Bool("print") {
		// For any machine: what a process id and this kernel add is left out.
		r.options.Group, r.options.Arrive, r.options.Print = "replay", false, true
	}
	for _, s := range c.StringSlice("probe") {
		p, err := capture.Parse(s, r.eventExists, capture.IsFile)
		if err != nil {
			return err
		}
		r.options.Probes = append(r.options.Probes, p)
	}
	return nil
}

// eventExists reports whether the kernel has an event. Commands for another
// machine are printed without asking: what is no file is an event there.
func (r *recording) eventExists(name string) bool {
	if r.machine.HasTracefs && r.machine.Tracefs.HasEvent(name) {
		return true
	}
	group, event, ok := strings.Cut(name, ":")
	if !r.c.Bool("print") || !ok || group == "sdt" || strings.ContainsAny(name, "/.%") || strings.HasPrefix(event, "0x") {
		return false
	}
	_, err := os.Stat(group)
	return errors.Is(err, os.ErrNotExist)
}

// captureName is the default name of the trace.
func captureName(c *cli.Context) string {
	switch {
	case c.Int("pid") != 0:
		return fmt.Sprintf("pid-%d.parquet", c.Int("pid"))
	case c.Bool("all"):
		return "system.parquet"
	}
	return filepath.Base(c.Args().First()) + ".parquet"
}

func (r *recording) print() error {
	plan, err := capture.NewPlan(r.options)
	if err != nil {
		return err
	}
	defer plan.Close()
	for _, remark := range plan.Remarks {
		r.remark(r.c, "%s", remark)
	}
	script := plan.Script(r.trace)
	if r.c.Bool("json") {
		return writeJSON(r.env, printedPlan{"replay.capture/1", r.options.Tool, r.trace, script})
	}
	_, err = io.WriteString(r.stdout, script)
	return err
}

// printedPlan is the JSON document of capture --print.
type printedPlan struct {
	Schema string       `json:"schema"`
	Tool   capture.Tool `json:"tool"`
	Trace  string       `json:"trace"`
	Script string       `json:"script"` // for a shell
}

// unused checks that a file can be written, before anything is recorded.
func unused(name string, force bool) error {
	if dir := filepath.Dir(name); !isFolder(dir) {
		return usage("%s: there is no folder %s; make it, or choose another with -o", name, dir)
	}
	if _, err := os.Lstat(name); err == nil && !force {
		return usage("%s %w", name, reports.ErrExists)
	}
	return nil
}

// record adds the probes, records, and has them removed, whatever happens.
func (r *recording) record() (err error) {
	plan, err := capture.NewPlan(r.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plan.Close()) }()
	for _, remark := range plan.Remarks {
		r.remark(r.c, "%s", remark)
	}
	if err := os.Remove(r.options.Output); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // perf would keep what is there under another name
	}
	if len(plan.Definitions) > 0 {
		guard, addErr := r.addProbes(plan.Definitions)
		if guard != nil {
			defer func() { err = errors.Join(err, guard.Close()) }()
		}
		if addErr != nil {
			return addErr
		}
	}
	r.detail(r.c, "%s", plan.Script(r.trace))
	streams := capture.Streams{Stdin: file(r.stdin), Stdout: r.programOutput(), Stderr: r.stderr}
	state, err := plan.Record(streams, []string{holdName, "--"}, r.stop())
	if err == nil && state != nil && !state.Success() && r.c.Context.Err() == nil {
		r.remark(r.c, "the program ended with %v", state)
	}
	return err
}

// addProbes defines events, with a guard to remove them.
func (r *recording) addProbes(defs []capture.Definition) (*capture.Guard, error) {
	tracefs := r.machine.Tracefs
	cleaned, err := tracefs.Clean()
	for _, name := range cleaned {
		r.remark(r.c, "removed the probe %s, left by a capture that was killed", name)
	}
	if err != nil {
		return nil, err
	}
	guard, err := capture.StartGuard(tracefs, r.stderr, guardName, tracefs.Dir)
	if err != nil {
		return nil, err
	}
	for i := range defs {
		r.remark(r.c, "adding the probe %s until the end of the recording", &defs[i])
	}
	return guard, guard.Add(defs)
}

// guardName is the hidden command of the process that removes the probes.
const guardName = "guard-probes"

func guardCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: guardName, Hidden: true, Usage: "remove the probes of a capture when it has ended", ArgsUsage: "TRACEFS",
		Action: func(c *cli.Context) error {
			return capture.Watch(file(e.stdin), capture.Tracefs{Dir: c.Args().First()})
		},
	}
}

// holdName is the hidden command of the process that becomes the recorded program.
const holdName = "hold-program"

func holdCommand() *cli.Command {
	return &cli.Command{
		Name: holdName, Hidden: true, Usage: "become a program when the capture says so", ArgsUsage: "-- PROGRAM ARGUMENT...",
		Action: func(c *cli.Context) error { return capture.Become(c.Args().Slice()) },
	}
}

// again is how long after an interrupt another one counts: timeout(1) sends each to
// the process and to its group.
const again = time.Second

// stop asks for the end of the recording when the command is interrupted, and again
// when that happens again.
func (r *recording) stop() <-chan os.Signal {
	stop := make(chan os.Signal, 2)
	context.AfterFunc(r.c.Context, func() {
		stop <- os.Interrupt
		time.Sleep(again)
		signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	})
	return stop
}

// file is standard input itself where it is a file, for those that are not to end
// with the context, or get what was read ahead.
func file(stdin io.Reader) io.Reader {
	if u, ok := stdin.(*untilDone); ok {
		if f, ok := u.r.(*os.File); ok {
			return f
		}
	}
	return strings.NewReader("")
}

// programOutput is where the program prints to. With --json standard output is the
// document's.
func (r *recording) programOutput() io.Writer {
	if r.c.Bool("json") {
		return r.stderr
	}
	return r.stdout
}

// ingest makes the trace. The first Ctrl-C ended the recording; the next one ends
// this, and leaves the recording there.
func (r *recording) ingest(loss lossLimit) error {
	ctx, cancel := signal.NotifyContext(context.WithoutCancel(r.c.Context), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	o := ingest.Options{Format: rawFormat[r.options.Tool], Inlines: r.c.Bool("inlines"), Progress: r.progress(r.c, reading)}
	count := reports.NewInfoCounter()
	raw := r.options.Output
	meta, err := r.store(ctx, []string{raw}, o, r.trace, r.c.Bool("force"), count)
	if err != nil {
		r.remark(r.c, "the recording is left as %s", raw)
		return err
	}
	if err := os.Remove(raw); err != nil {
		return err
	}
	info := count.Info(meta)
	for _, w := range meta.Warnings {
		r.remark(r.c, "warning: %s", w)
	}
	r.remarkUnknown(r.c, info)
	if info.Kinds["hit"]+info.Kinds["ret"] == 0 {
		r.remark(r.c, "warning: the program never came to the probe")
	}
	if info.LostEvents() > 0 {
		r.remark(r.c, "warning: the buffers of %s for each CPU overflowed: give more with -m, or leave out events with --no-locks", r.options.Buffer)
	}
	if r.c.Bool("json") {
		err = writeJSON(r.env, info)
	} else {
		_, err = fmt.Fprintf(r.stdout, "%s: %d events, %s, %s\nreplay run %s\n",
			r.trace, info.Events, info.HitsText(), info.LostText(), capture.Quote(r.trace))
	}
	if err != nil {
		return err
	}
	return loss.check(info.LostEvents(), info.Events, info.Unknown)
}
