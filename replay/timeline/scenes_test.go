package timeline

import (
	"io"
	"slices"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/traces"
)

// rowsTrace is a trace of given rows.
type rowsTrace struct {
	Trace
	rows []traces.Event
}

func (t *rowsTrace) Stream(traces.Columns) (traces.Stream, error) {
	return &rowsStream{t.rows}, nil
}

type rowsStream struct{ rows []traces.Event }

func (s *rowsStream) Next(ev *traces.Event) error {
	if len(s.rows) == 0 {
		return io.EOF
	}
	*ev, s.rows = s.rows[0], s.rows[1:]
	return nil
}

func (s *rowsStream) Meta() traces.Meta { return traces.Meta{} }

func TestScenes(t *testing.T) {
	const all = traces.ColTID | traces.ColPID | traces.ColAddr | traces.ColLen
	var rows []traces.Event
	add := func(ev traces.Event) int64 {
		ev.Seq = int64(len(rows))
		ev.Has |= all
		if ev.Time == 0 {
			ev.Time = ev.Seq * 100
		}
		rows = append(rows, ev)
		return ev.Seq
	}
	add(traces.Event{Kind: traces.Map, PID: 1, Addr: 0x1000, Len: 0x3000, Path: "/bin/app", Prot: 5, Has: traces.ColPath})
	add(traces.Event{Kind: traces.Mmap, PID: 1, TID: 1, Addr: 0x7000, Len: 0x2000, Prot: 3, Dur: 10})
	add(traces.Event{Kind: traces.Munmap, PID: 1, TID: 1, Addr: 0x7000, Len: 0x1000, Ret: -22, Has: traces.ColRet, Dur: 10}) // refused
	add(traces.Event{Kind: traces.Fork, PID: 1, TID: 1, Ret: 2, Has: traces.ColRet})
	add(traces.Event{Kind: traces.Mprotect, PID: 1, TID: 1, Addr: 0x7000, Len: 0x2000, Prot: 1, Dur: 10})
	call := add(traces.Event{Kind: traces.Munmap, PID: 1, TID: 1, Addr: 0x8000, Len: 0x1000, Dur: 500})
	inCall := add(traces.Event{Kind: traces.LockStart, PID: 1, TID: 1, Write: true, Has: traces.ColWrite, Time: rows[call].Time + 500}) // at its end
	after := add(traces.Event{Kind: traces.LockStart, PID: 1, TID: 1, Time: rows[call].Time + 501})
	lookup := add(traces.Event{Kind: traces.LockStart, PID: 2, TID: 2, InUprobe: true, Has: traces.ColInUprobe, Time: rows[call].Time + 600})
	hit := add(traces.Event{Kind: traces.Hit, PID: 2, TID: 2, Addr: 0x1234, Probe: "p:f", Has: traces.ColProbe, Time: rows[call].Time + 700})
	child := add(traces.Event{Kind: traces.Mprotect, PID: 2, TID: 2, Addr: 0x7000, Len: 0x1000, Time: rows[call].Time + 800, Dur: 10})
	exec := add(traces.Event{Kind: traces.Exec, PID: 2, TID: 2, Time: rows[call].Time + 900})
	gone := add(traces.Event{Kind: traces.Hit, PID: 2, TID: 2, Addr: 0x1234, Time: rows[call].Time + 1000})
	scenes, err := Scenes(t.Context(), &rowsTrace{rows: rows}, []int64{inCall, after, lookup, hit, child, exec, gone, 999}, nil)
	if err != nil || len(scenes) != 7 {
		t.Fatalf("%d scenes, %v", len(scenes), err)
	}
	if s := scenes[inCall]; s.Call == nil || s.Call.Seq != call || s.Mapping == nil || s.Mapping.Start != 0x7000 || s.Mapping.Prot != 1 {
		t.Errorf("in a munmap: %+v, %+v", s.Call, s.Mapping)
	}
	if s := scenes[after]; s.Call != nil || s.Mapping != nil {
		t.Errorf("after it: %+v", s)
	}
	for _, seq := range []int64{lookup, hit} {
		if s := scenes[seq]; s.Hit == nil || s.Hit.Seq != hit || s.Mapping == nil || s.Mapping.Path != "/bin/app" {
			t.Errorf("a lookup of a child that maps what its parent did: %+v", s)
		}
	}
	if s := scenes[child]; s.Mapping == nil || s.Mapping.Prot != 3 {
		t.Errorf("what was mapped at the fork: %+v", s.Mapping)
	}
	if s := scenes[gone]; s.Mapping != nil {
		t.Errorf("after an exec: %+v", s.Mapping)
	}
}

