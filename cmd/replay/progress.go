package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
)

// bar is progress on a terminal; elsewhere there is none.
type bar struct {
	p *progressbar.ProgressBar
}

// reading is the task whose progress is in bytes.
const reading = "reading"

// progress shows how far a task is, when standard error is a terminal. It
// returns a function to call with what is done, of a total.
func (e *env) progress(c *cli.Context, what string) func(done, total int64) {
	if c.Bool("quiet") || !isTerminal(e.stderr) {
		return func(int64, int64) {}
	}
	e.endProgress()
	e.bar = &bar{progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(e.stderr), progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(what == reading),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30),
	)}
	p := e.bar.p
	return func(done, total int64) {
		if total > 0 && p.GetMax64() != total {
			p.ChangeMax64(total)
		}
		_ = p.Set64(done) // a terminal that cannot be written to is no reason to stop
	}
}

func (e *env) endProgress() {
	if e.bar != nil {
		_ = e.bar.p.Finish()
		e.bar = nil
	}
}

// detail tells, on demand, what is being done.
func (e *env) detail(c *cli.Context, format string, args ...any) {
	if c.Bool("verbose") {
		e.remark(c, format, args...)
	}
}

// remark tells the user something that is no result.
func (e *env) remark(c *cli.Context, format string, args ...any) {
	if !c.Bool("quiet") {
		e.endProgress()
		fmt.Fprintf(e.stderr, format+"\n", args...)
	}
}
