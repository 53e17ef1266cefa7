package traces

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/replay/replay/traces/tracetest"
)

// foreign writes rows with the library's own machinery, as another tool would,
// with the metadata of a trace.
func foreign[T any](t rapid.TB, rows []T, options ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, append([]parquet.WriterOption{parquet.KeyValueMetadata("replay.schema", "1")}, options...)...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// parse reads all of a file in memory.
func parse(data []byte, cols Columns) ([]Event, *File, error) {
	f, err := NewFile(bytes.NewReader(data), int64(len(data)), "t.parquet")
	if err != nil {
		return nil, nil, err
	}
	r, err := f.Events(cols)
	if err != nil {
		return nil, f, err
	}
	events, err := collect(r)
	return events, f, err
}

// loose is what a tool may make of a trace: every column optional, in another
// order, without some, with others, and stacks whose frames may be null.
type loose struct {
	Colour string    `parquet:"colour"`
	Kind   *string   `parquet:"kind,optional"`
	Stack  []*string `parquet:"stack,list,optional" parquet-element:",optional"`
	Addr   *uint64   `parquet:"addr,optional,dict"`
	Write  *bool     `parquet:"write,optional"`
	CPU    int32     `parquet:"cpu"`
	Seq    *int64    `parquet:"seq,optional"`
	Comm   *string   `parquet:"comm,optional"`
	TimeNs *int64    `parquet:"time_ns,optional"`
	Shape  []int64   `parquet:"shape,list"`
}

func TestFilesOfOtherWriters(t *testing.T) {
	rows := make([]loose, 3000)
	want := make([]Event, len(rows))
	for i := range rows {
		e := Event{Kind: Hit, Has: ColCPU | ColAddr, Time: int64(i), Seq: int64(i), CPU: int32(i % 3), Addr: uint64(i % 7)}
		kind := "hit"
		rows[i] = loose{Colour: "red", Kind: &kind, Addr: &e.Addr, CPU: e.CPU, Seq: &e.Seq, TimeNs: &e.Time, Shape: []int64{1, 2}}
		switch i % 3 {
		case 0:
			e.Has |= ColStack
			for j := range i % 40 {
				f := fmt.Sprintf("f%d+0x%x (a.so)", j, i%11)
				e.Stack = append(e.Stack, f)
				rows[i].Stack = append(rows[i].Stack, &f)
			}
			if rows[i].Stack == nil {
				rows[i].Stack = []*string{}
			}
		case 1:
			e.Has |= ColComm | ColWrite
			e.Comm, e.Write = fmt.Sprint("c", i%5), i%2 == 0
			rows[i].Comm, rows[i].Write = &e.Comm, &e.Write
		}
		want[i] = e
	}
	for name, options := range map[string][]parquet.WriterOption{
		"plain":        nil,
		"snappy":       {parquet.Compression(&parquet.Snappy)},
		"gzip v1":      {parquet.Compression(&parquet.Gzip), parquet.DataPageVersion(1)},
		"zstd v2":      {parquet.Compression(&parquet.Zstd), parquet.DataPageVersion(2)},
		"small pages":  {parquet.PageBufferSize(200)},
		"small groups": {parquet.MaxRowsPerRowGroup(17)},
		"delta":        {parquet.DefaultEncodingFor(parquet.Int64, &parquet.DeltaBinaryPacked), parquet.DefaultEncodingFor(parquet.ByteArray, &parquet.DeltaByteArray)},
	} {
		t.Run(name, func(t *testing.T) {
			got, f, err := parse(foreign(t, rows, options...), AllColumns)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("(-written +read):\n%.2000s", d)
			}
			if d := cmp.Diff([]string{"colour", "shape"}, f.Extra()); d != "" {
				t.Errorf("extra columns: %s", d)
			}
		})
	}
}

