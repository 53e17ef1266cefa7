// Replay replays recorded uprobe hits and address-space changes on simulated
// CPUs, through the lookup that takes mmap_lock and the one that does not.
//
// This package is flags, files, progress and exit codes; what is computed is in
// the packages ingest, traces, replay and reports.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program: it returns the exit code. Results go to stdout,
// everything else to stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &env{stdin: stdin, stdout: stdout, stderr: stderr}
	app := newApp(e)
	err := app.RunContext(ctx, append([]string{app.Name}, permute(app.Commands, args)...))
	return e.report(ctx, err)
}
