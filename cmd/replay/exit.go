package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/replay/replay/ingest/capture"
	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// Exit codes, as the README lists them.
const (
	exitOK          = 0
	exitRegression  = 1   // regression, failed verification, or a counterexample
	exitUsage       = 2   // usage or I/O error
	exitInput       = 3   // input unreadable or unsupported
	exitLossy       = 4   // too lossy for a verdict
	exitInterrupted = 130 // Ctrl-C
)

// coded is an error with the exit code that it means.
type coded struct {
	code int
	err  error // nil: everything is said already
}

func (c *coded) Error() string {
	if c.err == nil {
		return fmt.Sprintf("exit %d", c.code)
	}
	return c.err.Error()
}

func (c *coded) Unwrap() error { return c.err }

// usage is an error in how the program was called.
func usage(format string, args ...any) error {
	return &coded{exitUsage, fmt.Errorf(format, args...)}
}

// badInput marks an error as one of a file's content. What keeps a file from
// being read at all stays an I/O error.
func badInput(err error) error {
	var c *coded
	var path *fs.PathError
	var fault *sim.Fault
	if errors.As(err, &fault) {
		return &coded{exitRegression, err} // ours, and not the input's
	}
	if err == nil || errors.As(err, &c) || errors.As(err, &path) || errors.Is(err, context.Canceled) {
		return err
	}
	return &coded{exitInput, err}
}

// report prints what went wrong and returns the exit code.
func (e *env) report(ctx context.Context, err error) int {
	e.endProgress()
	if err == nil {
		return exitOK
	}
	var c *coded
	judged := errors.As(err, &c)
	if errors.Is(err, context.Canceled) || ctx.Err() != nil && !judged {
		fmt.Fprintln(e.stderr, "replay: interrupted; no output was left half-written")
		return exitInterrupted
	}
	if errors.Is(err, syscall.EPIPE) {
		return exitUsage // whoever read the output has seen enough
	}
	code := exitUsage
	if judged {
		code = c.code
		if c.err == nil {
			return code
		}
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(e.stderr, "replay:", line)
	}
	e.reportFailure(err)
	return code
}

// reportFailure says of a machine that failed how to see it again, and where in the
// program it was.
func (e *env) reportFailure(err error) {
	var failure *replay.Failure
	if errors.As(err, &failure) && len(failure.Repeat) > 0 {
		words := make([]string, len(failure.Repeat))
		for i, w := range failure.Repeat {
			words[i] = capture.Quote(w)
		}
		fmt.Fprintln(e.stderr, "replay: to see it again:", strings.Join(words, " "))
	}
	var fault *sim.Fault
	if errors.As(err, &fault) {
		fmt.Fprintf(e.stderr, "replay: this is a mistake of replay and not of its input; the command and these lines tell where:\n%s", fault.Stack)
	}
}
