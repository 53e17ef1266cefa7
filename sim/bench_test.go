package sim

import (
	"context"
	"fmt"
	"testing"

	"github.com/replay/replay/sim/mm"
)

// counter counts hits.
type counter struct{ hits int64 }

func (c *counter) Hit(*HitRecord)   { c.hits++ }
func (c *counter) Section(*Section) {}

// stream is a source of hits of threads in turn: so many, each so long after the one
// before, or without an end, where each thread has one that it repeats.
type stream struct {
	mm     *MM
	tasks  []*Task
	begun  []int // by task
	apart  Time
	repeat bool
	n      int
	left   int
}

func newStream(s *System, cpus int) *stream {
	src := &stream{mm: s.NewMM(1, &mm.AddressSpace{}), begun: make([]int, cpus), left: cpus}
	for i := range int32(cpus) {
		src.tasks = append(src.tasks, s.NewTask(i, i))
	}
	return src
}

func (s *stream) ticket(nth int) Ticket {
	t, at := s.tasks[nth%len(s.tasks)], Time(nth)*s.apart
	return Ticket{Task: t, CPU: t.ID, Due: at, Until: at, At: at}
}

func (s *stream) Next(next *Ticket) bool {
	if s.left == 0 {
		return false
	}
	s.left--
	s.n++
	*next = s.ticket(s.n - 1)
	return true
}

func (s *stream) Waiting(t *Task) Ticket {
	return s.ticket(s.begun[t.ID]*len(s.tasks) + int(t.ID))
}

func (s *stream) Op(t *Task, op *Op) {
	if !s.repeat {
		s.begun[t.ID]++
	}
	op.Kind, op.MM, op.Addr, op.File, op.Repeat = OpHit, s.mm, probeAddr, textFile, s.repeat
}

func (s *stream) Err() error { return nil }

// BenchmarkHits times hits of threads that make them all the time, one on each CPU, in
// one address space: what a hit costs the host while lines do not move (speculative) and
// while all queue for one (locked), with few and with many CPUs, whose second threads are
// in use or not.
func BenchmarkHits(b *testing.B) {
	for _, resolver := range []string{"locked", "speculative"} {
		for _, smt := range []int{1, 2} {
			for _, cpus := range []int{2, 8, 64, 512} {
				b.Run(fmt.Sprintf("%s/smt=%d/%d", resolver, smt, cpus), func(b *testing.B) {
					m := testMachine()
					m.SMT, m.Numbering = smt, SiblingsAdjacent
					m.CoresPerSocket = max(cpus/smt/2, 1)
					m.CoresPerL3 = m.CoresPerSocket
					m.Hit.JitterPermille = 100
					rec := &counter{}
					s := newSystem(b, m, cpus, resolver, Config{Seed: 1, Observer: rec})
					src := newStream(s, cpus)
					src.repeat, src.apart = true, 37*Nanosecond
					b.ResetTimer()
					for b.Loop() {
						if err := s.RunFor(context.Background(), src, true, s.now+500*Microsecond); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rec.hits), "ns/hit")
					b.ReportMetric(float64(rec.hits)/b.Elapsed().Seconds()/1e6, "Mhits/s")
				})
			}
		}
	}
}

// BenchmarkArrivals times hits that arrive at given times, as in a replay: of one CPU, or
// of several at a time.
func BenchmarkArrivals(b *testing.B) {
	for _, resolver := range []string{"locked", "speculative"} {
		for _, cpus := range []int{1, 2, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", resolver, cpus), func(b *testing.B) {
				m := testMachine()
				m.CoresPerSocket, m.CoresPerL3 = max(cpus/2, 1), max(cpus/2, 1)
				rec := &counter{}
				s := newSystem(b, m, cpus, resolver, Config{Observer: rec, AsRecorded: true})
				src := newStream(s, cpus)
				src.apart, src.left = 2*Microsecond/Time(cpus), b.N
				b.ResetTimer()
				if err := s.Run(context.Background(), src, false); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(rec.hits)/b.Elapsed().Seconds()/1e6, "Mhits/s")
			})
		}
	}
}
