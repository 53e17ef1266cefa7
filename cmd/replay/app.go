package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// env is the world outside of the program, as a command sees it.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	bar            *bar
}

// Flags that every command takes, so that a script may give them to any.
var (
	jsonFlag    = &cli.BoolFlag{Name: "json", Usage: "print one JSON document on standard output, and nothing else"}
	forceFlag   = &cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "overwrite what is there"}
	quietFlag   = &cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress and no remarks"}
	verboseFlag = &cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "more remarks"}
	colorFlag   = &cli.StringFlag{Name: "color", Value: "auto", Usage: "`WHEN` to use colour: auto, always or never"}
	seedFlag    = &cli.Uint64Flag{Name: "seed", Value: 1, Usage: "seed of every choice that is not determined"}
)

// commonFlags adds them to a command's own. Help leaves out those that change nothing
// there: a command without an output overwrites none, one without a choice needs no
// seed.
func commonFlags(more ...cli.Flag) []cli.Flag {
	has := func(name string) bool {
		return slices.ContainsFunc(more, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	}
	force, seed := *forceFlag, *seedFlag
	force.Hidden, seed.Hidden = !has("output"), true
	if !has(seed.Name) {
		more = append(more, &seed)
	}
	return append(more, jsonFlag, &force, quietFlag, verboseFlag, colorFlag)
}

// The library's flag has -v, too, which is --verbose.
func init() {
	cli.VersionFlag = &cli.BoolFlag{Name: "version", Usage: "print the version", DisableDefaultText: true}
}

func newApp(e *env) *cli.App {
	app := &cli.App{
		Name:  "replay",
		Usage: "what uprobe hits cost under mmap_lock, and without it, on your own workload",
		Description: "Record with replay capture, or with perf as the README says, then\n\n" +
			"   replay run TRACE\n\n" +
			"replays it with its original timing and tells how many hits resolve without the\n" +
			"lock, which fall back and why, and who is to blame.\n\n" +
			"Exit codes: 0 ok; 1 regression, failed verification or counterexample; 2 usage or I/O error;\n" +
			"3 input unreadable or unsupported; 4 too lossy for a verdict; 130 interrupted.",
		Reader: e.stdin, Writer: e.stdout, ErrWriter: e.stderr,
		EnableBashCompletion: true,
		Version:              version(),
		// A probe may have a comma, such as a function of Go with type parameters.
		DisableSliceFlagSeparator: true,
		Suggest:                   true,
		ExitErrHandler:            func(*cli.Context, error) {}, // run maps errors to codes
		OnUsageError: func(c *cli.Context, err error, isSub bool) error {
			if isSub {
				return usage("%s: %v; see replay %s --help", c.Command.Name, err, c.Command.Name)
			}
			return usage("%v; see replay --help", err)
		},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return usage("there is no command %q; see replay --help", name)
			}
			return cli.ShowAppHelp(c)
		},
	}
	app.Commands = []*cli.Command{
		captureCommand(e), ingestCommand(e), infoCommand(e), dumpCommand(e), sliceCommand(e),
		runCommand(e), benchCommand(e), sweepCommand(e), whatifCommand(e), validateCommand(e), calibrateCommand(e), machinesCommand(e), checkCommand(e), diffCommand(e),
		proveCommand(e),
		explainCommand(e), webCommand(e), exportCommand(e),
		completionCommand(e), guardCommand(e), holdCommand(),
	}
	for _, c := range app.Commands {
		c.OnUsageError = app.OnUsageError
		c.HideHelpCommand = true // a trace may well be called help
	}
	return app
}

// version is what the program was built from: its module's version, and the commit where
// the build knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(v, s.Value[:min(12, len(s.Value))]) {
			v += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return fmt.Sprintf("%s, %s", cmp.Or(v, "(devel)"), info.GoVersion)
}

// completionFlag is what the library's completion is asked with; it has to come
// last.
const completionFlag = "--generate-bash-completion"

// permute puts a command line in the order that the library wants: the command,
// its flags, the other arguments. The library stops at the first argument that is
// no flag; users write flags before the command and after a file, too.
func permute(commands []*cli.Command, args []string) []string {
	if slices.Contains(args, completionFlag) {
		return args
	}
	before, args := splitFlags(commonFlags(), args, true)
	if len(args) == 0 {
		return before
	}
	i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[0]) })
	if i < 0 {
		return append(before, args...)
	}
	flags, rest := splitFlags(commands[i].Flags, args[1:], false)
	return slices.Concat(args[:1], before, flags, []string{"--"}, rest)
}

// splitFlags takes the flags out of args, with their values, up to a "--" or, if
// asked, to the first argument that is no flag.
func splitFlags(known []cli.Flag, args []string, leading bool) (flags, rest []string) {
	valued := map[string]bool{} // flags that take a value
	for _, f := range known {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			valued[name] = !isBool
		}
	}
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			return flags, append(rest, args[i+1:]...)
		case arg == "-" || !strings.HasPrefix(arg, "-"):
			if leading {
				return flags, args[i:]
			}
			rest = append(rest, arg)
		case valued[strings.TrimLeft(arg, "-")] && i+1 < len(args):
			flags = append(flags, arg, args[i+1])
			i++
		default:
			flags = append(flags, arg)
		}
	}
	return flags, rest
}

// one returns the command's only argument.
func one(c *cli.Context, what string) (string, error) {
	switch c.NArg() {
	case 0:
		return "", usage("%s: no %s given; see replay %s --help", c.Command.Name, what, c.Command.Name)
	case 1:
		return c.Args().First(), nil
	}
	return "", usage("%s: want one %s, not %d", c.Command.Name, what, c.NArg())
}

// useColor decides on colour for a stream: the flag, then NO_COLOR and
// CLICOLOR_FORCE, then whether it is a terminal.
func useColor(c *cli.Context, w io.Writer) (bool, error) {
	switch c.String("color") {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "auto":
	default:
		return false, usage("--color %q: want auto, always or never", c.String("color"))
	}
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false, nil
	}
	return os.Getenv("CLICOLOR_FORCE") != "" || isTerminal(w), nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
