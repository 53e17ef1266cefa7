package traces

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"
	"pgregory.net/rapid"
)

// encodingsOf is how other writers may store the values of a kind.
var encodingsOf = []struct {
	kind      parquet.Kind
	encodings []encoding.Encoding
}{
	{parquet.Boolean, []encoding.Encoding{&parquet.Plain, &parquet.RLE}},
	{parquet.Int32, []encoding.Encoding{&parquet.Plain, &parquet.DeltaBinaryPacked, &parquet.RLEDictionary, &parquet.ByteStreamSplit}},
	{parquet.Int64, []encoding.Encoding{&parquet.Plain, &parquet.DeltaBinaryPacked, &parquet.RLEDictionary, &parquet.ByteStreamSplit}},
	{parquet.ByteArray, []encoding.Encoding{&parquet.Plain, &parquet.DeltaLengthByteArray, &parquet.DeltaByteArray, &parquet.RLEDictionary}},
}

// patchy is rows of whose columns some are in every row, some in none, some in few,
// and some in stretches that are longer and shorter than a batch of the reader.
func patchy(n int, r *rand.Rand) []Event {
	has := make([]Columns, n)
	for c := Columns(1); c < colEnd; c <<= 1 {
		every, stretch := 1+r.IntN(60), 1+r.IntN(2*readRows)
		for i, way := 0, r.IntN(6); i < n; i++ {
			if way == 0 || way == 1 && r.IntN(every) == 0 || way == 2 && i/stretch%2 == 0 || way == 3 && r.IntN(every) != 0 {
				has[i] |= c
			}
		}
	}
	events := make([]Event, n)
	kinds, frames := 1+r.IntN(len(Kinds())), 1+r.IntN(40)
	for i := range events {
		e := &events[i]
		*e = Event{Time: int64(i / 3), Has: has[i], Kind: Kinds()[r.IntN(kinds)]}
		for j := range columns {
			c, x := &columns[j], r.Uint64()>>r.IntN(64)
			switch {
			case c.bit == 0:
			case c.i32 != nil:
				*c.i32(e) = int32(x)
			case c.i64 != nil:
				*c.i64(e) = int64(x)
			case c.u64 != nil:
				*c.u64(e) = x
			case c.flag != nil:
				*c.flag(e) = x%2 == 0
			case c.text != nil:
				*c.text(e) = fmt.Sprint(c.name, x%9)
			case c.stack != nil:
				for range r.IntN(frames) {
					e.Stack = append(e.Stack, fmt.Sprint("f", r.IntN(3), " (m)"))
				}
			}
			c.zero(e)
		}
	}
	return inOrder(events)
}

// TestReadsWhatTheLibraryWrites reads random tables that the library's writer wrote, in
// every encoding that it has, and compares with what the library's reader reads.
func TestReadsWhatTheLibraryWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := patchy(rapid.IntRange(0, 4*readRows).Draw(t, "rows"), rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		rows := make([]row, len(events))
		for i := range events {
			rows[i] = rowOf(&events[i])
		}
		options := []parquet.WriterOption{
			parquet.Compression(rapid.SampledFrom([]compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Gzip, &parquet.Zstd}).Draw(t, "compression")),
			parquet.DataPageVersion(rapid.IntRange(1, 2).Draw(t, "page version")),
			parquet.PageBufferSize(rapid.IntRange(50, 20000).Draw(t, "page bytes")),
			parquet.MaxRowsPerRowGroup(int64(rapid.IntRange(1, 3*readRows).Draw(t, "rows of a group"))),
		}
		for _, of := range encodingsOf {
			e := rapid.SampledFrom(of.encodings).Draw(t, of.kind.String())
			options = append(options, parquet.DefaultEncodingFor(of.kind, e))
		}
		data := foreign(t, rows, options...)
		f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		want := make([]row, len(rows)+1)
		if n, _ := parquet.NewGenericReader[row](f).Read(want); n != len(rows) {
			t.Fatalf("the library reads %d rows of %d", n, len(rows))
		}
		got, _, err := parse(data, AllColumns)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(rows) {
			t.Fatalf("%d rows of %d", len(got), len(rows))
		}
		for i := range got {
			if len(want[i].Stack) == 0 {
				want[i].Stack = nil
			}
			if d := cmp.Diff(want[i], rowOf(&got[i])); d != "" {
				t.Fatalf("row %d (-library +store):\n%s", i, d)
			}
		}
	})
}

