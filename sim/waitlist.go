package sim

// waitlist is the requests for a line that is busy, as lists through a pool that all
// lines share: with hundreds of CPUs there are hundreds of them, of which now one at the
// front is taken and now one from the middle.
type waitlist struct {
	n       int
	arrived uint64      // requests ever
	sockets []waitChain // in order of arrival, by socket
	cores   []waitChain // and by core
	waiting int64       // cores with a request
}

// waitChain is a list of entries of a waitPool, by index; 0 is none.
type waitChain struct{ first, last int32 }

// waitPool holds the entries of all waitlists. Entry 0 stands for none.
type waitPool struct {
	entries []waitEntry
	unused  int32 // chained by next
}

type waitEntry struct {
	request
	number     uint64 // in order of arrival at its line
	core       int32
	next, prev int32 // of its socket
	inCore     int32 // next of its core
}

func newWaitlist(sockets, cores int) *waitlist {
	return &waitlist{sockets: make([]waitChain, sockets), cores: make([]waitChain, cores)}
}

// push appends a request from a place.
func (q *waitlist) push(p *waitPool, r request, from place) {
	id := p.unused
	if id == 0 {
		if len(p.entries) == 0 {
			p.entries = append(p.entries, waitEntry{})
		}
		id = int32(len(p.entries))
		p.entries = append(p.entries, waitEntry{})
	}
	e := &p.entries[id]
	p.unused = e.next
	q.n++
	q.arrived++
	socket, core := &q.sockets[from.socket], &q.cores[from.core]
	*e = waitEntry{request: r, number: q.arrived, core: from.core, prev: socket.last}
	if socket.last == 0 {
		socket.first = id
	} else {
		p.entries[socket.last].next = id
	}
	socket.last = id
	if core.last == 0 {
		core.first = id
		q.waiting++
	} else {
		p.entries[core.last].inCore = id
	}
	core.last = id
}

// oldest is the request that waits the longest; there is one.
func (q *waitlist) oldest(p waitPool) int32 {
	best := int32(0)
	for i := range q.sockets {
		if id := q.sockets[i].first; id != 0 && (best == 0 || p.entries[id].number < p.entries[best].number) {
			best = id
		}
	}
	return best
}

// local is the request that waits the longest among those of other cores of the socket,
// 0 for none.
func (q *waitlist) local(p waitPool, here place) int32 {
	id := q.sockets[here.socket].first
	for id != 0 && p.entries[id].core == here.core {
		id = p.entries[id].next
	}
	return id
}

// take removes a request that is the first of its core.
func (q *waitlist) take(p *waitPool, id int32, topo *Topology) request {
	e := &p.entries[id]
	r := e.request
	q.n--
	socket, core := &q.sockets[topo.cpus[r.cpu].socket], &q.cores[e.core]
	if e.prev == 0 {
		socket.first = e.next
	} else {
		p.entries[e.prev].next = e.next
	}
	if e.next == 0 {
		socket.last = e.prev
	} else {
		p.entries[e.next].prev = e.prev
	}
	if core.first = e.inCore; core.first == 0 {
		core.last = 0
		q.waiting--
	}
	*e = waitEntry{next: p.unused}
	p.unused = id
	return r
}
