package ingest

import (
	"errors"
	"fmt"
	"io"

	"github.com/replay/replay/traces"
)

// merged is several inputs as one, in total order.
type merged struct {
	paths   []string
	streams []Stream
	heads   []traces.Event // the next event of each stream
	ended   []bool
	seq     int64
	traps   traces.Traps    // that inputs share: two recordings of one probe
	links   []traces.Relink // of each input
	clock   int             // the input whose clock all have
}

// merge reads the first event of each input, and with it what a pipe says of its
// clock.
func merge(paths []string, streams []Stream) (Stream, error) {
	m := &merged{paths: paths, streams: streams, heads: make([]traces.Event, len(streams)), ended: make([]bool, len(streams)), links: make([]traces.Relink, len(streams))}
	for i := range streams {
		if err := m.fill(i); err != nil {
			m.Close()
			return nil, err
		}
	}
	if err := m.checkClocks(); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// untold is a Stream whose source does not tell its clock: Meta has what it is by
// default.
type untold interface{ clockUntold() }

// checkClocks refuses inputs whose clocks differ. Those that do not tell theirs are
// taken to have that of the others.
func (m *merged) checkClocks() error {
	first := -1
	for i, s := range m.streams {
		if _, any := s.(untold); any {
			continue
		}
		if first < 0 {
			first = i
		}
		if x, y := m.streams[first].Meta().Clock, s.Meta().Clock; x != y {
			return fmt.Errorf("%s and %s: %w: %s and %s; record all with perf record -k mono", m.paths[first], m.paths[i], ErrClock, x, y)
		}
	}
	m.clock = max(first, 0)
	return nil
}

// Next is part of traces.Stream.
func (m *merged) Next(ev *traces.Event) error {
	least := -1
	for i := range m.streams {
		if !m.ended[i] && (least < 0 || earlier(&m.heads[i], &m.heads[least])) {
			least = i
		}
	}
	if least < 0 {
		return io.EOF
	}
	*ev = m.heads[least]
	m.number(least, ev)
	return m.fill(least)
}

// number gives an event of an input its number, and joins it to the trap of another
// input's event: each input has at most one trap's events of one trap.
func (m *merged) number(input int, ev *traces.Event) {
	from := ev.Seq
	m.links[input].Move(ev, m.seq)
	m.seq++
	first := !ev.Joined()
	m.traps.Join(ev, int32(input)+1, false)
	if first && ev.Joined() {
		m.links[input].Name(ev, from, ev.Trap)
	}
}

// earlier orders the heads of two inputs; the first input wins a tie.
func earlier(a, b *traces.Event) bool {
	x, y := *a, *b
	x.Seq, y.Seq = 0, 0
	return traces.Compare(&x, &y) < 0
}

func (m *merged) fill(i int) error {
	err := m.streams[i].Next(&m.heads[i])
	if errors.Is(err, io.EOF) {
		m.ended[i] = true
		return nil
	}
	m.heads[i].Src = int32(i)
	m.heads[i].Has |= traces.ColSrc
	return err
}

// Meta is part of traces.Stream.
func (m *merged) Meta() traces.Meta {
	meta := m.streams[m.clock].Meta()
	meta.Sources, meta.Warnings, meta.Lost = nil, nil, 0
	for i, s := range m.streams {
		one := s.Meta()
		meta.CPUs = max(meta.CPUs, one.CPUs)
		meta.Lost += one.Lost
		meta.Sources = append(meta.Sources, one.Sources...)
		if _, any := s.(untold); any && one.Clock != meta.Clock {
			meta.Warnings = append(meta.Warnings, fmt.Sprintf("%s: it does not tell its clock, which is taken to be %s as of %s", m.paths[i], meta.Clock, m.paths[m.clock]))
		}
		for _, w := range one.Warnings {
			meta.Warnings = append(meta.Warnings, m.paths[i]+": "+w)
		}
	}
	return meta
}

// Close is part of Stream.
func (m *merged) Close() error {
	var errs []error
	for _, s := range m.streams {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
