package timeline_test

import (
	"context"
	"fmt"
	"io"

	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/traces"
)

// rows is a trace in memory.
type rows []traces.Event

func (rows) Path() string      { return "memory" }
func (rows) SHA256() string    { return "" }
func (rows) Meta() traces.Meta { return traces.Meta{Clock: "monotonic"} }

func (r rows) Stream(traces.Columns) (traces.Stream, error) { return &stream{r}, nil }

type stream struct{ rows }

func (s *stream) Next(ev *traces.Event) error {
	if len(s.rows) == 0 {
		return io.EOF
	}
	*ev, s.rows = s.rows[0], s.rows[1:]
	return nil
}

// What the recorded kernel did needs no model: here a reader of /proc/PID/smaps has the
// lock for 30 ms while a thread wants to map memory.
func ExampleRecord() {
	const has = traces.ColPID | traces.ColTID | traces.ColComm | traces.ColMm | traces.ColWrite | traces.ColStack
	lock := func(ms int64, kind traces.Kind, comm string, tid int32, write bool, stack ...string) traces.Event {
		return traces.Event{Kind: kind, Time: ms * 1_000_000, Seq: ms, Has: has, Comm: comm, PID: tid, TID: tid, Mm: 1, Write: write, Stack: stack}
	}
	trace := rows{
		lock(0, traces.LockStart, "cat", 900, false, "m_start+0x1d5 ([kernel.kallsyms])", "seq_read_iter+0x108 ([kernel.kallsyms])"),
		lock(1, traces.LockAcquired, "cat", 900, false),
		lock(2, traces.LockStart, "big", 701, true, "vm_mmap_pgoff+0x195 ([kernel.kallsyms])"),
		lock(31, traces.LockReleased, "cat", 900, false),
		lock(32, traces.LockAcquired, "big", 701, true),
		lock(33, traces.LockReleased, "big", 701, true),
	}
	survey, err := timeline.TakeSurvey(context.Background(), trace)
	if err != nil {
		fmt.Println(err)
		return
	}
	recorded, err := timeline.Record(context.Background(), trace, survey, 0, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	w := recorded.Worst[0]
	for _, b := range w.Behind {
		fmt.Printf("%s waited %d ms for %s, %d ms of it behind %s for %s\n", w.Comm, w.For.Nanos()/1e6, w.Kind, b.For.Nanos()/1e6, b.Hold.Comm, b.Hold.Kind)
	}
	// Output:
	// big waited 30 ms for mmap, 29 ms of it behind cat for /proc maps
}