// stored is a file of the events, of which change may spoil a column before its page
// is made.
func stored(t *testing.T, events []Event, change func(c *columnEncoder, p *pageBuffers) error) []byte {
	t.Helper()
	b := newBatch(nil)
	for i := range events {
		b.add(&events[i])
	}
	var file bytes.Buffer
	enc := newEncoder(&file)
	b.find()
	for i, c := range enc.columns {
		if err := errors.Join(c.add(b, i, &enc.page), change(c, &enc.page)); err != nil {
			t.Fatal(err)
		}
	}
	enc.rows = int64(len(events))
	if err := enc.close(someMeta, nil); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// TestStacksAcrossPages cuts the pages of stacks between any two frames, as writers of
// data pages of version 1 may.
func TestStacksAcrossPages(t *testing.T) {
	var events []Event
	for i, s := range [][]string{{"a", "b", "c"}, nil, {}, {"a", "b", "c"}, {"d"}, {"e", "f"}} {
		e := Event{Kind: Hit, Time: int64(i), Seq: int64(i)}
		if s != nil {
			e.Has, e.Stack = ColStack, s
		}
		events = append(events, e)
	}
	const levels = 3 + 1 + 1 + 3 + 1 + 2
	for first := 1; first < levels; first++ {
		for second := first; second <= levels; second++ {
			got, _, err := parse(stored(t, events, func(c *columnEncoder, p *pageBuffers) error {
				if c.column.stack == nil {
					return nil
				}
				return cutPages(c, p, first, second)
			}), AllColumns)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(events, got, cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("cut at %d and %d of %d levels (-written +read):\n%s", first, second, levels, d)
			}
		}
	}
}

// TestStackThatBeginsRepeated is in a page without any stack.
func TestStackThatBeginsRepeated(t *testing.T) {
	events := []Event{{Kind: Hit, Time: 1}, {Kind: Hit, Time: 2, Seq: 1}}
	_, _, err := parse(stored(t, events, func(c *columnEncoder, p *pageBuffers) error {
		if c.column.stack != nil {
			c.defs, c.reps = []byte{0, 0}, []byte{0, 1}
		}
		return nil
	}), AllColumns)
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(fmt.Sprint(err), "row 1 (row group 0, column stack)") {
		t.Error(err)
	}
}

// TestListsThatCannotBeNull has no level for a row without a stack.
func TestListsThatCannotBeNull(t *testing.T) {
	type required struct {
		TimeNs int64    `parquet:"time_ns"`
		Seq    int64    `parquet:"seq"`
		Kind   string   `parquet:"kind"`
		Stack  []string `parquet:"stack,list"`
	}
	for _, stacks := range [][][]string{{nil, nil}, {nil, {"a", "b"}}} {
		var rows []required
		for i, s := range stacks {
			rows = append(rows, required{int64(i), int64(i), "hit", s})
		}
		got, _, err := parse(foreign(t, rows), AllColumns)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			if !got[i].Got(ColStack) || !slices.Equal(got[i].Stack, stacks[i]) {
				t.Errorf("row %d of %q: %q, there: %v", i, stacks, got[i].Stack, got[i].Got(ColStack))
			}
		}
	}
}

// cutPages makes pages of the levels up to each of the cuts, and leaves the rest.
func cutPages(c *columnEncoder, p *pageBuffers, cuts ...int) error {
	c.namesDiffer()
	defs, reps, ids := bytes.Clone(c.defs), bytes.Clone(c.reps), slices.Clone(c.values.i32)
	take := func(n int) {
		frames := bytes.Count(defs[:n], []byte{c.maxDef()})
		c.defs, c.reps = append(c.defs[:0], defs[:n]...), append(c.reps[:0], reps[:n]...)
		c.values.i32, c.names = append(c.values.i32[:0], ids[:frames]...), frames
		defs, reps, ids = defs[n:], reps[n:], ids[frames:]
	}
	done := 0
	for _, cut := range cuts {
		if cut == done {
			continue
		}
		take(cut - done)
		if err := c.endPage(p); err != nil {
			return err
		}
		done = cut
	}
	take(len(defs))
	return nil
}
