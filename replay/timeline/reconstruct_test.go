package timeline

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces/tracetest"
)

var kindNames = map[sim.OpKind]string{sim.OpHit: "hit", sim.OpWrite: "write", sim.OpRead: "read", sim.OpApply: "apply"}

// line is an operation in full.
func line(a *Operation, start int64) string {
	o := a.Origin
	s := fmt.Sprintf("%d %s cpu=%d thread=%d space=%d row=%d", a.At-start, kindNames[a.Kind], a.CPU, a.Thread, a.Space.Index, o.Seq)
	if o.Time != 0 {
		s += fmt.Sprintf("@%d", o.Time-start)
	}
	if a.Kind == sim.OpHit {
		s += fmt.Sprintf(" addr=%#x file=%d", a.Addr, a.File)
	}
	if a.Kind == sim.OpWrite || a.Kind == sim.OpRead {
		s += fmt.Sprintf(" hold=%d+%d", a.Hold, a.ReadHold)
	}
	if a.Trampoline != 0 {
		s += fmt.Sprintf(" trampoline=%#x lookup=%d", a.Trampoline, a.LookupAt-start)
	}
	if c := a.Change; c != nil {
		s += fmt.Sprintf(" %s %#x+%#x", c.Kind, c.addr, c.len)
		if c.vma.End != 0 {
			s += fmt.Sprintf(" vma=%#x-%#x@%#x,%d", c.vma.Start, c.vma.End, c.vma.Pgoff, c.vma.File)
		}
		if c.Child != nil {
			s += fmt.Sprintf(" child=%d", c.Child.Index)
		}
	}
	s += fmt.Sprintf(" %d/%d %s %s %s #%d", o.PID, o.TID, o.Comm, o.Kind, o.Probe, o.ID)
	if len(o.Stack) > 0 {
		s += fmt.Sprintf(" %s..%d", o.Stack[0], len(o.Stack))
	}
	if o.Observed {
		s += " observed"
	}
	if o.Undecided {
		s += " undecided"
	}
	for _, truth := range []*Truth{o.CheckTruth, o.Truth} {
		if truth != nil {
			s += fmt.Sprintf(" fell=%d,%d", truth.LockStart-start, truth.WaitNs)
		}
	}
	return s
}

// TestReconstruct holds the operations of real recordings: a part of them in full, and
// all by their hash.
func TestReconstruct(t *testing.T) {
	for _, name := range []string{"churn-1x1", "stress-malloc-z", "javac", "nop5"} {
		for _, using := range []Using{Locks, Syscalls} {
			t.Run(name+"/"+using.String(), func(t *testing.T) {
				trace := replaytest.Corpus(t, name)
				s, err := TakeSurvey(t.Context(), trace)
				if err != nil {
					t.Fatal(err)
				}
				r, err := Reconstruct(t.Context(), trace, s, Config{Using: using, Profile: replaytest.Machine(t)})
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				var text strings.Builder
				hash := sha256.New()
				var last *Operation
				n := 0
				for a, ok := r.Next(); ok; a, ok = r.Next() {
					if last != nil && a.At < last.At && r.Found().Late == 0 {
						t.Fatalf("operation %d comes at %d, after one at %d", n, a.At, last.At)
					}
					l := line(a, s.Start)
					io.WriteString(hash, l+"\n")
					if n%7919 < 8 {
						text.WriteString(l + "\n")
					}
					last = a
					n++
				}
				if r.Err() != nil {
					t.Fatal(r.Err())
				}
				fmt.Fprintf(&text, "%d operations, %x\n%+v\n", n, hash.Sum(nil), *r.Found())
				tracetest.Golden(t, strings.ReplaceAll(t.Name(), "/", "_")+".golden", text.String())
			})
		}
	}
}
