package bpftrace

import (
	"bytes"

	"github.com/replay/replay/ingest/assemble"
)

const (
	second   = 1_000_000_000 // ns
	wholeDay = 24 * 3600 * second
	// backMax is how far back a time may lie and still be of the same day. Lines of
	// several CPUs are out of order by seconds, and a clock is set by an hour.
	backMax = 3600 * second
)

// day knows which day a time of day is of, which no line tells.
type day struct {
	begun  bool
	latest int64 // ns since the midnight before the first
}

// place returns the time since the midnight before the first: a time is after the
// latest unless it is only a little before it.
func (d *day) place(ns int64) int64 {
	if !d.begun {
		d.begun, d.latest = true, ns
		return ns
	}
	low := d.latest - backMax // ns is of the day that begins here
	since := (ns - low) % wholeDay
	if since < 0 {
		since += wholeDay
	}
	d.latest = max(d.latest, low+since)
	return low + since
}

// setTimeOfDay reads HH:MM:SS with or without a fraction, as strftime and time print
// it.
func setTimeOfDay(p *Parser, r *assemble.Record, b []byte) bool {
	if len(b) < len("HH:MM:SS") || b[2] != ':' || b[5] != ':' {
		return false
	}
	var ns int64
	for i, part := range [][]byte{b[:2], b[3:5], b[6:8]} {
		n, ok := parseUnits(part, 1)
		if limit := []int64{24, 60, 61}[i]; !ok || n >= limit || bytes.IndexByte(part, '.') >= 0 {
			return false
		}
		ns = ns*60 + n
	}
	ns *= second
	if fraction := b[8:]; len(fraction) > 0 {
		n, ok := parseUnits(append([]byte("0"), fraction...), second)
		if !ok || fraction[0] != '.' || len(fraction) == 1 {
			return false
		}
		ns += n
	}
	if p.step != 0 && !p.day.begun {
		return false // the lines before have times of another kind
	}
	r.Time = p.day.place(ns)
	p.step = stepOf(b[6:], second)
	return true
}
