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
	"sync"
	"syscall"
)

func main() {
	// A reader that has seen enough, such as head, is an error of the write, so
	// that temporary files go away. Notify, unlike Ignore, is not inherited.
	// So is a file that would grow over the limit (ulimit -f).
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGXFSZ)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program: it returns the exit code. Results go to stdout,
// everything else to stderr.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if _, ok := stderr.(*os.File); !ok {
		stderr = &inTurn{w: stderr}
	}
	e := &env{stdin: &untilDone{ctx: ctx, r: stdin}, stdout: stdout, stderr: stderr}
	app := newApp(e)
	err := app.RunContext(ctx, append([]string{app.Name}, permute(app.Commands, args)...))
	return e.report(ctx, err)
}

// inTurn takes one write at a time: what a command starts, such as perf, writes
// beside it. The kernel does that for files.
type inTurn struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *inTurn) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w.Write(p)
}

// untilDone is a reader that ends with ctx, even while a read blocks: nobody may
// ever write to the pipe.
type untilDone struct {
	ctx  context.Context
	r    io.Reader
	pipe *io.PipeReader // made by the first Read
}

func (u *untilDone) Read(p []byte) (int, error) {
	if u.pipe == nil {
		r, w := io.Pipe()
		u.pipe = r
		context.AfterFunc(u.ctx, func() { w.CloseWithError(context.Cause(u.ctx)) })
		go func() {
			_, err := io.Copy(w, u.r)
			w.CloseWithError(err)
		}()
	}
	return u.pipe.Read(p)
}
