package timeline

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/traces"
)

const (
	// SurveyKey is the key of a trace's metadata under which its survey is kept.
	SurveyKey = "replay.survey"

	// keptVersion changes with what a survey finds and with how it is written.
	keptVersion = 3

	// keptBytesMax bounds what is kept with a trace. What makes a survey large is many
	// threads or losses: that of some ten thousand threads is not kept.
	keptBytesMax = 1 << 20

	// keptRhythmsMax bounds the threads whose gaps are kept: what is read takes 8 kB each.
	keptRhythmsMax = 1 << 12
)

// Keep is the survey as text, to be kept with a trace that says m of itself; "" for one
// that is too large.
func (s *Survey) Keep(m traces.Meta) string {
	a := &archive{}
	version, meta := int64(keptVersion), metaSum(m)
	a.numbers(&version, &meta)
	a.survey(s)
	a.bytes = binary.LittleEndian.AppendUint32(a.bytes, crc32.ChecksumIEEE(a.bytes))
	text := base64.StdEncoding.EncodeToString(a.bytes)
	if len(text) > keptBytesMax || len(s.rhythms) > keptRhythmsMax {
		return ""
	}
	return text
}

// errKept is that of a text which Keep did not make.
var errKept = errors.New("the survey that is kept with the trace is damaged")

// ReadKept is the survey that a text of Keep holds; nil where it is of another version or
// of a trace that says other things of itself or has other than so many rows.
func ReadKept(text string, m traces.Meta, rows int64) (*Survey, error) {
	if len(text) > keptBytesMax {
		return nil, fmt.Errorf("%w: %d bytes, and at most %d are kept", errKept, len(text), keptBytesMax)
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errKept, err)
	}
	n := len(data) - crc32.Size
	if n < 0 || binary.LittleEndian.Uint32(data[n:]) != crc32.ChecksumIEEE(data[:n]) {
		return nil, fmt.Errorf("%w: its checksum is wrong", errKept)
	}
	a := &archive{reads: true, bytes: data[:n]}
	var version, meta int64
	if a.numbers(&version, &meta); a.err == nil && (version != keptVersion || meta != metaSum(m)) {
		return nil, nil
	}
	s := newSurvey()
	s.Unknown, s.sites.programs = []traces.Unknown{}, nil
	a.survey(s)
	if a.err == nil && len(a.bytes) > 0 {
		a.err = fmt.Errorf("%d bytes too many", len(a.bytes))
	}
	if a.err == nil {
		a.err = s.check()
	}
	if a.err != nil {
		return nil, fmt.Errorf("%w: %w", errKept, a.err)
	}
	if s.Events != rows {
		return nil, nil
	}
	return s, nil
}

// metaSum tells whether a trace says the same of itself, whoever reads or writes it: a
// list that is empty is none.
func metaSum(m traces.Meta) int64 {
	m.Schema = traces.Schema
	m.Sources, m.Warnings, m.Recorded, m.Unknown = orNone(m.Sources), orNone(m.Warnings), orNone(m.Recorded), orNone(m.Unknown)
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // it is strings and numbers
	}
	return int64(crc32.ChecksumIEEE(text))
}

