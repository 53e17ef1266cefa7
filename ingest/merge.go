package ingest

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/replay/replay/traces"
)

// merged is several inputs as one, in total order: those that are in the store already
// row by row, the records of all others as one stream.
type merged struct {
	paths  []string
	inputs []Stream

	joint   *joint // nil where all inputs are stored
	streams []traces.Stream
	heads   []traces.Event // the next event of each stream
	ended   []bool
	seq     int64
	traps   traces.Traps    // that streams share: two recordings of one probe
	links   []traces.Relink // of each stream
	clock   int             // the input whose clock all have
	telling bool            // there was a row of a probe, or of mmap_lock: what a report is about
	whole   []bool          // by input: it has syscalls with entry and exit
	strays  bool            // there was a row of a thread whose process is not known
}

// merge reads the first event of each input, and with it what a pipe says of its
// clock.
func merge(paths []string, inputs []Stream) (Stream, error) {
	m := &merged{paths: paths, inputs: inputs, whole: make([]bool, len(inputs))}
	if err := m.start(); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func (m *merged) start() (err error) {
	var records []recordStream
	var sources []int32
	for i, in := range m.inputs {
		if r, ok := in.(recordStream); ok {
			records, sources = append(records, r), append(sources, int32(i))
		} else {
			m.streams = append(m.streams, numbered{in, int32(i)})
		}
	}
	if len(records) > 0 {
		if m.joint, err = join(records, sources); err != nil {
			return err
		}
		m.streams = append(m.streams, m.joint)
	}
	m.heads, m.ended, m.links = make([]traces.Event, len(m.streams)), make([]bool, len(m.streams)), make([]traces.Relink, len(m.streams))
	for i := range m.streams {
		if err := m.fill(i); err != nil {
			return err
		}
	}
	return m.checkClocks()
}

// numbered is a stream whose events say which input they are of.
type numbered struct {
	traces.Stream
	input int32
}

// Next is part of traces.Stream.
func (n numbered) Next(ev *traces.Event) error {
	err := n.Stream.Next(ev)
	ev.Src = n.input
	ev.Has |= traces.ColSrc
	return err
}

// untold is a Stream whose source does not tell its clock: Meta has what it is by
// default.
type untold interface{ clockUntold() }

// checkClocks refuses inputs whose clocks differ. Those that do not tell theirs are
// taken to have that of the others.
func (m *merged) checkClocks() error {
	first := -1
	for i, s := range m.inputs {
		if _, any := s.(untold); any {
			continue
		}
		if first < 0 {
			first = i
		}
		if x, y := m.inputs[first].Meta().Clock, s.Meta().Clock; x != y {
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
		return m.end()
	}
	*ev = m.heads[least]
	m.number(least, ev)
	m.telling = m.telling || ev.Kind == traces.Hit || ev.Kind == traces.Ret || ev.Kind.IsLock()
	m.strays = m.strays || ev.Got(traces.ColTID) && !ev.Got(traces.ColPID)
	m.whole[ev.Src] = m.whole[ev.Src] || ev.Kind.IsSyscall() && ev.Got(traces.ColDur)
	return m.fill(least)
}

// end is io.EOF where an input has a probe, or lock events. Which one does not matter.
func (m *merged) end() error {
	probed := func(s Stream) bool {
		recorded := s.Meta().Recorded
		return slices.Contains(recorded, traces.Hit.String()) || slices.Contains(recorded, traces.Ret.String())
	}
	if m.telling || m.joint == nil || slices.ContainsFunc(m.inputs, probed) {
		return io.EOF
	}
	return fmt.Errorf("%s and %d more: %w: at least one of them must have; add one with perf probe -x PROGRAM FUNCTION and record it with perf record -e", m.paths[0], len(m.paths)-1, ErrNoProbe)
}

// number gives an event of a stream its number, and joins it to the trap of another
// stream's event: each has at most one trap's events of one trap.
func (m *merged) number(stream int, ev *traces.Event) {
	from := ev.Seq
	m.links[stream].Move(ev, m.seq)
	m.seq++
	first := !ev.Joined()
	m.traps.Join(ev, int32(stream)+1, false)
	if first && ev.Joined() {
		m.links[stream].Name(ev, from, ev.Trap)
	}
}

// earlier orders the heads of two streams; the first wins a tie.
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
	return err
}

// Meta is part of traces.Stream.
func (m *merged) Meta() traces.Meta {
	meta := m.inputs[m.clock].Meta()
	meta.Sources, meta.Warnings, meta.Lost, meta.Recorded, meta.Unknown = nil, nil, 0, nil, nil
	told := true // what was recorded, by all
	for i, s := range m.inputs {
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
		told = told && one.Recorded != nil
		meta.Recorded = append(meta.Recorded, one.Recorded...)
		m.addUnknown(&meta, i, one.Unknown)
	}
	if m.joint != nil {
		meta.Lost += m.joint.asm.Counts().Lost
		meta.Warnings = append(meta.Warnings, m.joint.warnings()...)
	}
	if !told {
		meta.Recorded = nil
	}
	inOrder(meta.Recorded)
	meta.Recorded = slices.Compact(meta.Recorded)
	return meta
}

// inOrder puts names of kinds in the order of the schema.
func inOrder(kinds []string) {
	order := map[string]int{}
	for _, k := range traces.Kinds() {
		order[k.String()] = int(k)
	}
	slices.SortStableFunc(kinds, func(a, b string) int { return order[a] - order[b] })
}

// addUnknown adds what an input cannot tell, unless another tells it: one with whole
// syscalls tells of all that another one names by their numbers, one with process ids
// whose the threads are.
func (m *merged) addUnknown(meta *traces.Meta, input int, unknown []traces.Unknown) {
	for _, u := range unknown {
		if u.What == traces.UnknownWriters && !m.whole[input] && slices.Contains(m.whole, true) {
			continue
		}
		if u.What == traces.UnknownProcesses && !m.strays {
			continue
		}
		u.Why = m.paths[input] + ": " + u.Why
		meta.Unknown = append(meta.Unknown, u)
	}
}

// Close is part of Stream.
func (m *merged) Close() error {
	var errs []error
	for _, s := range m.inputs {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
