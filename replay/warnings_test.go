package replay

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// Whatever was found that bounds the conclusions is told, with how many, and nothing else is.
func TestWarningsByHand(t *testing.T) {
	warn := func(lost, inferred, refused int64, n timeline.Found) []string {
		p := &Player{gather: &gatherer{inferred: inferred}, src: &source{survey: &timeline.Survey{Lost: lost}, refused: refused, firstRefusal: errors.New("no room")}}
		return p.warnings(&n)
	}
	for _, c := range []struct {
		got  []string
		want string
	}{
		{warn(0, 0, 0, timeline.Found{ObservedArrivals: 9, InferredArrivals: 9, ObservedSections: 9}), ""},
		{warn(0, 2, 0, timeline.Found{}), "2 hits lay outside every known mapping"},
		{warn(0, 0, 3, timeline.Found{}), "3 changes of an address space were refused (the first: no room)"},
		{warn(0, 0, 0, timeline.Found{Unended: 4}), "4 holds of mmap_lock had no end"},
		{warn(0, 0, 0, timeline.Found{Untold: 5}), "5 hits are of a process with optimised probes"},
		{warn(0, 0, 0, timeline.Found{Unlocked: 6, UnlockedUntil: 1_500_000}), "6 mmaps and munmaps have no mmap_lock events, the last of them 1.5ms from the start"},
		{warn(1, 0, 0, timeline.Found{Unlocked: 6, UnlockedUntil: 1_500_000}), ""}, // they may have been lost
		{warn(0, 0, 0, timeline.Found{Sharing: 7}), "7 processes were in one address space with another"},
		{warn(0, 0, 0, timeline.Found{Late: 8}), "8 operations were reconstructed too late"},
	} {
		if told := len(c.got) == 1 && strings.HasPrefix(c.got[0], c.want); c.want == "" && len(c.got) != 0 || c.want != "" && !told {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// Waits are told to be shorter that were a millisecond for each clone, and of which no more than
// half is left.
func TestShorterWaitsByHand(t *testing.T) {
	for _, c := range []struct {
		unwaited, left int64 // ns
		clone          int
		told           string
	}{
		{1_000_000, 500_000, 1, "writers waited 1ms "}, {1_000_000, 500_001, 1, ""}, {999_999, 0, 1, ""},
		{4_000_000, 2_000_000, 4, "writers waited 1ms "}, {3_999_999, 0, 4, ""}, {2_000_000, 0, 0, "writers waited 2ms "},
	} {
		p := &Player{src: &source{options: &Options{Clone: c.clone}, unwaited: c.unwaited}}
		got := strings.Join(p.shorterWaits(&Run{WriterWait: dist.Dist{Total: sim.Time(c.left) * sim.Nanosecond}}), "; ")
		if (got != "") != (c.told != "") || !strings.HasPrefix(got, c.told) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// A probe has the events of all clones, those of which none is a lookup too.
func TestEventsOfProbes(t *testing.T) {
	events := map[string]int64{"b": 3, "a": 2, "c": 1}
	got := eventsOf([]ProbeRow{{Probe: "b", Hits: 7}}, events, 4)
	if want := []ProbeRow{{Probe: "b", Hits: 7, Events: 12}, {Probe: "a", Events: 8}, {Probe: "c", Events: 4}}; !reflect.DeepEqual(got, want) || len(events) != 3 {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Changes that an address space cannot have been through are counted, and the first is told.
func TestRefusedChanges(t *testing.T) {
	const all = traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColAddr
	rows := []traces.Event{{Time: 1_000_000, Kind: traces.Hit, PID: 10, TID: 11, Addr: 0x401000, Path: "/bin/a", Has: all | traces.ColPath}}
	for i := range int64(3) {
		rows = append(rows, traces.Event{Time: 2_000_000 + 1_000_000*i, Seq: i + 1, Kind: traces.Munmap, PID: 10, TID: 11, Addr: 0x7000, Dur: 1000, Has: all | traces.ColLen | traces.ColDur | traces.ColRet})
	}
	res := play(t, replaytest.Made(rows), nil)
	if !slices.ContainsFunc(res.Warnings, func(w string) bool {
		return strings.HasPrefix(w, "3 changes of an address space were refused (the first: ") && !strings.Contains(w, "nil")
	}) {
		t.Errorf("warnings %q", res.Warnings)
	}
}

// Lookups that returns tell of and no hit shows are told, and only where there are such.
func TestUnseenIsSaid(t *testing.T) {
	const all = traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColAddr | traces.ColProbe
	rows := []traces.Event{{Time: 1_000_000, Kind: traces.Hit, PID: 10, TID: 11, Addr: 0x401000, Probe: "p:f", Path: "/bin/a", Has: all | traces.ColPath}}
	for n := range 3 {
		var got []string
		for _, w := range play(t, replaytest.Made(rows), nil).Warnings {
			if strings.Contains(w, "are not among the hits") {
				got = append(got, strings.Fields(w)[0])
			}
		}
		if n == 0 && len(got) != 0 || n > 0 && !slices.Equal(got, []string{strconv.Itoa(n)}) {
			t.Errorf("of %d returns without a hit: %q", n, got)
		}
		rows = append(rows, traces.Event{Time: 2_000_000 + 1_000_000*int64(n), Seq: int64(n) + 1, Kind: traces.Ret, PID: 10, TID: 11, Addr: 0x402000, Probe: "p:r", Has: all})
	}
}