func orNone[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// check holds what was read to what a survey can be.
func (s *Survey) check() error {
	const cpusMax = 1 << 20
	for _, n := range []int64{s.Events, s.Hits, s.hitEvents, s.Lost, s.unseen, s.failed, s.stamped, s.undecided, s.calls, s.deep, s.losses.events} {
		if n < 0 {
			return fmt.Errorf("a count of %d", n)
		}
	}
	if s.CPUs < 1 || s.CPUs > cpusMax {
		return fmt.Errorf("%d CPUs", s.CPUs)
	}
	for tid, t := range s.Threads {
		if t.Hits < 0 {
			return fmt.Errorf("%d hits of thread %d", t.Hits, tid)
		}
	}
	return nil
}

// archive writes a survey, or reads it: both go through the same lists of fields. Numbers
// are varints, lists and strings have their length in front.
type archive struct {
	reads bool
	bytes []byte // written so far, or left to read
	err   error  // of reading; what comes after it is zero
}

// survey is all that a finished survey knows.
func (a *archive) survey(s *Survey) {
	number(a, &s.CPUs)
	a.numbers(&s.Events, &s.Hits, &s.Start, &s.End, &s.Lost, &s.hitEvents, &s.unseen, &s.failed, &s.stamped, &s.undecided, &s.calls, &s.deep)
	a.flags(&s.LockRows, &s.LockTIDs, &s.returned, &s.holds)
	a.text(&s.partly)
	list(a, &s.Unknown, func(u *traces.Unknown) {
		a.text(&u.What)
		a.text(&u.Why)
		a.text(&u.Remedy)
	})
	table(a, &s.probes, strings.Compare, a.text, func(n *int64) { number(a, n) })
	a.losses(&s.losses)
	a.gaps(&s.gaps)
	for i := range s.durations {
		a.durations(&s.durations[i])
	}
	tid := func(id *int32) { number(a, id) }
	table(a, &s.Threads, cmp.Compare[int32], tid, func(t **ThreadSurvey) {
		made(t)
		a.numbers(&(*t).Hits, &(*t).First, &(*t).Last, &(*t).End, &(*t).Over, &(*t).Mapped, &(*t).light.direct, &(*t).light.other)
		a.durations(&(*t).user)
	})
	table(a, &s.rhythms, cmp.Compare[int32], tid, func(g **gapTable) {
		if a.reads && len(s.rhythms) == keptRhythmsMax {
			a.fail("gaps of more than %d threads", keptRhythmsMax)
			return
		}
		a.gapTable(made(g))
	})
	a.gapTable(&s.rhythm)
	a.sites(s.sites)
}

func (a *archive) losses(l *losses) {
	a.numbers(&l.events)
	list(a, &l.list, func(l *Loss) {
		a.numbers(&l.From, &l.To, &l.Events)
		number(a, &l.CPU)
	})
	list(a, &l.spans, func(s *span) { a.numbers(&s.from, &s.to) })
}

func (a *archive) gaps(g *recorderGaps) {
	for i := range g.start {
		a.durations(&g.start[i])
		a.durations(&g.released[i])
	}
	a.durations(&g.failed)
	a.durations(&g.arrived)
	a.durations(&g.cut)
	a.durations(&g.whole)
	a.numbers(&g.longest, &g.mostly)
	for i := range g.cold {
		a.durations(&g.cold[i])
		a.numbers(&g.coldExtra[i])
	}
}

func (a *archive) durations(d *dist.Durations) {
	number(a, &d.Count)
	if d.Count != 0 {
		a.numbers(&d.Tenth, &d.Quarter, &d.Median, &d.ThreeQuarters, &d.Mean, &d.Typical)
	}
}

// gapTable has the bins that hold something, and what they hold.
func (a *archive) gapTable(g *gapTable) {
	var bins [][2]int64
	for bin, n := range g.counts {
		if n != 0 {
			bins = append(bins, [2]int64{int64(bin), int64(n)})
		}
	}
	list(a, &bins, func(b *[2]int64) { a.numbers(&b[0], &b[1]) })
	if !a.reads {
		return
	}
	before := int64(-1)
	for _, b := range bins {
		if b[0] <= before || b[0] >= int64(len(g.counts)) || b[1] <= 0 {
			a.fail("%d gaps in bin %d after bin %d", b[1], b[0], before)
			return
		}
		before = b[0]
		g.counts[b[0]] = float64(b[1])
		g.n += b[1]
	}
}

func (a *archive) sites(s *sites) {
	key := func(p *program) {
		number(a, &p.pid)
		number(a, &p.nth)
	}
	ofProgram := func(x, y program) int { return cmp.Or(cmp.Compare(x.pid, y.pid), cmp.Compare(x.nth, y.nth)) }
	table(a, &s.known, func(x, y site) int { return cmp.Or(ofProgram(x.program, y.program), cmp.Compare(x.addr, y.addr)) }, func(at *site) {
		key(&at.program)
		number(a, &at.addr)
	}, func(k *since) { a.numbers(&k.locks, &k.maps) })
	table(a, &s.mapped, ofProgram, key, func(m *trampolineMap) {
		a.numbers(&m.seq)
		a.flags(&m.seen)
	})
}

func (a *archive) fail(format string, args ...any) {
	if a.err == nil {
		a.err = fmt.Errorf(format, args...)
	}
}

// number is any whole number.
func number[T ~int | ~int32 | ~int64 | ~uint64](a *archive, p *T) {
	if !a.reads {
		a.bytes = binary.AppendVarint(a.bytes, int64(*p))
		return
	}
	if a.err != nil {
		return
	}
	x, n := binary.Varint(a.bytes)
	if n <= 0 {
		a.fail("it ends within a number")
		return
	}
	a.bytes = a.bytes[n:]
	if *p = T(x); int64(*p) != x {
		a.fail("%d is too large", x)
	}
}

func (a *archive) numbers(list ...*int64) {
	for _, p := range list {
		number(a, p)
	}
}

func (a *archive) flags(list ...*bool) {
	for _, p := range list {
		n := index(*p)
		number(a, &n)
		*p = n == 1
	}
}

// length is that of a list or string: as it is, or as it was written, where no element
// takes less than a byte.
func (a *archive) length(n int) int {
	number(a, &n)
	if a.reads && (n < 0 || n > len(a.bytes)) {
		a.fail("%d elements in %d bytes", n, len(a.bytes))
	}
	if a.err != nil {
		return 0
	}
	return n
}

func (a *archive) text(p *string) {
	n := a.length(len(*p))
	if a.reads {
		*p, a.bytes = string(a.bytes[:n]), a.bytes[n:]
		return
	}
	a.bytes = append(a.bytes, *p...)
}

func list[T any](a *archive, p *[]T, each func(*T)) {
	n := a.length(len(*p))
	if a.reads && n > 0 {
		*p = make([]T, 0, min(n, 1<<10))
	}
	for i := range n {
		if a.err != nil {
			return
		}
		if a.reads {
			*p = append(*p, *new(T))
		}
		each(&(*p)[i])
	}
}

// table has a map in the order of its keys.
func table[K comparable, V any](a *archive, m *map[K]V, order func(K, K) int, key func(*K), value func(*V)) {
	n := a.length(len(*m))
	if !a.reads {
		for _, k := range slices.SortedFunc(maps.Keys(*m), order) {
			v := (*m)[k]
			key(&k)
			value(&v)
		}
		return
	}
	if *m == nil && n > 0 {
		*m = map[K]V{}
	}
	var before K
	for i := range n {
		var k K
		var v V
		key(&k)
		value(&v)
		if i > 0 && order(before, k) >= 0 {
			a.fail("%v after %v", k, before)
		}
		if a.err != nil {
			return
		}
		(*m)[k], before = v, k
	}
}

// made is what *p points to, made where there is nothing.
func made[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}
