package replay_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// A replay is held against a naive interpreter of the same rows, which has address
// spaces as tables of pages, and works out for itself when, where and in which address
// space each hit of each clone is. The rows of the programs are so far apart that
// nothing waits for anything but where a test wants that.

// naivePage is what a page shows.
type naivePage struct {
	path  string
	pgoff uint64 // of files alone
	prot  mm.Prot
}

// naiveSpace is an address space: pages by their number.
type naiveSpace struct {
	pages map[uint64]naivePage
	brk   uint64
}

// naiveHit is a hit of a thread or of a clone of it.
type naiveHit struct {
	row, clone int
	at         int64 // ns: begin of its lookup
	cpu        int
	space      *naiveSpace
	pages      map[uint64]naivePage // as they are then
	known      bool                 // its own page is among them
	vague      bool                 // the address space changes about then
}

// naiveChange is a stretch of ns in which an address space changes.
type naiveChange struct {
	space    *naiveSpace
	from, to int64
	apply    func()
}

// naive is an interpreter of rows. What it shares with the replay are two lags of the
// recorder's stamps.
type naive struct {
	options  replay.Options
	rows     []traces.Event
	cpus     int // of the replay
	recorded int // of the recording
	lag      int64
	order    []int // of the placement

	spaces   map[int32]*naiveSpace    // by process
	known    map[int32]map[int32]bool // its threads that have had a row and live
	headless map[int32]bool           // processes whose leaders have ended
	seats    map[[3]int32]int         // CPUs, by thread id, process and clone
}

// spread and pack are the orders of a machine of two sockets with two cores of two threads,
// numbered core by core and then the second threads: CPUs 0 and 1 are on socket 0, 2
// and 3 on socket 1, and their siblings are 4 to 7.
var (
	smallPack   = []int{0, 4, 1, 5, 2, 6, 3, 7}
	smallSpread = []int{0, 2, 1, 3, 4, 6, 5, 7}
)

func smallMachine(t testing.TB) *machines.Profile {
	p := replaytest.Machine(t).Clone()
	p.Sockets, p.CoresPerSocket, p.CoresPerL3, p.SMT, p.Numbering = 2, 2, 2, 2, sim.SocketMajor
	p.Turbo = []sim.TurboStep{{ActiveCores: 2, KHz: 2_000_000}} // half a nanosecond a cycle
	p.Sections["fork"] = machines.KindModel{Start: 1_000, Hold: 2_000}
	return p
}

func (n *naive) space(pid int32) *naiveSpace {
	s := n.spaces[pid]
	if s == nil {
		s = &naiveSpace{pages: map[uint64]naivePage{}}
		n.spaces[pid] = s
	}
	return s
}

func (s *naiveSpace) each(addr, length uint64, do func(page uint64)) {
	for p := addr / mm.PageSize; p*mm.PageSize < addr+length; p++ {
		do(p)
	}
}

func (s *naiveSpace) unmap(addr, length uint64) {
	s.each(addr, length, func(p uint64) { delete(s.pages, p) })
}

func (s *naiveSpace) mapAt(addr, length uint64, path string, pgoff uint64, prot mm.Prot) {
	s.each(addr, length, func(p uint64) {
		page := naivePage{path, 0, prot}
		if path != "" {
			page.pgoff = pgoff + p*mm.PageSize - addr
		}
		s.pages[p] = page
	})
}

