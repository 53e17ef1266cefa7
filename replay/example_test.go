package replay_test

import (
	"context"
	"fmt"
	"io"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/traces"
)

// rows is a trace in memory.
type rows []traces.Event

func (rows) Path() string      { return "memory" }
func (rows) SHA256() string    { return "" }
func (rows) Meta() traces.Meta { return traces.Meta{Clock: "monotonic", CPUs: 2} }

func (r rows) Stream(traces.Columns) (traces.Stream, error) { return &stream{r}, nil }

type stream struct{ rows }

func (s *stream) Next(ev *traces.Event) error {
	if len(s.rows) == 0 {
		return io.EOF
	}
	*ev, s.rows = s.rows[0], s.rows[1:]
	return nil
}

// A thread hits a probe every 10 µs, and nobody changes its mappings: before the series each
// hit takes mmap_lock, after it none.
func ExamplePlay() {
	const base = traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColComm | traces.ColAddr
	trace := rows{{
		Kind: traces.Map, Has: base | traces.ColLen | traces.ColProt | traces.ColPath, PID: 7, TID: 7, Comm: "app",
		Addr: 0x400000, Len: 0x1000, Prot: 5, Path: "/bin/app",
	}}
	for i := range int64(1000) {
		at := (i + 1) * 10_000
		trace = append(trace, traces.Event{Kind: traces.Hit, Time: at, Has: base | traces.ColProbe, PID: 7, TID: 7, Comm: "app", Addr: 0x400800, Probe: "app:f"})
	}
	for i := range trace {
		trace[i].Seq = int64(i)
	}
	profile, err := machines.Load(machines.Generic)
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := replay.Play(context.Background(), trace, profile, replay.DefaultOptions(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range result.Runs {
		r := &result.Runs[i]
		fmt.Printf("%s: %d of %d hits took mmap_lock\n", r.Resolver, r.Fallbacks(), r.Hits)
	}
	// Output:
	// locked: 1000 of 1000 hits took mmap_lock
	// speculative: 0 of 1000 hits took mmap_lock
}
