package ingest

import (
	"slices"

	"github.com/replay/replay/ingest/perfdata"
)

// findSessions finds the inputs that one perf record wrote, one file after the other
// (--switch-output): its events are the same in all, and it counts what was lost once.
func (j *joint) findSessions() {
	j.sessions = make([]int, len(j.inputs))
	for i := range j.inputs {
		j.sessions[i] = i
		for k := range i {
			a, isPerf := j.inputs[i].(*perfStream)
			b, too := j.inputs[k].(*perfStream)
			if isPerf && too && sameSession(a.r, b.r) {
				j.sessions[i], a.session, b.session = j.sessions[k], true, true
				break
			}
		}
	}
}

// sameSession reports whether one perf record wrote both files. The kernel gives each event
// that is opened an id of its own (primary_event_id).
func sameSession(a, b *perfdata.Reader) bool {
	x, y := a.Events(), b.Events()
	if len(x) == 0 || len(x) != len(y) || a.Info().Host != b.Info().Host || !slices.Equal(a.Info().Cmdline, b.Info().Cmdline) {
		return false
	}
	for i := range x {
		if len(x[i].IDs) == 0 || !slices.Equal(x[i].IDs, y[i].IDs) {
			return false
		}
	}
	return true
}

// rest makes rows of what whole sessions lost that no record in place tells of.
func (j *joint) rest() {
	for i := range j.inputs {
		if j.sessions[i] != i {
			continue
		}
		var all losses
		last := i
		for k := i; k < len(j.inputs); k++ {
			if s, ok := j.inputs[k].(*perfStream); ok && s.session && j.sessions[k] == i {
				all.join(&s.losses)
				last = k
			}
		}
		r := j.asm.Record()
		if !all.rest(r) {
			j.asm.Release(r)
			continue
		}
		r.Src = j.sources[last]
		j.asm.Place(r)
	}
}

// join takes in the losses of another file of one session, whose totals are those of the
// whole session so far.
func (l *losses) join(o *losses) {
	for cpu, last := range o.lastOn.All() {
		if mine := l.lastOn.Get(cpu); mine == nil || *mine < *last {
			l.heard(cpu, *last)
		}
	}
	l.newest = max(l.newest, o.newest)
	l.seen += o.seen
	l.total = max(l.total, o.total)
}