// do is what a row does to an address space.
func (n *naive) do(s *naiveSpace, ev *traces.Event) {
	if ev.Kind != traces.Map && ev.Got(traces.ColRet) && ev.Ret < 0 {
		return
	}
	switch ev.Kind {
	case traces.Mmap, traces.Map:
		s.mapAt(ev.Addr, ev.Len, ev.Path, ev.Pgoff, mm.Prot(ev.Prot))
	case traces.Munmap:
		s.unmap(ev.Addr, ev.Len)
	case traces.Mprotect:
		s.each(ev.Addr, ev.Len, func(p uint64) {
			if page, ok := s.pages[p]; ok {
				page.prot = mm.Prot(ev.Prot)
				s.pages[p] = page
			}
		})
	case traces.Mremap: // moves, of the same length
		moved := map[uint64]naivePage{}
		s.each(ev.Addr, ev.Len, func(p uint64) {
			if page, ok := s.pages[p]; ok {
				moved[p-ev.Addr/mm.PageSize+ev.NewAddr/mm.PageSize] = page
			}
		})
		s.unmap(ev.Addr, ev.Len)
		s.unmap(ev.NewAddr, ev.NewLen)
		maps.Copy(s.pages, moved)
	case traces.Brk:
		to := uint64(ev.Ret)
		if s.brk != 0 && to > s.brk {
			s.mapAt(s.brk, to-s.brk, "", 0, mm.Read|mm.Write)
		} else if s.brk != 0 {
			s.unmap(to, s.brk-to)
		}
		s.brk = to
	}
}

// scaled is virtual time in ns.
func (n *naive) scaled(ns int64) int64 { return ns * 1_000_000 / n.options.SpeedPPM }

// seat is the CPU of a thread or of a clone at a row.
func (n *naive) seat(ev *traces.Event, tid int32, clone int) int {
	if n.options.Placement == replay.Recorded {
		return (int(ev.CPU) + clone*n.recorded) % n.cpus
	}
	key := [3]int32{tid, ev.PID, int32(clone)}
	seat, ok := n.seats[key]
	if !ok {
		seat = len(n.seats)
		n.seats[key] = seat
	}
	if n.options.Placement == replay.RoundRobin {
		return seat % n.cpus
	}
	var used []int
	for _, cpu := range n.order {
		if cpu < n.cpus {
			used = append(used, cpu)
		}
	}
	return used[seat%len(used)]
}

// phases is how far clones are behind, each: the mean gap of their thread, shared out
// evenly, or a microsecond where it has none.
func (n *naive) phases() map[int32]int64 {
	first, last, hits := map[int32]int64{}, map[int32]int64{}, map[int32]int64{}
	for i := range n.rows {
		if ev := &n.rows[i]; ev.Kind == traces.Hit {
			if hits[ev.TID] == 0 {
				first[ev.TID] = ev.Time
			}
			hits[ev.TID]++
			last[ev.TID] = ev.Time
		}
	}
	phases := map[int32]int64{}
	for tid, n1 := range hits {
		phases[tid] = 1000
		if n1 >= 2 {
			phases[tid] = n.scaled((last[tid]-first[tid])/(n1-1)) / int64(n.options.Clone)
		}
	}
	return phases
}

// live notes who lives after a row. A process ends with its last thread.
func (n *naive) live(ev *traces.Event) {
	know := func(tid int32) {
		if n.known[ev.PID] == nil {
			n.known[ev.PID] = map[int32]bool{}
		}
		n.known[ev.PID][tid] = true
	}
	switch ev.Kind {
	case traces.Map: // is nobody's doing
	case traces.Exec:
		delete(n.spaces, ev.PID) // another one when it comes up again
		delete(n.known, ev.PID)
		delete(n.headless, ev.PID)
		know(ev.TID)
	case traces.Exit:
		delete(n.known[ev.PID], ev.TID)
		if ev.TID == ev.PID {
			n.headless[ev.PID] = true
		}
		if n.headless[ev.PID] && len(n.known[ev.PID]) == 0 {
			delete(n.spaces, ev.PID)
		}
	case traces.Fork:
		know(ev.TID)
		if ev.Got(traces.ColFlags) && ev.Flags&0x10000 != 0 {
			know(int32(ev.Ret))
		}
	default:
		know(ev.TID)
	}
}

