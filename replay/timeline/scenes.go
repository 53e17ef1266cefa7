package timeline

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/replay/replay/traces"
)

// Scene is what a row of a trace was part of.
type Scene struct {
	Row     traces.Event
	Call    *traces.Event // the syscall that its thread was in; nil outside of any that was recorded
	Hit     *traces.Event // of a lookup's lock_start, or a hit: the hit; nil where it did not come
	Mapping *Mapping      // of the address of Hit or Call, before Row; nil for none that is known
}

// Mapping is a mapping as it was made or last seen whole.
type Mapping struct {
	Start, End, Pgoff uint64
	Prot, Flags       int32
	Path              string // empty for anonymous memory
	Since             int64  // ns on the capture clock, when it was made or became known
}

// Window is a stretch of time on a CPU, in which a thread waits.
type Window struct {
	CPU, TID int32
	From, To int64 // ns on the capture clock, both included
	Seen     []Bystander
}

// Bystander is another thread that was seen on the CPU of a Window.
type Bystander struct {
	Comm string
	TID  int32
	Rows int // in the trace
}

// Scenes finds rows by their seq, and fills windows with who was seen in them, the busiest
// first. It reads the trace twice: for the rows, and for what was mapped where they are
// about.
func Scenes(ctx context.Context, trace Trace, seqs []int64, windows []*Window) (map[int64]*Scene, error) {
	stage := stage{
		wanted: map[int64]bool{}, scenes: map[int64]*Scene{}, calls: map[int32]*traces.Event{}, lookups: map[int32][]*Scene{},
		ahead: slices.SortedStableFunc(slices.Values(windows), func(a, b *Window) int { return cmp.Compare(a.From, b.From) }),
	}
	for _, seq := range seqs {
		stage.wanted[seq] = true
	}
	if len(stage.wanted) == 0 && len(windows) == 0 {
		return stage.scenes, nil
	}
	if err := read(ctx, trace, stage.add); err != nil {
		return nil, err
	}
	for _, w := range windows {
		slices.SortFunc(w.Seen, func(a, b Bystander) int { return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.TID, b.TID)) })
	}
	if len(stage.scenes) == 0 {
		return stage.scenes, nil
	}
	maps := newMapWatch(stage.scenes)
	if err := read(ctx, trace, maps.add); err != nil {
		return nil, err
	}
	return stage.scenes, nil
}

// read hands every row to add. The row is reused.
func read(ctx context.Context, trace Trace, add func(*traces.Event)) error {
	stream, err := trace.Stream(replayColumns)
	if err != nil {
		return err
	}
	defer closeStream(stream)
	var ev traces.Event
	for n := 0; ; n++ {
		if n%65536 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := stream.Next(&ev)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		add(&ev)
	}
}

// stage finds scenes.
type stage struct {
	wanted  map[int64]bool
	scenes  map[int64]*Scene
	calls   map[int32]*traces.Event // by thread: its latest syscall
	lookups map[int32][]*Scene      // by thread: those that wait for their hit
	ahead   []*Window               // that have not begun, by From
	open    []*Window
}

// look notes a row in the windows that it is in.
func (s *stage) look(ev *traces.Event) {
	for len(s.ahead) > 0 && s.ahead[0].From <= ev.Time {
		s.open, s.ahead = append(s.open, s.ahead[0]), s.ahead[1:]
	}
	if len(s.open) == 0 {
		return
	}
	s.open = slices.DeleteFunc(s.open, func(w *Window) bool { return w.To < ev.Time })
	for _, w := range s.open {
		if !ev.Got(traces.ColCPU|traces.ColTID) || ev.CPU != w.CPU || ev.TID == w.TID {
			continue
		}
		i := slices.IndexFunc(w.Seen, func(b Bystander) bool { return b.TID == ev.TID })
		if i < 0 {
			i = len(w.Seen)
			w.Seen = append(w.Seen, Bystander{Comm: ev.Comm, TID: ev.TID})
		}
		w.Seen[i].Rows++
	}
}

