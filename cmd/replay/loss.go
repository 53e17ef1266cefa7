package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/traces"
)

// lossLimit is how much a trace may have lost and still be good for a verdict.
type lossLimit struct {
	text   string  // as given; empty: any loss
	events int64   // at most so many, or
	share  float64 // at most this share of all events, from 0 to 1
	shared bool
}

// parseLoss reads --max-loss: a whole number is a number of events, any other one
// a share of them, as is a percentage.
func parseLoss(s string) (lossLimit, error) {
	l := lossLimit{text: s}
	if s == "" {
		return l, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		l.events = n
		return l, nil
	}
	number, percent := strings.CutSuffix(s, "%")
	x, err := strconv.ParseFloat(number, 64)
	if percent {
		x /= 100
	}
	if err != nil || math.IsNaN(x) || x < 0 || x > 1 {
		return l, usage("--max-loss %q: want a number of events, or a share such as 0.001 or 0.1%%", s)
	}
	l.share, l.shared = x, true
	return l, nil
}

// oneTrace returns the command's only argument, and how much that may have lost.
func oneTrace(c *cli.Context) (string, lossLimit, error) {
	path, err := one(c, "trace")
	if err != nil {
		return "", lossLimit{}, err
	}
	loss, err := parseLoss(c.String("max-loss"))
	return path, loss, err
}

// allows reports whether a limit was given and a loss from so many events left
// keeps to it.
func (l lossLimit) allows(lost, events int64) bool {
	return l.text != "" && (l.shared && lossShare(lost, events) <= l.share || !l.shared && lost <= l.events)
}

// lossShare is the share of lost events in all.
func lossShare(lost, events int64) float64 { return float64(lost) / float64(max(lost+events, 1)) }

// check fails a trace of so many events that lost more than the limit allows, or one
// that cannot tell.
func (l lossLimit) check(lost, events int64, unknown []traces.Unknown) error {
	if l.text == "" {
		return nil
	}
	if u := traces.Unknowns(unknown, traces.UnknownLosses); len(u) > 0 {
		return &coded{exitLossy, fmt.Errorf("--max-loss %s: %v", l.text, u[0])}
	}
	if l.allows(lost, events) {
		return nil
	}
	return &coded{exitLossy, fmt.Errorf("%d of %d events were lost (%.3g%%), and --max-loss allows %s; record with larger buffers (replay capture -m, perf record -m)",
		lost, lost+events, 100*lossShare(lost, events), l.text)}
}
