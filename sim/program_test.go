package sim

import (
	"os"
	"testing"

	"github.com/replay/replay/sim/explore"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/sim/protocol"
)

// TestOneDefinition changes a step of a program, and looks at what becomes of it in both
// machines: what the explorer finds, and what the lookup costs and answers where it is
// timed.
func TestOneDefinition(t *testing.T) {
	text, err := os.ReadFile("explore/cases/hazards/range.case")
	if err != nil {
		t.Fatal(err)
	}
	var states int // of the series as it is
	for _, c := range []struct {
		name, programs string
		violated       string // property, in the exploration
		more           bool   // states
		loads          int64  // of the sequence, by a hit
		stores         int64  // by a section
		in, across     Outcome
	}{
		{"as it is", "", "", false, 2, 2, WriterActive, SeqChanged},
		{"the sequence is not looked at again", "program compare\n fence read\n", "P2", false, 1, 2, WriterActive, Lockless},
		{"it is looked at twice", "program compare\n fence read\n tmp = load.once mm.seq {SeqLine}\n now = load.once mm.seq {SeqLine}\n refuse seq_changed if now != seq goto out\n", "", true, 3, 2, WriterActive, SeqChanged},
		{"an odd one is as good", "program sample\n seq = load.acquire mm.seq {SeqLine}\n", "P2", false, 2, 2, Lockless, SeqChanged},
		{"the writer changes it at the end alone", "program seq-begin\n seq = load mm.seq\n", "P2", false, 2, 1, Lockless, WriterActive},
	} {
		own, err := explore.ParseCase("mine", string(text)+"\n"+c.programs)
		if err != nil {
			t.Fatal(err)
		}
		explored, err := explore.Run(t.Context(), own, explore.Options{Resolver: "speculative", Model: explore.SC})
		if err != nil {
			t.Fatal(err)
		}
		violated := ""
		if explored.Violation != nil {
			violated = explored.Violation.Property
		}
		if states == 0 {
			states = explored.States
		}
		if violated != c.violated || c.more != (explored.States > states) {
			t.Errorf("%s: violates %q in %d states, want %q; as it is, %d", c.name, violated, explored.States, c.violated, states)
		}

		library, err := protocol.Parse(protocol.Kernel(), "mine", c.programs)
		if err != nil {
			t.Fatal(err)
		}
		series, err := protocol.FindResolver("speculative")
		if err != nil {
			t.Fatal(err)
		}
		resolver, err := Compile(library, *series, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, stepwise := range []bool{false, true} {
			topo, err := NewTopology(testMachine(), 0)
			if err != nil {
				t.Fatal(err)
			}
			r := rigOf(NewSystem(Config{Topology: topo, Resolver: resolver, Probes: &mm.Uprobes{}, Observer: &recorder{}, Stepwise: stepwise}))
			reader, writer := r.NewTask(1, 0), r.NewTask(2, 2)
			r.add(reader, OpHit, Microsecond, 0, 0)
			r.add(reader, OpHit, 10*Microsecond, 0, 0) // alone: each line is at hand
			r.add(writer, OpWrite, 20*Microsecond, 2*Microsecond, 0)
			r.add(reader, OpHit, 21*Microsecond, 0, 0) // within the section
			r.add(reader, OpHit, 30*Microsecond, 0, 0) // a section begins and ends meanwhile
			r.last().LookupCycles = 2000
			r.add(writer, OpWrite, 31*Microsecond, 100*Nanosecond, 0)
			r.run(t)
			alone, in, across := r.rec.hits[1], r.rec.hits[2], r.rec.hits[3]
			if want := Time(c.loads*4+7*4+60) * Nanosecond; alone.Parts.Lookup != want {
				t.Errorf("%s: a lookup takes %v, want %v", c.name, alone.Parts.Lookup, want)
			}
			if in.Outcome != c.in || across.Outcome != c.across {
				t.Errorf("%s: within a section %v, across one %v; want %v, %v", c.name, in.Outcome, across.Outcome, c.in, c.across)
			}
			if got, want := r.mm.seq, uint64(2*c.stores); got != want {
				t.Errorf("%s: two sections leave the sequence at %d, want %d", c.name, got, want)
			}
		}
	}
}

// TestWhatCannotBeTimed: a program that waits, or whose words are torn, is refused with a
// reason.
func TestWhatCannotBeTimed(t *testing.T) {
	series, _ := protocol.FindResolver("speculative")
	for rule, want := range map[string]string{
		"try-begin": "speculative: mmap_lock_speculation_start waits for a word to change (seq = await mm.seq even), for which the machine has no price",
		"read-once": "speculative: find_active_uprobe_speculative reads a word in parts (tmp = load vma.file part 3), and no word of the machine is ever torn",
	} {
		if _, err := Compile(protocol.Kernel(), *series, protocol.Off{rule}); err == nil || err.Error() != want {
			t.Errorf("without %s: %v, want %s", rule, err, want)
		}
	}
}
