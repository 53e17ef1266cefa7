package traces

import (
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// sparse is a trace of hits with few columns each, the bulk of a real one.
func sparse(n int) []Event {
	events := synthetic(n)
	for i := range events {
		e := &events[i]
		e.Kind, e.Has, e.Stack = Hit, ColCPU|ColPID|ColTID|ColComm|ColAddr|ColProbe|ColSrc|ColSrcPos, nil
		e.Addr, e.Probe = 0x400000+uint64(i%5), "probe:alloc"
	}
	return events
}

const benchRows = 1 << 19

func BenchmarkWrite(b *testing.B) {
	b.Run("sparse", func(b *testing.B) { benchWrite(b, sparse(benchRows)) })
	b.Run("mixed", func(b *testing.B) { benchWrite(b, synthetic(benchRows)) })
}

func benchWrite(b *testing.B, events []Event) {
	path := filepath.Join(b.TempDir(), "t.parquet")
	b.ReportAllocs()
	for b.Loop() {
		store(b, path, events, someMeta)
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "t.parquet")
	store(b, path, synthetic(benchRows), someMeta)
	b.Run("pruned", func(b *testing.B) { benchRead(b, path, ColCPU|ColTID|ColAddr|ColDur|ColProbe) })
	b.Run("all", func(b *testing.B) { benchRead(b, path, AllColumns) })
	path = filepath.Join(b.TempDir(), "t.parquet")
	store(b, path, javac(b, benchRows), someMeta)
	b.Run("recorded", func(b *testing.B) { benchRead(b, path, AllColumns&^(ColSrc|ColSrcPos|ColBuildID)) }) // what a replay asks for
}

// javac is a recording of it, repeated until it has n rows.
func javac(b *testing.B, n int) []Event {
	once, _ := readAll(b, "corpus/javac.parquet", AllColumns)
	first, last := once[0].Time, once[len(once)-1].Time
	events := make([]Event, 0, n)
	for round := 0; len(events) < n; round++ {
		for i := range once[:min(len(once), n-len(events))] {
			e := once[i]
			e.Time += int64(round) * (last - first + 1)
			e.Seq += int64(round * len(once))
			if e.Got(ColTrap) {
				e.Trap += int64(round * len(once))
			}
			events = append(events, e)
		}
	}
	return events
}

func benchRead(b *testing.B, path string, cols Columns) {
	b.ReportAllocs()
	for b.Loop() {
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		r, err := f.Events(cols)
		if err != nil {
			b.Fatal(err)
		}
		var e Event
		for err == nil {
			err = r.Next(&e)
		}
		if err != io.EOF {
			b.Fatal(err)
		}
		f.Close()
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkText(b *testing.B) {
	const rows = 1 << 16
	events := synthetic(rows)
	twin := text(b, events, someMeta)
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w := NewTextWriter(io.Discard)
			for i := range events {
				if err := w.Write(&events[i]); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := NewTextReader(strings.NewReader(twin), "t.txt")
			var e Event
			var err error
			for err == nil {
				err = r.Next(&e)
			}
			if err != io.EOF {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
	})
}

func BenchmarkValidate(b *testing.B) {
	events := synthetic(1 << 16)
	b.ReportAllocs()
	for b.Loop() {
		if err := Validate(&slice{events: events, meta: someMeta}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*(1<<16)/b.Elapsed().Seconds(), "rows/s")
}
