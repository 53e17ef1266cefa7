package timeline

import (
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

// From which hit on a probe is optimised, by each kind of evidence.
func TestSites(t *testing.T) {
	const pid, addr, other = 10, 0x401000, 0x402000
	hit := func(tid int32, addr uint64) traces.Event {
		return traces.Event{Kind: traces.Hit, Has: traces.ColPID | traces.ColTID | traces.ColAddr, PID: pid, TID: tid, Addr: addr}
	}
	lock := func(write bool, stack ...string) traces.Event {
		return traces.Event{Kind: traces.LockStart, Has: traces.ColPID | traces.ColTID | traces.ColWrite | traces.ColStack, PID: pid, TID: pid, Write: write, Stack: stack}
	}
	optimise := lock(true, "arch_uprobe_optimize+0x1 ([kernel.kallsyms])")
	check := lock(false, "__do_sys_uprobe+0x254 ([kernel.kallsyms])")
	trampoline := traces.Event{Kind: traces.Map, Has: traces.ColPID | traces.ColTID | traces.ColPath, PID: pid, TID: pid, Path: "[uprobes-trampo"}
	row := func(kind traces.Kind) traces.Event {
		return traces.Event{Kind: kind, Has: traces.ColPID | traces.ColTID, PID: pid, TID: pid}
	}
	fork := row(traces.Fork)
	fork.Has, fork.Ret = fork.Has|traces.ColRet, 20
	child := hit(20, addr)
	child.PID = 20
	tests := []struct {
		name        string
		rows        []traces.Event
		locks, maps string // of each hit: T by trap, S by system call
		untold      int    // hits of which that is not known for sure, with lock events
	}{
		{"no sign", []traces.Event{hit(pid, addr), hit(pid, addr)}, "TT", "TT", 0},
		{"optimised after the first hit", []traces.Event{hit(pid, addr), optimise, trampoline, hit(pid, addr), hit(pid, addr)}, "TSS", "TSS", 0},
		{"a second probe needs no other trampoline", []traces.Event{hit(pid, addr), trampoline, hit(pid, other), optimise, hit(pid, other), hit(pid, addr)}, "TTSS", "TTTS", 0},
		{"another probe is not meant", []traces.Event{hit(pid, addr), optimise, trampoline, hit(pid, other), hit(pid, other)}, "TTT", "TTT", 0},
		{"before the recording", []traces.Event{trampoline, hit(pid, addr), check, hit(pid, addr), hit(pid, addr)}, "SSS", "TTT", 0},
		{"before the recording, and no check fell back", []traces.Event{trampoline, hit(pid, addr), hit(pid, other), optimise, hit(pid, other)}, "TTS", "TTT", 1},
		{"mapped for something else", []traces.Event{hit(pid, addr), row(traces.Munmap), trampoline, hit(pid, addr)}, "TT", "TT", 1},
		{"another program", []traces.Event{hit(pid, addr), optimise, trampoline, hit(pid, addr), row(traces.Exec), hit(pid, addr)}, "TST", "TST", 0},
		{"a child has it", []traces.Event{hit(pid, addr), optimise, trampoline, fork, child}, "TS", "TS", 0},
	}
	for _, test := range tests {
		s := newSites()
		for i := range test.rows {
			test.rows[i].Seq = int64(i)
			s.take(&test.rows[i], test.rows[i].Lookup())
		}
		ran := programs{}
		var locks, maps strings.Builder
		untold := 0
		for i := range test.rows {
			ev := &test.rows[i]
			ran.follow(ev)
			if ev.Kind != traces.Hit {
				continue
			}
			e := s.evidence(ran.of(ev), ev.Addr)
			if e.untold(ev.Seq, true) {
				untold++
			}
			for b, using := range map[*strings.Builder]bool{&locks: true, &maps: false} {
				way := byte('T')
				if e.optimised(ev.Seq, using) {
					way = 'S'
				}
				b.WriteByte(way)
			}
		}
		if untold != test.untold {
			t.Errorf("%s: of %d hits it is not known, want %d", test.name, untold, test.untold)
		}
		if locks.String() != test.locks || maps.String() != test.maps {
			t.Errorf("%s: %s by lock events, %s by mappings; want %s and %s", test.name, &locks, &maps, test.locks, test.maps)
		}
	}
}
