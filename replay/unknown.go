package replay

import "github.com/replay/replay/traces"

// Unknown is something that a trace cannot tell (traces.Coverage).
type Unknown = traces.Unknown

// What of an Unknown.
const (
	UnknownWriters   = traces.UnknownWriters
	UnknownOutcomes  = traces.UnknownOutcomes
	UnknownProcesses = traces.UnknownProcesses
	UnknownLosses    = traces.UnknownLosses
	UnknownHits      = traces.UnknownHits
)

// Unknowns picks those of a list that are about one of some things.
func Unknowns(list []Unknown, whats ...string) []Unknown { return traces.Unknowns(list, whats...) }

// Unanswered is what of the unknown keeps a run from saying which hits take the lock,
// and all that follows from that: how many there were, and who changed which address
// space.
func Unanswered(list []Unknown) []Unknown {
	return Unknowns(list, UnknownWriters, UnknownProcesses, UnknownHits)
}

// Knows reports whether the trace tells of something, one of the Unknown constants.
func (r *Result) Knows(what string) bool { return len(Unknowns(r.Unknown, what)) == 0 }
