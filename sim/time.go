package sim

import (
	"fmt"
	"time"
)

// Time is virtual time in picoseconds since the start of the run. Durations use
// the same type. It holds 106 days.
type Time int64

// Units of Time.
const (
	Picosecond  Time = 1
	Nanosecond       = 1000 * Picosecond
	Microsecond      = 1000 * Nanosecond
	Millisecond      = 1000 * Microsecond
	Second           = 1000 * Millisecond
)

// Never is later than any instant of a run.
const Never Time = 1<<63 - 1

// Nanos returns t in whole nanoseconds, rounded down.
func (t Time) Nanos() int64 { return int64(t) / int64(Nanosecond) }

// String formats t for people, such as "1.5µs".
func (t Time) String() string {
	if t == Never {
		return "never"
	}
	if t > -Nanosecond && t < Nanosecond {
		return fmt.Sprintf("%dps", int64(t))
	}
	return time.Duration(t.Nanos()).String()
}
