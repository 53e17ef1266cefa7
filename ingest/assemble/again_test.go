package assemble

import (
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

// Where an event has one name and no number, times tell whether two hits are of one
// trap. The gaps are of real recordings, in ns.
func TestAgain(t *testing.T) {
	const pause, emulated = 9500, 1011 // to the next trap, to that of an instruction that is emulated
	for _, test := range []struct {
		name   string
		gaps   []int64
		change func(i int, r *Record)
		traps  int
	}{
		{"recorded twice", []int64{631, pause, 671, pause, 761, pause, 661}, nil, 4},
		{"recorded once", []int64{9655, 9714, 9745, 9815, 9955, 10185}, nil, 7},
		{"two quick traps", []int64{emulated, 5700, emulated, 5700}, nil, 5},
		{"recorded twice, two quick traps", []int64{520, 1061, 530, pause, 531, 1072, 520}, nil, 4},
		{"a quick loop of a fast machine", []int64{pause, 600, 610, 590, 600, 605, pause, 600, 600}, nil, 10},
		{"with callchains, once", []int64{1682, 6350, 1682}, stacked, 4},
		{"with callchains, twice", []int64{1382, 10025, 1462}, stacked, 2},
		{"callchains differ", []int64{700, pause, 700}, func(i int, r *Record) { r.Stack = []string{"f+0x0 (x)", strings.Repeat("g", i)} }, 4},
		{"another CPU", []int64{700, pause, 700}, func(i int, r *Record) { r.CPU = int32(i) }, 4},
		{"another thread", []int64{700, pause, 700}, func(i int, r *Record) { r.TID = int32(i) + 1 }, 4},
		{"another address", []int64{700, pause, 700}, func(i int, r *Record) { r.Addr += uint64(i) }, 4},
		{"another event", []int64{700, pause, 700}, func(i int, r *Record) { r.Probe = []string{"g:f", "g:h"}[i%2] }, 2},
		{"the events have numbers", []int64{700, pause, 700}, func(i int, r *Record) { r.Emitter = 1 }, 4},
		{"twice, and another event", []int64{670, 820, pause, 670, 820}, func(i int, r *Record) { r.Probe = []string{"g:f", "g:f", "g:h"}[i%3] }, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := New(Options{})
			at := int64(1000)
			for i := range len(test.gaps) + 1 {
				r := record(a, traces.Hit, at, 0, 11)
				setAddr(r, 0x401000)
				r.Probe, r.Has = "g:f", r.Has|traces.ColProbe
				if test.change != nil {
					test.change(i, r)
				}
				a.Add(r)
				if i < len(test.gaps) {
					at += test.gaps[i]
				}
			}
			traps := 0
			for _, ev := range rows(a) {
				if !ev.Joined() {
					traps++
				}
			}
			if traps != test.traps {
				t.Errorf("%d traps, want %d", traps, test.traps)
			}
			counts := a.Counts()
			if warned := len(counts.Warnings()) > 0; warned != (counts.Again > 0) {
				t.Errorf("warned %v of %d", warned, counts.Again)
			}
		})
	}
}

func stacked(_ int, r *Record) { r.Stack = []string{"work+0x0 (x)", "main+0x12 (x)"} }

// A hit does not wait for the thread's next for ever, nor past the end of its thread's
// other rows.
func TestAgainDoesNotWait(t *testing.T) {
	hit := func(a *Assembler, at int64) {
		r := record(a, traces.Hit, at, 0, 11)
		setAddr(r, 0x401000)
		a.Place(r)
	}
	for name, after := range map[string]func(*Assembler) *Record{
		"another row":    func(a *Assembler) *Record { return record(a, traces.Exit, 2000, 0, 11) },
		"another thread": func(a *Assembler) *Record { return record(a, traces.Exit, 2000+lookupWait, 0, 12) },
	} {
		t.Run(name, func(t *testing.T) {
			a := New(Options{})
			hit(a, 1000)
			hit(a, 1600)
			var ev traces.Event
			if !a.Next(&ev) || a.Next(&ev) {
				t.Fatal("want the first hit alone, the second to wait")
			}
			a.Place(after(a))
			if !a.Next(&ev) || !ev.Joined() || ev.Trap != 0 {
				t.Errorf("row %+v, want the second hit, of the trap of row 0", ev)
			}
		})
	}
}
