package assemble

import (
	"fmt"
	"time"
)

// Warnings tells what did not fit, for people.
func (c *Counts) Warnings() []string {
	var w []string
	add := func(n int64, format string, args ...any) {
		if n > 0 {
			w = append(w, fmt.Sprintf(format, append([]any{n}, args...)...))
		}
	}
	add(c.Lost, "%d events were lost by the recorder")
	add(c.UnpairedEnters, "%d syscalls have no exit: their duration and result are unknown")
	add(c.UnpairedExits, "%d syscalls have no entry: their arguments are unknown")
	add(c.ForeignForks, "%d forks name their child as another namespace of processes does, and make no rows: whose child has whose mappings is unknown; print with perf script --show-task-events")
	add(c.Late, "%d records came too late to be put in order, by up to %v", time.Duration(c.LatestNs))
	add(c.ForcedOut, "%d rows were given out before they were complete, to bound memory")
	add(c.Strangers, "%d lookups that took mmap_lock were of breakpoints that no hit here is at, somebody else's probes or a debugger's: they count as other readers of it")
	add(c.NotUnwound, "%d callchains lack the user's part: the kernel put it off and the recording does not have it")
	return w
}

// Counts is what did not fit.
type Counts struct {
	UnpairedEnters int64 // syscalls without an exit
	UnpairedExits  int64 // exits without an entry: rows of the exit alone
	ForeignForks   int64 // whose child's id is of another namespace
	Late           int64 // records earlier than what was given out before them
	LatestNs       int64 // by how much, at most, ns
	Unordered      int64 // records that came after later ones
	DisorderNs     int64 // by how much, at most, ns
	ForcedOut      int64 // rows given out incomplete because of MaxHeld
	Strangers      int64 // lookups of breakpoints without a hit here
	NotUnwound     int64 // callchains whose user part was promised and never told
	Lost           int64 // events that the recorder dropped
}