func (s *stage) add(ev *traces.Event) {
	s.look(ev)
	if ev.Got(traces.ColTID) {
		switch {
		case ev.Kind.IsSyscall() || ev.Kind == traces.Exec && ev.Got(traces.ColDur):
			row := *ev
			s.calls[ev.TID] = &row
		case ev.Kind == traces.Hit:
			for _, scene := range s.lookups[ev.TID] {
				row := *ev
				scene.Hit = &row
			}
			delete(s.lookups, ev.TID)
		case ev.Kind == traces.Exit:
			delete(s.calls, ev.TID)
		}
	}
	if !s.wanted[ev.Seq] {
		return
	}
	scene := &Scene{Row: *ev}
	s.scenes[ev.Seq] = scene
	if !ev.Got(traces.ColTID) {
		return
	}
	if call := s.calls[ev.TID]; call != nil && ev.Time <= call.Time+call.Dur {
		scene.Call = call
	}
	switch {
	case ev.Kind == traces.Hit:
		row := *ev
		scene.Hit = &row
	case ev.Kind == traces.LockStart && ev.Lookup() != traces.NoLookup:
		s.lookups[ev.TID] = append(s.lookups[ev.TID], scene)
	}
}

// subject is the address that a scene is about, and whose.
func (s *Scene) subject() (addr uint64, pid int32, ok bool) {
	about := s.Call
	if s.Hit != nil {
		about = s.Hit
	}
	if about == nil || !about.Got(traces.ColAddr|traces.ColPID) {
		return 0, 0, false
	}
	return about.Addr, about.PID, true
}

// pageMask is that of the smallest pages that there are.
const pageMask = 4096 - 1

// mapWatch follows what is mapped at a few addresses, in all processes.
type mapWatch struct {
	at     []uint64
	mapped []map[int32]*Mapping // for each of at, by process
	asked  map[int64][]question // by the seq that is asked about
}

type question struct {
	scene *Scene
	addr  int // index
	pid   int32
}

func newMapWatch(scenes map[int64]*Scene) *mapWatch {
	w := &mapWatch{asked: map[int64][]question{}}
	index := map[uint64]int{}
	for _, scene := range scenes { // the order does not matter: the answers do not depend on it
		addr, pid, ok := scene.subject()
		if !ok {
			continue
		}
		i, known := index[addr]
		if !known {
			i = len(w.at)
			index[addr] = i
			w.at, w.mapped = append(w.at, addr), append(w.mapped, map[int32]*Mapping{})
		}
		// What a syscall changes is asked for before it: an mmap says what it replaced.
		seq := scene.Row.Seq
		if scene.Hit == nil {
			seq = scene.Call.Seq
		}
		w.asked[seq] = append(w.asked[seq], question{scene, i, pid})
	}
	return w
}

func (w *mapWatch) add(ev *traces.Event) {
	for _, q := range w.asked[ev.Seq] {
		q.scene.Mapping = w.mapped[q.addr][q.pid]
	}
	if !ev.Got(traces.ColPID) || ev.Got(traces.ColRet) && ev.Ret < 0 && ev.Ret > -4096 {
		return
	}
	length := (ev.Len + pageMask) &^ pageMask
	covers := func(at uint64) bool { return ev.Addr <= at && at-ev.Addr < length }
	for i, at := range w.at {
		switch mapped := w.mapped[i]; ev.Kind {
		case traces.Mmap, traces.Map:
			if covers(at) {
				mapped[ev.PID] = &Mapping{Start: ev.Addr, End: ev.Addr + ev.Len, Pgoff: ev.Pgoff, Prot: ev.Prot, Flags: ev.Flags, Path: ev.Path, Since: ev.Time}
			}
		case traces.Munmap:
			if covers(at) {
				delete(mapped, ev.PID)
			}
		case traces.Mprotect:
			if m := mapped[ev.PID]; m != nil && covers(at) {
				changed := *m
				changed.Prot = ev.Prot
				mapped[ev.PID] = &changed
			}
		case traces.Exec:
			delete(mapped, ev.PID)
		case traces.Fork:
			if m := mapped[ev.PID]; m != nil && !forksThread(ev) {
				mapped[int32(ev.Ret)] = m
			}
		}
	}
}
