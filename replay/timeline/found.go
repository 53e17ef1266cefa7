package timeline

// Found counts what a reader of the result must know.
type Found struct {
	ObservedArrivals, InferredArrivals int64 // of hits
	Lookups                            int64 // of these, on the recorded kernel
	ObservedSections, ModelledSections int64 // for write
	UndecidedSections                  int64 // of these, which a lost event may have changed
	Unended                            int64 // locks still held at the end
	Untold                             int64 // hits that may have been of optimised probes
	Late                               int64 // operations that came too late to be in order
	Unlocked                           int64 // mmaps and munmaps without lock events, after others had them
	UnlockedUntil                      int64 // ns since the start: the last of these
	Sharing                            int64 // processes that were in the address space of another, where locks tell
}

// section counts a write section.
func (n *Found) section(o *Origin) {
	if o.Undecided {
		n.UndecidedSections++
	}
	if o.Observed {
		n.ObservedSections++
	} else {
		n.ModelledSections++
	}
}

// sharers finds processes that are in one address space: of vfork, and of clone with CLONE_VM
// and no CLONE_THREAD. The replay gives each one of its own.
type sharers struct {
	users map[uint64]*users // by mm
	known map[*Space]bool
}

// users are the two that were in an mm last.
type users struct{ latest, before *Space }

// use notes that a process locked an mm that is its own, and returns how many are new among
// those that share. An mm is used again after its process, but not by that process once more.
func (s *sharers) use(mm uint64, space *Space) (found int64) {
	u := s.users[mm]
	if u == nil {
		u = &users{}
		s.users[mm] = u
	}
	if u.latest == space {
		return 0
	}
	if u.before == space {
		for _, p := range []*Space{space, u.latest} {
			if !s.known[p] {
				s.known[p] = true
				found++
			}
		}
	}
	u.latest, u.before = space, u.latest
	return found
}