func TestFileErrorsSayWhatIsWrong(t *testing.T) {
	type least struct {
		TimeNs int64  `parquet:"time_ns"`
		Seq    int64  `parquet:"seq"`
		Kind   string `parquet:"kind"`
	}
	type nullable struct {
		TimeNs int64   `parquet:"time_ns"`
		Seq    *int64  `parquet:"seq,optional"`
		Kind   *string `parquet:"kind,optional"`
	}
	type nullFrame struct {
		least
		Stack []*string `parquet:"stack,list" parquet-element:",optional"`
	}
	hit, seq := "hit", int64(0)
	good := foreign(t, []least{{0, 0, "hit"}, {1, 1, "ret"}}, parquet.Compression(&parquet.Zstd))
	damaged := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	var all strings.Builder
	for _, c := range []struct {
		name string
		data []byte
		is   error
	}{
		{"empty", nil, ErrCorrupt},
		{"text", []byte("# replay-trace 1\n1 hit\n"), ErrCorrupt},
		{"cut", good[:len(good)-1], ErrCorrupt},
		{"footer length", damaged(func(b []byte) { b[len(b)-6] = 0xff }), ErrCorrupt},
		{"footer", damaged(func(b []byte) { copy(b[len(b)-200:], bytes.Repeat([]byte{0xff}, 100)) }), ErrCorrupt},
		{"page", damaged(func(b []byte) { b[30] ^= 0xff }), ErrCorrupt},
		{"no trace", foreign(t, []least{{0, 0, "hit"}}, parquet.KeyValueMetadata("replay.schema", "")), ErrCorrupt},
		{"newer", foreign(t, []least{{0, 0, "hit"}}, parquet.KeyValueMetadata("replay.schema", "2")), ErrUnsupported},
		{"cpus", foreign(t, []least{{0, 0, "hit"}}, parquet.KeyValueMetadata("replay.cpus", "two")), ErrCorrupt},
		{"sources", foreign(t, []least{{0, 0, "hit"}}, parquet.KeyValueMetadata("replay.sources", "{")), ErrCorrupt},
		{"no kind", foreign(t, []struct {
			TimeNs int64 `parquet:"time_ns"`
			Seq    int64 `parquet:"seq"`
		}{{}}), ErrUnsupported},
		{"wrong type", foreign(t, []struct {
			least
			CPU string `parquet:"cpu"`
		}{{}}), ErrUnsupported},
		{"bare list", foreign(t, []struct {
			least
			Stack string `parquet:"stack"`
		}{{}}), ErrUnsupported},
		{"unknown kind", foreign(t, []least{{0, 0, "hit"}, {1, 1, "hti"}}), ErrCorrupt},
		{"null kind", foreign(t, []nullable{{0, &seq, &hit}, {1, &seq, nil}}), ErrCorrupt},
		{"null kind first", foreign(t, []nullable{{0, &seq, nil}, {1, &seq, &hit}}), ErrCorrupt},
		{"null seq", foreign(t, []nullable{{0, &seq, &hit}, {1, nil, &hit}}), ErrCorrupt},
		{"null frame", foreign(t, []nullFrame{{least{0, 0, "hit"}, nil}, {least{1, 1, "hit"}, []*string{&hit, nil}}}), ErrCorrupt},
		{"order", foreign(t, []least{{5, 0, "hit"}, {4, 1, "hit"}}), ErrOrder},
		{"seq twice", foreign(t, []least{{5, 0, "hit"}, {5, 0, "hit"}}), ErrOrder},
	} {
		_, _, err := parse(c.data, AllColumns)
		if !errors.Is(err, c.is) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.is)
			continue
		}
		fmt.Fprintf(&all, "%s\n    %v\n", c.name, err)
	}
	tracetest.Golden(t, "file_errors.golden", all.String())
}

// small is a file with every column, for damage.
func small(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.parquet")
	events := synthetic(40)
	for i := range events {
		events[i].Has |= ColWrite | ColMm | ColPath
		events[i].Path = "/lib/x.so"
	}
	store(t, path, events, someMeta)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestTruncatedAnywhere(t *testing.T) {
	data := small(t)
	for n := range data {
		if _, _, err := parse(data[:n], AllColumns); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("%d of %d bytes: %v", n, len(data), err)
		}
	}
}

func TestDamagedAnywhere(t *testing.T) {
	data := small(t)
	want, f, err := parse(data, AllColumns)
	if err != nil {
		t.Fatal(err)
	}
	last := f.chunk(0, len(columns)-1)
	start, length := chunkSpan(last)
	pages := int(start + length) // where they end
	noticed, harmless, unnoticed := 0, 0, 0
	for i := 0; i < len(data); i += 5 {
		for _, bits := range []byte{0x01, 0xff} {
			b := bytes.Clone(data)
			b[i] ^= bits
			got, _, err := parse(b, AllColumns)
			switch {
			case err != nil && !strings.HasPrefix(err.Error(), "t.parquet: "):
				t.Fatalf("byte %d ^ %#x: no file in %q", i, bits, err)
			case err != nil:
				noticed++
			case cmp.Equal(want, got):
				harmless++ // in statistics, offsets of the page index, names of sources
			case i < pages:
				t.Fatalf("byte %d ^ %#x of %d: other events are read without an error:\n%s", i, bits, len(b), cmp.Diff(want, got))
			default: // Parquet has no checksum of the footer
				unnoticed++
			}
		}
	}
	if unnoticed*50 > noticed {
		t.Errorf("%d changes were noticed, %d gave other events, %d changed nothing", noticed, unnoticed, harmless)
	}
}

func FuzzFile(f *testing.F) {
	f.Add(small(f))
	f.Add(foreign(f, []loose{{}, {}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		events, file, err := parse(data, AllColumns)
		runtime.ReadMemStats(&after)
		if most := uint64(1 << 30); after.TotalAlloc-before.TotalAlloc > most {
			t.Fatalf("%d bytes allocated for a file of %d", after.TotalAlloc-before.TotalAlloc, len(data))
		}
		if err == nil && int64(len(events)) != file.NumRows() {
			t.Fatalf("%d events of %d", len(events), file.NumRows())
		}
		if err != nil && !strings.HasPrefix(err.Error(), "t.parquet: ") {
			t.Fatalf("no file in %q", err)
		}
	})
}

func TestClosedReader(t *testing.T) {
	data := small(t)
	f, err := NewFile(bytes.NewReader(data), int64(len(data)), "t.parquet")
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Events(AllColumns)
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	if err := r.Next(&e); err != nil {
		t.Fatal(err)
	}
	r.Close()
	for range 100 {
		err = r.Next(&e)
	}
	if err == nil || err == io.EOF {
		t.Errorf("after Close: %v", err)
	}
}
