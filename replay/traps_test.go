package replay

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/traces"
)

// memory is a Trace of events that are at hand.
type memory struct {
	*stored
	events []traces.Event
}

func (m *memory) Stream(traces.Columns) (traces.Stream, error) {
	return &listed{m.Meta(), m.events}, nil
}

type listed struct {
	meta traces.Meta
	left []traces.Event
}

func (l *listed) Meta() traces.Meta { return l.meta }

func (l *listed) Next(ev *traces.Event) error {
	if len(l.left) == 0 {
		return io.EOF
	}
	*ev, l.left = l.left[0], l.left[1:]
	return nil
}

// withAlias is the recording with a second probe on the instruction of the first: each
// hit has a row of that too, some hundred ns later.
func withAlias(t *testing.T, trace *stored) *memory {
	t.Helper()
	stream, err := trace.Stream(traces.AllColumns)
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{stored: trace}
	hits := 0
	for {
		var ev traces.Event
		if err := stream.Next(&ev); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		m.events = append(m.events, ev)
		if ev.Kind == traces.Hit {
			hits++
			ev.Time += 250
			ev.Probe = "test:alias"
			m.events = append(m.events, ev)
		}
	}
	slices.SortStableFunc(m.events, func(a, b traces.Event) int { return traces.Compare(&a, &b) })
	var traps traces.Traps
	joined := 0
	for i := range m.events {
		m.events[i].Seq = int64(i)
		traps.Join(&m.events[i], 0, false)
		if m.events[i].Joined() {
			joined++
		}
	}
	if joined != hits {
		t.Fatalf("%d of %d hits share their trap", joined, hits)
	}
	return m
}

// Two probes on one function make the lookups of one: the same fallbacks, the same
// waits, to the last decision.
func TestAliasChangesNothing(t *testing.T) {
	for _, name := range []string{"churn-1x1", "stress-malloc-z"} {
		if testing.Short() && name != "churn-1x1" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			one := corpus(t, name)
			two := withAlias(t, one)
			a, b := play(t, one, nil), play(t, two, nil)
			if a.Trace.Hits != b.Trace.Hits || b.Trace.HitEvents != 2*a.Trace.Hits || b.Trace.Events != a.Trace.Events+a.Trace.Hits {
				t.Errorf("%+v\nand with an alias\n%+v", a.Trace, b.Trace)
			}
			for i := range a.Runs {
				x, y := a.Runs[i], b.Runs[i]
				alias := slices.IndexFunc(y.Probes, func(p ProbeRow) bool { return p.Probe == "test:alias" })
				if alias < 0 || y.Probes[alias] != (ProbeRow{Probe: "test:alias", Events: x.Hits}) {
					t.Fatalf("%s: probes %+v", x.Resolver, y.Probes)
				}
				y.Probes = slices.Delete(slices.Clone(y.Probes), alias, alias+1)
				if d := cmp.Diff(x, y); d != "" {
					t.Errorf("%s (-one +two):\n%.2000s", x.Resolver, d)
				}
			}
			for _, using := range []Using{Locks, Syscalls} {
				v, err := Validate(context.Background(), one, profile(), using, 0)
				if err != nil {
					t.Fatal(err)
				}
				w, err := Validate(context.Background(), two, profile(), using, 0)
				if err != nil {
					t.Fatal(err)
				}
				if w.Events = v.Events; !cmp.Equal(v, w) {
					t.Errorf("validation (-one +two):\n%s", cmp.Diff(v, w))
				}
			}
		})
	}
}

// What a return probe does at the function's entry is a lookup, too, that its own rows
// do not show: once for a function, and not where its entry is recorded.
func TestReturnsTellOfLookups(t *testing.T) {
	for name, test := range map[string]struct {
		rows string
		want int64
	}{
		"alone":              {"ret 10 g:r|ret 10 g:r", 2},
		"with the entry":     {"hit 10 g:f|ret 10 g:r|hit 10 g:f|ret 10 g:r", 0},
		"of another":         {"hit 20 g:f|ret 10 g:r", 1},
		"two on a function":  {"ret 10 g:r|ret 10 g:r_again", 1},
		"two functions":      {"ret 10 g:r|ret 30 g:r", 2},
		"the entry is later": {"ret 10 g:r|hit 10 g:f", 0},
	} {
		var c eventCount
		for _, row := range strings.Split(test.rows, "|") {
			f := strings.Fields(row)
			kind, err := traces.ParseKind(f[0])
			if err != nil {
				t.Fatal(err)
			}
			c.add(&traces.Event{Kind: kind, Addr: uint64(f[1][0]), Probe: f[2]})
		}
		c.settle()
		if got := c.unseen(); got != test.want {
			t.Errorf("%s: %d lookups unseen, want %d", name, got, test.want)
		}
	}
}

// A recording of returns alone has lookups, at unknown times: no run, and no error.
func TestReturnsAlone(t *testing.T) {
	trace := corpus(t, "churn-1x1")
	trace.change = func(ev *traces.Event) bool {
		if ev.Kind == traces.Hit {
			ev.Kind = traces.Ret
		}
		return true
	}
	res := play(t, trace, nil)
	if len(res.Runs) != 0 || res.Trace.Hits != 0 || res.Knows(traces.UnknownHits) {
		t.Errorf("%d runs of %d hits, unknown: %v", len(res.Runs), res.Trace.Hits, res.Unknown)
	}
	v, err := Validate(context.Background(), trace, profile(), Locks, 0)
	if err != nil || v.Scores() {
		t.Errorf("scored %v, %v", v, err)
	}
}

// Of locks whose beginning alone was recorded nobody knows who had them: syscalls tell
// of the write sections then.
func TestLockStartAlone(t *testing.T) {
	trace := corpus(t, "churn-1x1")
	whole := play(t, trace, nil).Trace.Writers
	trace.change = func(ev *traces.Event) bool { return ev.Kind != traces.LockAcquired && ev.Kind != traces.LockReleased }
	if starts := play(t, trace, nil).Trace.Writers; whole == 0 || starts < whole/2 {
		t.Errorf("%d write sections of lock_start alone, %d of all lock events", starts, whole)
	}
}