// What is mapped at an address where a hit is, after rows that say so or seem to.
func TestMappingsOfScenes(t *testing.T) {
	const all = traces.ColTID | traces.ColPID | traces.ColAddr | traces.ColLen | traces.ColRet | traces.ColDur
	row := func(kind traces.Kind, addr, length uint64, ret int64) traces.Event {
		return traces.Event{Kind: kind, PID: 1, TID: 1, Addr: addr, Len: length, Ret: ret, Dur: 10, Prot: 5, Has: all}
	}
	mapped := row(traces.Mmap, 0x7000, 0x2000, 0x7000)
	for _, c := range []struct {
		name string
		rows []traces.Event // before the hit at 0x8000
		end  uint64         // of what is mapped there, 0 for nothing
	}{
		{"nothing", nil, 0}, {"an mmap", []traces.Event{mapped}, 0x9000},
		{"of its last byte's page", []traces.Event{row(traces.Mmap, 0x7000, 0x1001, 0x7000)}, 0x8001},
		{"up to it", []traces.Event{row(traces.Mmap, 0x7000, 0x1000, 0x7000)}, 0},
		{"an munmap", []traces.Event{mapped, row(traces.Munmap, 0x8000, 0x1000, 0)}, 0},
		{"that fails", []traces.Event{mapped, row(traces.Munmap, 0x8000, 0x1000, -1)}, 0x9000},
		{"with the last error that there is", []traces.Event{mapped, row(traces.Munmap, 0x8000, 0x1000, -4095)}, 0x9000},
		{"at the end of all addresses", []traces.Event{row(traces.Mmap, 0x7000, 0x2000, -4096)}, 0x9000},
	} {
		rows := append(slices.Clone(c.rows), row(traces.Hit, 0x8000, 0, 0))
		for i := range rows {
			rows[i].Seq, rows[i].Time = int64(i), int64(100*i)
		}
		hit := int64(len(c.rows))
		scenes, err := Scenes(t.Context(), &rowsTrace{rows: rows}, []int64{hit}, nil)
		if err != nil {
			t.Fatal(err)
		}
		end := uint64(0)
		if m := scenes[hit].Mapping; m != nil {
			end = m.End
		}
		if end != c.end {
			t.Errorf("%s: mapped until %#x, want %#x", c.name, end, c.end)
		}
	}
}

// An exec is the scene of what its thread does in it, where it is told how long it took; a hit
// that took a time is none.
func TestScenesOfExecs(t *testing.T) {
	for kind, want := range map[traces.Kind]bool{traces.Exec: true, traces.Munmap: true, traces.Hit: false} {
		rows := []traces.Event{
			{Kind: kind, PID: 1, TID: 1, Dur: 500, Has: traces.ColTID | traces.ColPID | traces.ColDur},
			{Kind: traces.LockStart, Seq: 1, Time: 400, PID: 1, TID: 1, Has: traces.ColTID | traces.ColPID},
		}
		scenes, err := Scenes(t.Context(), &rowsTrace{rows: rows}, []int64{1}, nil)
		if err != nil || (scenes[1].Call != nil) != want {
			t.Errorf("a %v is its scene: %v, %v", kind, !want, err)
		}
	}
}

// Each syscall of a real recording is the scene of its lock events, with what it maps.
func TestScenesCorpus(t *testing.T) {
	trace := replaytest.Corpus(t, "churn-1x1")
	s, err := TakeSurvey(t.Context(), trace)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Record(t.Context(), trace, s, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var seqs []int64
	for _, w := range r.Waits[:500] {
		if w.Kind == "munmap" {
			seqs = append(seqs, w.Seq)
		}
	}
	scenes, err := Scenes(t.Context(), trace, seqs, nil)
	if err != nil || len(seqs) < 50 {
		t.Fatalf("%d waits, %v", len(seqs), err)
	}
	for _, seq := range seqs {
		s := scenes[seq]
		if s.Call == nil || s.Call.Kind != traces.Munmap || s.Mapping == nil || s.Mapping.Start != s.Call.Addr || s.Mapping.End < s.Call.Addr+s.Call.Len {
			t.Fatalf("%+v: in %+v, of %+v", s.Row, s.Call, s.Mapping)
		}
	}
}

// A window shows who else had rows on its CPU, the busiest first.
func TestWindows(t *testing.T) {
	var rows []traces.Event
	for i, on := range []struct{ cpu, tid int32 }{{1, 5}, {1, 6}, {0, 7}, {1, 8}, {1, 8}, {1, 6}, {1, 8}, {1, 9}} {
		rows = append(rows, traces.Event{Kind: traces.Hit, Time: int64(i) * 10, Seq: int64(i), CPU: on.cpu, TID: on.tid, Comm: "c", Has: traces.ColCPU | traces.ColTID | traces.ColComm})
	}
	all := &Window{CPU: 1, TID: 5, From: 10, To: 60}
	none := &Window{CPU: 3, TID: 5, From: 0, To: 60}
	late := &Window{CPU: 1, TID: 5, From: 65, To: 90}
	if _, err := Scenes(t.Context(), &rowsTrace{rows: rows}, nil, []*Window{late, all, none}); err != nil {
		t.Fatal(err)
	}
	want := []Bystander{{Comm: "c", TID: 8, Rows: 3}, {Comm: "c", TID: 6, Rows: 2}}
	if !slices.Equal(all.Seen, want) || len(none.Seen) != 0 || !slices.Equal(late.Seen, []Bystander{{Comm: "c", TID: 9, Rows: 1}}) {
		t.Errorf("%+v, %+v, %+v", all.Seen, none.Seen, late.Seen)
	}
}
