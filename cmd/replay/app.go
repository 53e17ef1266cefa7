package main

import (
	"io"
	"os"
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

// Flags that every command has.
var (
	jsonFlag    = &cli.BoolFlag{Name: "json", Usage: "print one JSON document on standard output, and nothing else"}
	forceFlag   = &cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "overwrite what is there"}
	quietFlag   = &cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress and no remarks"}
	verboseFlag = &cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "more remarks"}
	colorFlag   = &cli.StringFlag{Name: "color", Value: "auto", Usage: "`WHEN` to use colour: auto, always or never"}
	seedFlag    = &cli.Uint64Flag{Name: "seed", Value: 1, Usage: "seed of every choice that is not determined"}
)

func commonFlags(more ...cli.Flag) []cli.Flag {
	return append(more, jsonFlag, forceFlag, quietFlag, verboseFlag, colorFlag)
}

func newApp(e *env) *cli.App {
	app := &cli.App{
		Name:  "replay",
		Usage: "what uprobe hits cost under mmap_lock, and without it, on your own workload",
		Description: "Record with replay capture (or perf, or bpftrace), then\n\n" +
			"   replay run TRACE\n\n" +
			"replays it with its original timing and tells how many hits resolve without the\n" +
			"lock, which fall back and why, and who is to blame.\n\n" +
			"Exit codes: 0 ok; 1 regression or failed verification; 2 usage or I/O error;\n" +
			"3 input unreadable or unsupported; 4 too lossy for a verdict; 130 interrupted.",
		Reader: e.stdin, Writer: e.stdout, ErrWriter: e.stderr,
		EnableBashCompletion: true,
		HideVersion:          true,
		Suggest:              true,
		ExitErrHandler:       func(*cli.Context, error) {}, // run maps errors to codes
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return usage("%v; see replay --help", err)
		},
		CommandNotFound: func(*cli.Context, string) {},
		Action: func(c *cli.Context) error {
			if name := c.Args().First(); name != "" {
				return usage("there is no command %q; see replay --help", name)
			}
			return cli.ShowAppHelp(c)
		},
	}
	app.Commands = []*cli.Command{
		ingestCommand(e), infoCommand(e), sliceCommand(e),
		runCommand(e), benchCommand(e), validateCommand(e), calibrateCommand(e), machinesCommand(e), checkCommand(e), diffCommand(e),
		completionCommand(e),
	}
	for _, c := range app.Commands {
		c.OnUsageError = app.OnUsageError
	}
	return app
}

// permute moves flags before the other arguments, up to "--": the library stops
// at the first argument that is no flag.
func permute(commands []*cli.Command, args []string) []string {
	if len(args) == 0 {
		return args
	}
	i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[0]) })
	if i < 0 {
		return args
	}
	values := map[string]bool{} // flags that take a value
	for _, f := range commands[i].Flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			values[name] = !isBool
		}
	}
	flags, rest := []string{args[0]}, []string(nil)
	for j := 1; j < len(args); j++ {
		arg := args[j]
		name := strings.TrimLeft(arg, "-")
		switch {
		case arg == "--":
			return append(append(append(flags, rest...), arg), args[j+1:]...)
		case arg == "-" || !strings.HasPrefix(arg, "-"):
			rest = append(rest, arg)
		case values[name] && j+1 < len(args):
			flags = append(flags, arg, args[j+1])
			j++
		default:
			flags = append(flags, arg)
		}
	}
	return append(flags, rest...)
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