// take is what a row that is no hit changes, nil for nothing; at is its virtual time in ns.
func (n *naive) take(ev *traces.Event, at int64) *naiveChange {
	switch {
	case ev.Kind == traces.Exec, ev.Kind == traces.Exit:
	case ev.Kind == traces.Fork && ev.Got(traces.ColFlags) && ev.Flags&0x10000 != 0: // a thread
	case ev.Kind == traces.Fork:
		n.seats4(ev, ev.TID)
		parent, child := n.space(ev.PID), &naiveSpace{pages: map[uint64]naivePage{}}
		n.spaces[int32(ev.Ret)] = child
		return &naiveChange{parent, at - 10_000, at + 50_000, func() {
			child.pages, child.brk = maps.Clone(parent.pages), parent.brk
		}}
	default:
		if ev.Kind == traces.Map {
			n.seat(ev, timeline.Mapper, 0)
		} else {
			n.seats4(ev, ev.TID)
		}
		s := n.space(ev.PID)
		return &naiveChange{s, at - 5_000, at + 50_000, func() { n.do(s, ev) }}
	}
	return nil
}

// seats4 gives a thread and its clones their CPUs.
func (n *naive) seats4(ev *traces.Event, tid int32) {
	for clone := range n.options.Clone {
		n.seat(ev, tid, clone)
	}
}

// interpret returns what hits there are, in order of time. It is false where a clone
// comes so late that anonymous memory is where it hits: what becomes of that is not
// the question here.
func (n *naive) interpret() ([]*naiveHit, bool) {
	start := int64(-1)
	for i := range n.rows {
		if n.rows[i].Kind != traces.Map && start < 0 {
			start = n.rows[i].Time
		}
	}
	phases := n.phases()
	var hits []*naiveHit
	var changes []*naiveChange
	for i := range n.rows {
		ev := &n.rows[i]
		n.live(ev)
		if ev.Kind != traces.Hit {
			if c := n.take(ev, n.scaled(max(ev.Time-start, 0))); c != nil {
				changes = append(changes, c)
			}
			continue
		}
		for clone := range n.options.Clone {
			hits = append(hits, &naiveHit{
				row: i, clone: clone, space: n.space(ev.PID), cpu: n.seat(ev, ev.TID, clone),
				at: n.scaled(max(ev.Time-n.lag-start, 0)) + int64(clone)*phases[ev.TID],
			})
		}
	}
	// All in order of time, to see each address space as it is at a hit.
	slices.SortStableFunc(hits, func(a, b *naiveHit) int { return cmp.Compare(a.at, b.at) })
	next := 0
	for _, h := range hits {
		for ; next < len(changes) && changes[next].from < h.at; next++ {
			changes[next].apply()
		}
		at := n.rows[h.row].Addr / mm.PageSize
		h.vague = slices.ContainsFunc(changes, func(c *naiveChange) bool {
			return c.space == h.space && c.from-60_000 < h.at && h.at < c.to+20_000
		})
		page, known := h.space.pages[at]
		if known && page.path == "" {
			return nil, false
		}
		h.pages, h.known = maps.Clone(h.space.pages), known
	}
	return hits, true
}

// played is a hit as the replay had it.
type played struct {
	cpu              int
	issued           sim.Time // later for each clone of a row
	trap, begin, end sim.Time
	mm               *sim.MM
	vmas             []mm.VMA
	inferred         bool
	outcome          sim.Outcome
}

