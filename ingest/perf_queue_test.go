package ingest

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/replay/replay/ingest/perfdata"
)

// order is the order of records that perfQueue gives, for equal ones that of the file.
func order(a, b perfdata.Record) int {
	return cmp.Or(cmp.Compare(int64(a.Time), int64(b.Time)), cmp.Compare(a.CPU, b.CPU), cmp.Compare(a.Offset, b.Offset))
}

// TestPerfQueue compares with sorting: what is complete comes out in order, with the
// bytes that it went in with, and nothing is lost.
func TestPerfQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newPerfQueue()
		var held []perfdata.Record
		pop := func(complete int64) {
			slices.SortFunc(held, order)
			var h heldRecord
			for len(held) > 0 && int64(held[0].Time) < complete {
				if !q.pop(&h) {
					t.Fatalf("nothing comes out, want %+v", held[0])
				}
				if h.offset != held[0].Offset || h.typ != held[0].Type || h.misc != held[0].Misc {
					t.Fatalf("%+v comes out, want %+v", h, held[0])
				}
				if got := binary.LittleEndian.Uint64(h.body); got != uint64(h.offset) || len(h.body) != bodySize(h.offset) {
					t.Fatalf("%d bytes of %d come out with %d", len(h.body), got, h.offset)
				}
				held = held[1:]
			}
			if q.pop(&h) {
				t.Fatalf("%+v comes out, which is not complete", h)
			}
		}
		body := make([]byte, slabBytes/16)
		time, complete := int64(0), int64(0)
		for offset := range int64(rapid.IntRange(0, 300).Draw(t, "records")) {
			time = max(complete, time+rapid.Int64Range(-3, 5).Draw(t, "step"))
			rec := perfdata.Record{Type: perfdata.Sample, Misc: uint16(offset), Offset: offset, Time: uint64(time), CPU: rapid.Int32Range(-1, 2).Draw(t, "cpu")}
			binary.LittleEndian.PutUint64(body, uint64(offset))
			q.add(&rec, body[:bodySize(offset)], 0)
			held = append(held, rec)
			if rapid.IntRange(0, 20).Draw(t, "round") == 0 {
				complete = max(complete, time-rapid.Int64Range(0, 10).Draw(t, "behind"))
				q.advance(complete)
				pop(complete)
			}
		}
		q.all()
		pop(1 << 62)
		if q.size != 0 {
			t.Fatalf("%d bytes are held at the end", q.size)
		}
	})
}

// bodySize varies, so that slabs end anywhere.
func bodySize(offset int64) int { return 8 + int(offset*7919%(slabBytes/16-8)) }

// TestPerfQueueDrains puts in more than may wait, without any round.
func TestPerfQueueDrains(t *testing.T) {
	q := newPerfQueue()
	body := make([]byte, 32<<10)
	var h heldRecord
	in, out, last := int64(0), int64(0), int64(-1)
	for out < 20_000 {
		q.add(&perfdata.Record{Offset: in, Time: uint64(in ^ 1)}, body, 0)
		if in++; q.full() {
			q.half()
		}
		for q.pop(&h) {
			if h.offset^1 <= last {
				t.Fatalf("%d after %d", h.offset^1, last)
			}
			last = h.offset ^ 1
			out++
		}
	}
	if held := len(q.slabs) * slabBytes; held > queueMax*17/16 {
		t.Errorf("%d bytes of memory for the %d that may wait", held, queueMax)
	}
}

// BenchmarkPerfQueue merges the buffers of two CPUs.
func BenchmarkPerfQueue(b *testing.B) {
	const records = 100_000
	body := make([]byte, 72)
	b.ReportAllocs()
	for b.Loop() {
		q := newPerfQueue()
		for cpu := range int32(2) {
			for i := range records / 2 {
				q.add(&perfdata.Record{Time: uint64(i*2) + uint64(cpu), CPU: cpu}, body, 0)
			}
		}
		q.all()
		var h heldRecord
		for q.pop(&h) {
		}
	}
	b.ReportMetric(float64(b.N)*records/b.Elapsed().Seconds()/1e6, "Mrecords/s")
}

// A round completes what is older than the newest record of the round before, which the
// one that ends may still have been preceded by: perf record reads its buffers one after
// the other. Where arrivals are made of hits, what they reach back over is not complete.
func TestRound(t *testing.T) {
	for _, test := range []struct {
		arg  string
		back int64
	}{{"", 0}, {"at", arriveReach}} {
		s := &perfStream{queue: newPerfQueue()}
		s.arrivals.arg = test.arg
		s.newest = 100
		if s.round(); s.queue.complete != math.MinInt64 {
			t.Errorf("after the first round all before %d is complete", s.queue.complete)
		}
		s.newest = 250
		if s.round(); s.queue.complete != 100-test.back {
			t.Errorf("after the second round all before %d is complete, want %d", s.queue.complete, 100-test.back)
		}
		s.newest = 260
		if s.round(); s.queue.complete != 250-test.back {
			t.Errorf("after the third round all before %d is complete, want %d", s.queue.complete, 250-test.back)
		}
	}
}
