package reports

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// CutTimeline copies what Timeline wrote, unzipped, without what lies outside of a window.
// Bars that reach into it stay whole; arrows stay where both ends do. It reads the text
// twice: open begins it anew.
func CutTimeline(w io.Writer, open func() (io.Reader, error), window replay.Window) error {
	ends := map[int64]int{} // of arrows, that are in the window
	err := timelineEvents(open, func(line []byte, e *cutEvent) error {
		if e.Phase == "s" || e.Phase == "f" {
			if window.Contains(e.from, e.from) {
				ends[e.ID]++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, `{"displayTimeUnit":"ns","traceEvents":[`)
	n := 0
	err = timelineEvents(open, func(line []byte, e *cutEvent) error {
		switch e.Phase {
		case "M":
		case "s", "f":
			if ends[e.ID] < 2 {
				return nil
			}
		default:
			if !window.Contains(e.from, e.from+e.length) {
				return nil
			}
		}
		if n++; n > 1 {
			out.WriteByte(',')
		}
		out.Write(line)
		return out.WriteByte('\n')
	})
	if err != nil {
		return err
	}
	out.WriteString("]}\n")
	return out.Flush()
}

// cutEvent is what of an event says when it is.
type cutEvent struct {
	Phase string      `json:"ph"`
	TS    json.Number `json:"ts"` // µs
	Dur   json.Number `json:"dur"`
	ID    int64       `json:"id"`

	from, length sim.Time
}

// timelineEvents calls each for the events of a timeline, one on a line.
func timelineEvents(open func() (io.Reader, error), each func(line []byte, e *cutEvent) error) error {
	r, err := open()
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimPrefix(lines.Bytes(), []byte(","))
		if n == 1 || bytes.Equal(line, []byte("]}")) {
			continue
		}
		var e cutEvent
		if err := json.Unmarshal(line, &e); err != nil {
			if !lines.Scan() && lines.Err() != nil {
				return lines.Err() // it was cut in this line
			}
			return fmt.Errorf("line %d is no event of a timeline: %w; make the run anew", n, err)
		}
		if e.from, err = micros(e.TS); err == nil {
			e.length, err = micros(e.Dur)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w; make the run anew", n, err)
		}
		if err := each(line, &e); err != nil {
			return err
		}
	}
	return lines.Err()
}

// micros reads a time in µs with up to three decimals; none is 0.
func micros(n json.Number) (sim.Time, error) {
	if n == "" {
		return 0, nil
	}
	whole, part, _ := strings.Cut(string(n), ".")
	ns, err := strconv.ParseInt(whole+(part + "000")[:3], 10, 64)
	if err != nil || len(part) > 3 {
		return 0, fmt.Errorf("%q is no time in µs", n)
	}
	return sim.Time(ns) * sim.Nanosecond, nil
}