// playRows replays rows and returns hits by row and clone: clones come in order. The
// traps of one row may be out of order only where a test makes them wait.
func playRows(t interface{ Fatal(...any) }, rows []traces.Event, cpus int, profile *machines.Profile, options replay.Options) map[int][]played {
	ctx := context.Background()
	trace := &replaytest.Memory{Of: traces.Meta{Schema: traces.Schema, CPUs: cpus}, List: rows}
	s, err := timeline.TakeSurvey(ctx, trace)
	if err != nil {
		t.Fatal(err)
	}
	topo, err := replay.Topology(profile, &options, s)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := timeline.Reconstruct(ctx, trace, s, timeline.Config{Using: timeline.Everything, Profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	hits := map[int][]played{}
	p, err := replay.NewPlayer(rec, topo, s, replay.PlayerConfig{Resolver: "speculative", Options: &options, Each: func(h *sim.HitRecord) {
		row := int(h.Op.Tag.(*timeline.Origin).Seq)
		hits[row] = append(hits[row], played{
			int(h.CPU), h.Op.At, h.Trap, h.Lookup.Start, h.End, h.Op.MM, slices.Clone(h.Op.MM.Space.VMAs()), h.Inferred, h.Outcome,
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Play(ctx); err != nil {
		t.Fatal(err)
	}
	for _, of := range hits {
		slices.SortStableFunc(of, func(a, b played) int { return cmp.Compare(a.issued, b.issued) })
	}
	return hits
}

// program draws rows that are gap apart, of processes that map, fork, exec and exit.
type program struct {
	t     *rapid.T
	rows  []traces.Event
	now   int64
	step  int64
	pids  []int32           // alive
	tids  map[int32][]int32 // by process
	next  int32
	naive *naive // knows what is mapped, to hit it
}

const (
	programBase  = 0x10000
	programPages = 24
	programCPUs  = 3
)

func (p *program) row(kind traces.Kind, pid, tid int32) *traces.Event {
	p.now += p.step
	p.rows = append(p.rows, traces.Event{
		Time: p.now, Seq: int64(len(p.rows)), Kind: kind, PID: pid, TID: tid, Comm: fmt.Sprint("comm", pid),
		CPU: rapid.Int32Range(0, programCPUs-1).Draw(p.t, "cpu"), Has: traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColComm,
	})
	return &p.rows[len(p.rows)-1]
}

func (p *program) span(ev *traces.Event) {
	from := rapid.Uint64Range(0, programPages-1).Draw(p.t, "page")
	ev.Addr = programBase + from*mm.PageSize
	ev.Len = rapid.Uint64Range(1, min(6, programPages-from)).Draw(p.t, "pages") * mm.PageSize
	ev.Has |= traces.ColAddr | traces.ColLen
}

func (p *program) mapping(ev *traces.Event) {
	p.span(ev)
	ev.Prot = rapid.SampledFrom([]int32{1, 3, 5}).Draw(p.t, "prot")
	ev.Flags = 0x2 // MAP_PRIVATE
	ev.Has |= traces.ColProt | traces.ColFlags
	if ev.Path = rapid.SampledFrom([]string{"", "/bin/a", "/lib/b", "/lib/b"}).Draw(p.t, "file"); ev.Path != "" {
		ev.Pgoff = rapid.Uint64Range(0, 3).Draw(p.t, "pgoff") * mm.PageSize
		ev.Has |= traces.ColPath | traces.ColPgoff
	}
}

// ended makes a syscall of a row, perhaps one that fails.
func (p *program) ended(ev *traces.Event, ret int64) {
	ev.Dur, ev.Ret = 5_000, ret
	if rapid.IntRange(0, 9).Draw(p.t, "fails") == 0 {
		ev.Ret = -12
	}
	ev.Has |= traces.ColDur | traces.ColRet
}

func (p *program) draw() {
	pid := rapid.SampledFrom(p.pids).Draw(p.t, "pid")
	tid := rapid.SampledFrom(p.tids[pid]).Draw(p.t, "tid")
	from := len(p.rows)
	switch what := rapid.IntRange(0, 19).Draw(p.t, "what"); {
	case what < 9:
		p.hit(pid, tid)
	case what == 9:
		p.mapping(p.row(traces.Map, pid, tid))
	case what < 12:
		ev := p.row(traces.Mmap, pid, tid)
		p.mapping(ev)
		p.ended(ev, int64(ev.Addr))
	case what == 12:
		ev := p.row(traces.Munmap, pid, tid)
		p.span(ev)
		p.ended(ev, 0)
	case what == 13:
		ev := p.row(traces.Mprotect, pid, tid)
		p.span(ev)
		ev.Prot, ev.Has = rapid.SampledFrom([]int32{1, 3, 5}).Draw(p.t, "prot"), ev.Has|traces.ColProt
		p.ended(ev, 0)
	case what == 14:
		ev := p.row(traces.Mremap, pid, tid)
		p.span(ev)
		ev.NewAddr, ev.NewLen = ev.Addr+programPages*mm.PageSize, ev.Len
		ev.Flags, ev.Has = 3, ev.Has|traces.ColNewAddr|traces.ColNewLen|traces.ColFlags
		p.ended(ev, int64(ev.NewAddr))
	case what == 15:
		ev := p.row(traces.Brk, pid, tid)
		ev.Dur, ev.Ret = 5_000, int64(0x400000+rapid.Uint64Range(0, 4).Draw(p.t, "heap")*mm.PageSize)
		ev.Has |= traces.ColDur | traces.ColRet
	case what == 16:
		ev := p.row(traces.Fork, pid, tid)
		p.next++
		ev.Ret, ev.Has = int64(p.next), ev.Has|traces.ColRet
		if rapid.Bool().Draw(p.t, "thread") {
			ev.Flags, ev.Has = 0x10f00, ev.Has|traces.ColFlags
			p.tids[pid] = append(p.tids[pid], p.next)
			break
		}
		if rapid.Bool().Draw(p.t, "flags") {
			ev.Flags, ev.Has = 0x11, ev.Has|traces.ColFlags
		}
		p.pids = append(p.pids, p.next)
		p.tids[p.next] = []int32{p.next}
	case what == 17:
		p.row(traces.Exec, pid, pid)
		p.tids[pid] = []int32{pid}
	case tid != pid && len(p.tids[pid]) > 1 || len(p.pids) > 1:
		p.row(traces.Exit, pid, tid)
		// Threads that had no row when their leader ended have none later.
		known := p.naive.known[pid]
		p.tids[pid] = slices.DeleteFunc(p.tids[pid], func(x int32) bool { return x == tid || tid == pid && !known[x] })
		if len(p.tids[pid]) == 0 {
			p.pids = slices.DeleteFunc(p.pids, func(x int32) bool { return x == pid })
		}
	}
	// So that hits know what is there.
	for i := from; i < len(p.rows); i++ {
		p.naive.live(&p.rows[i])
		if p.rows[i].Kind != traces.Hit {
			if c := p.naive.take(&p.rows[i], 0); c != nil {
				c.apply()
			}
		}
	}
}

// hit is at a page of a file, mostly, and so shows that.
func (p *program) hit(pid, tid int32) {
	ev := p.row(traces.Hit, pid, tid)
	ev.Probe = "p:f"
	pages := p.naive.space(pid).pages
	var files, none []uint64
	for at := uint64(programBase / mm.PageSize); at < programBase/mm.PageSize+programPages; at++ {
		switch page, known := pages[at]; {
		case !known:
			none = append(none, at)
		case page.path != "":
			files = append(files, at)
		}
	}
	if len(files) == 0 || len(none) > 0 && rapid.IntRange(0, 5).Draw(p.t, "unknown") == 0 {
		files = none
	}
	if len(files) == 0 {
		files = []uint64{programBase/mm.PageSize + 3*programPages} // nothing is mapped so high
	}
	page := rapid.SampledFrom(files).Draw(p.t, "page")
	if ev.Path = pages[page].path; ev.Path == "" {
		ev.Path = "/bin/inferred"
	}
	ev.Addr = page*mm.PageSize + 0x40
	ev.Has |= traces.ColAddr | traces.ColProbe | traces.ColPath
}

func drawProgram(t *rapid.T, step int64) []traces.Event {
	p := &program{
		t: t, now: 5_000_000, step: step, pids: []int32{100}, tids: map[int32][]int32{100: {100, 101}}, next: 200,
		naive: &naive{options: replay.DefaultOptions(), spaces: map[int32]*naiveSpace{}, known: map[int32]map[int32]bool{}, headless: map[int32]bool{}, seats: map[[3]int32]int{}, cpus: 1},
	}
	for range 3 { // some are there beforehand
		p.mapping(p.row(traces.Map, 100, 100))
	}
	p.hit(100, 100) // the replay begins here, and what was there beforehand is there by the next row
	for range rapid.IntRange(20, 90).Draw(t, "rows") {
		p.draw()
	}
	return p.rows
}

// same compares the mappings of a replay with pages. What was inferred is the replay's
// own; files have numbers there, which are learned.
func same(vmas []mm.VMA, pages map[uint64]naivePage, files map[mm.FileID]string) error {
	left := maps.Clone(pages)
	for _, v := range vmas {
		if v.Flags&mm.Inferred != 0 {
			continue
		}
		for at := v.Start; at < v.End; at += mm.PageSize {
			want, ok := left[at/mm.PageSize]
			delete(left, at/mm.PageSize)
			if !ok {
				return fmt.Errorf("page %#x is mapped", at)
			}
			path, known := files[v.File]
			if !known && v.File != mm.NoFile {
				path = want.path
				files[v.File] = path
			}
			got := naivePage{path, 0, v.Prot}
			if path != "" {
				got.pgoff = v.Offset(at)
			}
			if got != want {
				return fmt.Errorf("page %#x shows %+v, want %+v", at, got, want)
			}
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%d pages are not mapped: %v", len(left), slices.Sorted(maps.Keys(left)))
	}
	return nil
}

// TestNaiveReplay plays programs under all placements and speeds, with and without
// clones, and compares when, where, in which address space and on which pages each hit is.
func TestNaiveReplay(t *testing.T) {
	profile := smallMachine(t)
	compared, inferred := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		o := replay.DefaultOptions()
		o.Placement = rapid.SampledFrom([]replay.Placement{replay.Recorded, replay.Pack, replay.Spread, replay.RoundRobin}).Draw(t, "placement")
		o.SpeedPPM = rapid.SampledFrom([]int64{1_000_000, 500_000, 3_000_000, 1_300_000}).Draw(t, "speed")
		o.Clone = rapid.IntRange(1, 4).Draw(t, "clones")
		o.CPUs = rapid.SampledFrom([]int{0, 2, 5, 8}).Draw(t, "cpus")
		rows := drawProgram(t, 1_000_000)
		n := &naive{
			options: o, rows: rows, cpus: cmp.Or(o.CPUs, programCPUs), recorded: programCPUs, lag: profile.Recorder.HitLag + profile.Recorder.Window,
			order: smallPack, spaces: map[int32]*naiveSpace{}, known: map[int32]map[int32]bool{}, headless: map[int32]bool{}, seats: map[[3]int32]int{},
		}
		if o.Placement == replay.Spread {
			n.order = smallSpread
		}
		want, settled := n.interpret()
		if !settled || len(want) == 0 {
			return
		}
		got := playRows(t, rows, programCPUs, profile, o)
		files := map[mm.FileID]string{}
		spaces := map[*naiveSpace]*sim.MM{}
		owner := map[*sim.MM]*naiveSpace{}
		before := map[uint64]bool{}   // pages with a hit
		entry := 225 * sim.Nanosecond // 450 cycles
		for _, h := range want {
			name := fmt.Sprintf("row %d, clone %d, %v, %d clones on %d CPUs, speed %d", h.row, h.clone, o.Placement, o.Clone, n.cpus, o.SpeedPPM)
			if len(got[h.row]) != o.Clone {
				t.Fatalf("%s: %d hits", name, len(got[h.row]))
			}
			g := got[h.row][h.clone]
			if g.cpu != h.cpu {
				t.Fatalf("%s: on CPU %d, want %d", name, g.cpu, h.cpu)
			}
			if off := g.begin.Nanos() - max(h.at, entry.Nanos()); off < -2 || off > 40_000 { // a section has its CPU, at most
				t.Fatalf("%s: its lookup begins at %d ns, want %d", name, g.begin.Nanos(), h.at)
			}
			if m := spaces[h.space]; m != nil && m != g.mm || owner[g.mm] != nil && owner[g.mm] != h.space {
				t.Fatalf("%s: in another address space", name)
			}
			spaces[h.space], owner[g.mm] = g.mm, h.space
			page := rows[h.row].Addr / mm.PageSize
			if !h.vague {
				if err := same(g.vmas, h.pages, files); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if h.known && g.inferred || !h.known && !before[page] && !g.inferred {
					t.Fatalf("%s: mapping known %v, inferred %v", name, h.known, g.inferred)
				}
				compared++
				if g.inferred {
					inferred++
				}
			}
			before[page] = true
		}
	})
	if compared < 20 || inferred == 0 {
		t.Errorf("vacuous: %d hits compared, %d of them on pages that were inferred", compared, inferred)
	}
}

// In a closed loop a thread begins when it did and then goes on so long after the end of
// its operation before as it did in the recording, or at once.
func TestNaivePace(t *testing.T) {
	profile := smallMachine(t)
	compared := 0
	rapid.Check(t, func(t *rapid.T) {
		o := replay.DefaultOptions()
		o.Timing = rapid.SampledFrom([]replay.Timing{replay.Think, replay.ASAP}).Draw(t, "timing")
		o.Placement, o.CPUs = replay.RoundRobin, 8
		o.SpeedPPM = rapid.SampledFrom([]int64{1_000_000, 250_000, 4_000_000}).Draw(t, "speed")
		o.Clone = rapid.IntRange(1, 2).Draw(t, "clones")
		var rows []traces.Event
		now := int64(7_000_000)
		last := map[int32]int{} // row of the thread's hit before
		before := map[int]int{} // by row
		first := int64(-1)
		for i := range rapid.IntRange(2, 40).Draw(t, "rows") {
			now += rapid.Int64Range(20_000, 900_000).Draw(t, "gap")
			tid := rapid.Int32Range(100, 102).Draw(t, "tid")
			rows = append(rows, traces.Event{
				Time: now, Seq: int64(i), Kind: traces.Hit, CPU: tid % 2, PID: 100, TID: tid, Addr: 0x401000, Path: "/bin/a",
				Has: traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColAddr | traces.ColPath,
			})
			if first < 0 {
				first = now
			}
			if row, ok := last[tid]; ok {
				before[i] = row
			}
			last[tid] = i
		}
		n := &naive{options: o, rows: rows}
		phases := n.phases()
		got := playRows(t, rows, programCPUs, profile, o)
		for i := range rows {
			// All of a row are issued at 0 but the first of a thread: tell clones by their CPUs.
			for clone := range o.Clone {
				seat := (int(seatOf(rows, i))*o.Clone + clone) % 8
				at := slices.IndexFunc(got[i], func(p played) bool { return p.cpu == seat })
				if len(got[i]) != o.Clone || at < 0 {
					t.Fatalf("row %d: %+v has no clone on CPU %d", i, got[i], seat)
				}
				g := got[i][at]
				row, ok := before[i]
				if !ok {
					// Its trap is 225 before its lookup, were the CPU's sibling at rest.
					want := max(n.scaled(max(rows[i].Time-first-profile.Recorder.HitLag-profile.Recorder.Window, 0))-225, 0) + int64(clone)*phases[rows[i].TID]
					if off := g.trap.Nanos() - want; off < -5 || off > 5 {
						t.Fatalf("the first of thread %d traps at %d, want %d", rows[i].TID, g.trap.Nanos(), want)
					}
					continue
				}
				p := got[row][slices.IndexFunc(got[row], func(p played) bool { return p.cpu == seat })]
				gap := sim.Time(0)
				if o.Timing == replay.Think {
					gap = sim.Time(n.scaled(rows[i].Time-rows[row].Time)) * sim.Nanosecond
				}
				if off := g.trap - p.end - gap; off < -sim.Nanosecond || off > sim.Nanosecond {
					t.Fatalf("%v: row %d of clone %d traps %v after the one before, want %v", o.Timing, i, clone, g.trap-p.end, gap)
				}
				compared++
			}
		}
	})
	if compared == 0 {
		t.Error("vacuous: no gap compared")
	}
}

// seatOf is the number of a row's thread, by first appearance.
func seatOf(rows []traces.Event, row int) int32 {
	var tids []int32
	for i := range rows {
		if !slices.Contains(tids, rows[i].TID) {
			tids = append(tids, rows[i].TID)
		}
	}
	return int32(slices.Index(tids, rows[row].TID))
}
