package timeline

import "github.com/replay/replay/traces"

// eventCount is what a survey counts of the events at probes, whether they are lookups
// of their own or not.
type eventCount struct {
	hits   int64            // events of hits; those of one trap each
	probes map[string]int64 // of them, by probe
	// Addresses of instructions where a hit was recorded, and returns by the address
	// of their function.
	hit     map[uint64]bool
	returns map[returnOf]int64
	last    struct { // of the hit before: mostly the next is like it
		probe string
		addr  uint64
		count int64
	}
}

// returnOf is the function that returned, and the event that says so.
type returnOf struct {
	addr  uint64
	probe string
}

func (c *eventCount) add(ev *traces.Event) {
	switch {
	case ev.Kind == traces.Hit:
		c.hits++
		if c.last.probe != ev.Probe || c.last.addr != ev.Addr {
			c.flush()
			c.last.probe, c.last.addr = ev.Probe, ev.Addr
		}
		c.last.count++
	case ev.Kind == traces.Ret:
		if c.returns == nil {
			c.returns = map[returnOf]int64{}
		}
		c.returns[returnOf{ev.Addr, ev.Probe}]++
	}
}

// flush takes over the hits that were counted aside.
func (c *eventCount) flush() {
	if c.last.count == 0 {
		return
	}
	if c.probes == nil {
		c.probes, c.hit = map[string]int64{}, map[uint64]bool{}
	}
	c.probes[c.last.probe] += c.last.count
	c.hit[c.last.addr] = true
	c.last.count = 0
}

// unseen is how many lookups returns tell of that no hit shows. A return probe puts a
// breakpoint at its function's entry, where it has the return address replaced
// (prepare_uretprobe); the return itself is not looked up (uprobe_handle_trampoline).
// Several return probes on a function share its breakpoint.
func (c *eventCount) unseen() int64 {
	most := map[uint64]int64{}
	for r, n := range c.returns {
		if !c.hit[r.addr] {
			most[r.addr] = max(most[r.addr], n)
		}
	}
	sum := int64(0)
	for _, n := range most { // a sum: the order does not matter
		sum += n
	}
	return sum
}
