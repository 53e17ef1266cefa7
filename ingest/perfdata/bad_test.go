package perfdata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/replay/replay/traces/tracetest"
)

var sentinels = []error{ErrNotPerf, ErrTruncated, ErrCorrupt, ErrUnsupported, ErrLimit}

// checkError fails unless err says where and what, and is of a known kind.
func checkError(t testing.TB, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%v (%T) has no position", err, err)
	}
	for _, s := range sentinels {
		if errors.Is(err, s) {
			if e.What == "" || e.Want == "" || e.File == "" || e.Offset < 0 {
				t.Fatalf("%q says too little", err)
			}
			return
		}
	}
	t.Fatalf("%v is of no known kind", err)
}

// A file cut anywhere gives its whole records, and then ErrTruncated.
func TestTruncatedFile(t *testing.T) {
	whole := newRecording(everyRecord...)
	data := whole.file()
	r, want := mustRead(t, data)
	start := bytes.Index(data, everyRecord[0])
	cuts := 0
	for n := range len(data) {
		r, err := open(data[:n])
		if n < start {
			if err == nil {
				t.Fatalf("cut to %d bytes, before the records at %d: no error", n, start)
			}
			checkError(t, err)
			continue
		}
		if err != nil {
			t.Fatalf("cut to %d bytes: %v; want the records before the cut", n, err)
		}
		got, err := readAll(r)
		if !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut to %d bytes: %v, want ErrTruncated", n, err)
		}
		checkError(t, err)
		if r.Info().Incomplete == nil || r.Info().Unfinished {
			t.Fatalf("cut to %d bytes, it passes for complete", n)
		}
		whole := 0
		for i := range want {
			if next := want[i].Offset + int64(sizeOf(data[want[i].Offset:])); next <= int64(n) {
				whole++
			}
		}
		if len(got) != whole {
			t.Fatalf("cut to %d bytes: %d records, want %d", n, len(got), whole)
		}
		cuts++
	}
	if cuts == 0 || len(r.Events()) == 0 {
		t.Fatal("vacuous")
	}
}

// A pipe cut anywhere does the same; between records it cannot be told from a
// whole one.
func TestTruncatedPipe(t *testing.T) {
	rec := newRecording(everyRecord...)
	data := rec.pipe()
	cut := 0
	for n := range len(data) {
		r, err := NewPipe(bytes.NewReader(data[:n]), "test.data")
		if err == nil {
			_, err = readAll(r)
		}
		if err != nil {
			checkError(t, err)
			if !errors.Is(err, ErrTruncated) {
				t.Fatalf("cut to %d bytes: %v, want ErrTruncated", n, err)
			}
			cut++
		}
	}
	if cut < len(data)/2 {
		t.Errorf("only %d of %d cuts were noticed", cut, len(data))
	}
}

// What is cut inside a compressed record is noticed too.
func TestTruncatedInflated(t *testing.T) {
	plain := bytes.Join([][]byte{hit(1, 0), hit(2, 0)}, nil)
	for n := 1; n < len(plain); n++ {
		r, err := open(newRecording(deflate(t, plain[:n], 4096)).file())
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(r)
		size := len(hit(1, 0))
		if len(got) != n/size || (err == nil) != (n%size == 0) {
			t.Fatalf("cut to %d bytes: %d records and %v", n, len(got), err)
		}
		if err != nil {
			checkError(t, err)
		}
	}
}

// perf record that was killed leaves 0 for the size of the data.
func TestUnfinished(t *testing.T) {
	rec := newRecording(hit(1, 0), hit(2, 1))
	data := rec.file()
	at := bytes.Index(data, rec.records)
	data = data[:at+len(rec.records)]
	binary.LittleEndian.PutUint64(data[48:], 0)
	r, got := mustRead(t, data)
	if len(got) != 2 || !r.Info().Unfinished || !errors.Is(r.Info().Incomplete, ErrTruncated) {
		t.Errorf("%d records, %+v", len(got), r.Info())
	}
	r, err := open(data[:len(data)-1])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(r); len(got) != 1 || !errors.Is(err, ErrTruncated) {
		t.Errorf("cut by a byte: %d records and %v", len(got), err)
	}
}

// Every byte set to every one of some values: an error with a position or none,
// and the same one when asked again.
func TestCorruptBytes(t *testing.T) {
	plain := newRecording(everyRecord...)
	packed := newRecording(deflate(t, bytes.Join(everyRecord[:10], nil), 300))
	failed := map[error]int{}
	for _, data := range [][]byte{plain.file(), plain.pipe(), packed.file(), packed.pipe()} {
		for at := range data {
			for _, value := range []byte{0, 0x7f, 0xff} {
				bad := bytes.Clone(data)
				bad[at] = value
				if err := readBad(t, bad); err != nil {
					for _, s := range sentinels {
						if errors.Is(err, s) {
							failed[s]++
						}
					}
				}
			}
		}
	}
	for _, s := range sentinels {
		if failed[s] == 0 {
			t.Errorf("vacuous: %v never came up", s)
		}
	}
}

// recordsMax bounds what a test reads of a bad file.
const recordsMax = 1 << 20

// readBad reads what may be anything, as a file or as a pipe.
func readBad(t testing.TB, data []byte) error {
	t.Helper()
	var r *Reader
	var err error
	if len(data) > 8 && data[8] == pipeHeaderSize {
		r, err = NewPipe(bytes.NewReader(data), "test.data")
	} else {
		r, err = open(data)
	}
	if err != nil {
		if r != nil {
			t.Fatalf("an error and a reader: %v", err)
		}
		checkError(t, err)
		return err
	}
	defer r.Close()
	var first error
	var rec Record
	for range recordsMax {
		err := r.Next(&rec)
		switch {
		case err == nil:
			if !rec.Type.decoded() || rec.Type == Sample && rec.Event == nil {
				t.Fatalf("half a record: %+v", rec)
			}
			continue
		case isEOF(err):
			return first
		case Skippable(err):
			checkError(t, err)
			if first == nil {
				first = err
			}
			continue
		}
		checkError(t, err)
		if again := r.Next(&rec); again != err {
			t.Fatalf("after %v comes %v", err, again)
		}
		return err
	}
	t.Fatalf("%d bytes give more than %d records", len(data), recordsMax)
	return nil
}

// A bad record is skipped when the caller goes on.
func TestSkippable(t *testing.T) {
	short := rec(Sample, 2, uint64(7), uint64(0x401000))
	r, err := open(newRecording(hit(1, 0), short, hit(2, 0)).file())
	if err != nil {
		t.Fatal(err)
	}
	var rec Record
	if err := r.Next(&rec); err != nil || rec.Time != 1 {
		t.Fatal(err, rec.Time)
	}
	if err := r.Next(&rec); !errors.Is(err, ErrCorrupt) || !Skippable(err) {
		t.Fatal(err)
	}
	if err := r.Next(&rec); err != nil || rec.Time != 2 {
		t.Fatal(err, rec.Time)
	}
	if err := r.Next(&rec); !isEOF(err) {
		t.Fatal(err)
	}
}

// A file of a thousand bytes that claims gigabytes takes no memory for them.
func TestHugeClaims(t *testing.T) {
	const huge = 10 << 30
	rec := newRecording(hit(1, 0))
	file, pipe := rec.file(), rec.pipe()
	set := func(b []byte, at int, v uint64) []byte {
		b = bytes.Clone(b)
		binary.LittleEndian.PutUint64(b[at:], v)
		return b
	}
	attr := headerSize + attrSizeNow
	features := bytes.Index(file, rec.records) + len(rec.records)
	tracingAt := bytes.Index(pipe, []byte(tracingMagic)) - recordHeaderSize
	claims := map[string][]byte{
		"attribute section": set(file, 32, huge),
		"ids":               set(file, attr+8, huge),
		"many ids":          set(file, attr+8, 200<<20),
		"records":           set(file, 48, huge),
		"feature":           set(file, features+8, huge),
		"tracing record":    set(pipe, tracingAt+4, huge>>4<<32|64),
		"zstd window":       newRecording(deflateRecord(zstdHeader(31))).file(),
	}
	for name, data := range claims {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := readBad(t, data)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Error("no error")
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
				t.Errorf("%d bytes allocated; error %v", got, err)
			}
		})
	}
}

func deflateRecord(b []byte) []byte { return rec(compressed, 0, b) }

// zstdHeader begins a frame with a window of 2^log bytes.
func zstdHeader(log int) []byte {
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, byte((log - 10) << 3)}
}

// A few bytes that inflate without end are refused at a limit, in little memory.
func TestBomb(t *testing.T) {
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	// Records of unknown type, all alike.
	block := bytes.Repeat(rec(250, 0, make([]byte, 4088)), 256)
	for range 1024 {
		w.Write(block)
	}
	w.Close()
	if buf.Len() > 1<<20 {
		t.Fatalf("a bomb of %d bytes", buf.Len())
	}
	var records []byte
	for b := buf.Bytes(); len(b) > 0; b = b[min(len(b), 60000):] {
		records = append(records, deflateRecord(b[:min(len(b), 60000)])...)
	}
	r, err := open(newRecording(records).file())
	if err != nil {
		t.Fatal(err)
	}
	_, err = readAll(r)
	checkError(t, err)
	if !errors.Is(err, ErrLimit) || !strings.Contains(err.Error(), "inflateRatioMax") {
		t.Error(err)
	}
}

// Failures of the file system are no verdict on the file.
func TestReadFailure(t *testing.T) {
	broken := errors.New("disk on fire")
	data := newRecording(hit(1, 0)).pipe()
	for _, n := range []int{0, 10, 20, len(data) - 10} {
		r, err := NewPipe(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken)), "test.data")
		if err == nil {
			_, err = readAll(r)
		}
		if !errors.Is(err, broken) || errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), "test.data:@") {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// Each message is shown in testdata/errors.golden.
func TestMessages(t *testing.T) {
	var out strings.Builder
	for _, c := range badFiles(t) {
		err := readBad(t, c.data)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		fmt.Fprintf(&out, "# %s\n%v\n\n", c.name, err)
	}
	tracetest.Golden(t, "errors.golden", out.String())
}

type badFile struct {
	name string
	data []byte
}

func badFiles(t testing.TB) []badFile {
	plain := newRecording(hit(1, 0), hit(2, 0))
	file := plain.file()
	edit := func(f func(b []byte)) []byte {
		b := bytes.Clone(file)
		f(b)
		return b
	}
	with := func(f func(r *recording)) []byte {
		r := newRecording(hit(1, 0), hit(2, 0))
		f(r)
		return r.file()
	}
	first := bytes.Index(file, plain.records)
	second := testAttr{name: "test:other", kind: TypeTracepoint, sampleType: sampleIP | sampleID, flags: flagSampleIDAll, ids: []uint64{8}}
	other := second
	other.sampleType = usualSample
	files := []badFile{
		{"empty", nil},
		{"text", []byte("perf script wrote this")},
		{"short magic", []byte("PERF")},
		{"short header", file[:50]},
		{"big-endian", []byte("2ELIFREP" + strings.Repeat("\x00", 96))},
		{"first version", []byte("PERFFILE" + strings.Repeat("\x00", 96))},
		{"attributes too small", edit(func(b []byte) { b[16] = 8 })},
		{"attributes cut", edit(func(b []byte) { b[33] = 0xff })},
		{"records nowhere", edit(func(b []byte) { b[40], b[41] = 1, 0 })},
		{"records behind the end", edit(func(b []byte) { b[43] = 1 })},
		{"file cut", file[:len(file)-1]},
		{"record cut", file[:first+20]},
		{"record of size 3", edit(func(b []byte) { b[first+6], b[first+7] = 3, 0 })},
		{"record beyond the records", edit(func(b []byte) { b[first+7] = 1 })},
		{"sample too short", newRecording(rec(Sample, 2, uint64(7), uint64(1))).file()},
		{"raw data beyond the sample", newRecording(rec(Sample, 2, make([]byte, 40), uint32(99), uint32(0))).file()},
		{"unknown id", with(func(r *recording) { r.attrs = append(r.attrs, other); r.records = sample(99, 1, 1, 1, 1, 0, nil) })},
		{"mapping too short", newRecording(rec(Mmap2, 2, uint64(1))).file()},
		{"ids in different places", with(func(r *recording) { r.attrs = append(r.attrs, second) })},
		{"no event", with(func(r *recording) { r.attrs = nil })},
		{"other compression", with(func(r *recording) {
			r.features[featCompressed] = pack(uint32(1), uint32(9), uint32(0), uint32(0), uint32(0))
		})},
		{"no zstd", newRecording(rec(compressed, 0, "nonsense")).file()},
		{"compressed too long", newRecording(rec(compressed2, 0, uint64(9999), "nonsense")).file()},
		{"compressed twice", newRecording(deflate(t, rec(compressed, 0, "nonsense"), 4096)).file()},
		{"size 3 in compressed", newRecording(deflate(t, pack(uint32(Sample), uint16(0), uint16(3)), 4096)).file()},
		{"window too large", newRecording(deflateRecord(zstdHeader(31))).file()},
		{"tracing data without magic", with(func(r *recording) { r.features[featTracingData] = []byte("none of it") })},
		{"tracing data of 32 bits", with(func(r *recording) { r.features[featTracingData][15] = 4 })},
		{"tracing data cut", with(func(r *recording) { b := r.features[featTracingData]; r.features[featTracingData] = b[:200] })},
		{"format without fields", with(func(r *recording) {
			r.features[featTracingData] = tracing(map[string][]string{"test": {"name: hit\nID: 42\n"}})
		})},
		{"hardware trace cut", newRecording(rec(auxTrace, 0, uint64(1<<20))).file()},
		{"hardware trace without end", newRecording(rec(auxTrace, 0, ^uint64(0))).file()},
	}
	pipe := plain.pipe()
	return append(files,
		badFile{"pipe with a small attribute", append(bytes.Clone(pipe[:16]), rec(headerAttr, 0, uint64(1))...)},
		badFile{"pipe with a large attribute", append(bytes.Clone(pipe[:16]), rec(headerAttr, 0, uint32(2), uint32(4000), make([]byte, 64))...)},
		badFile{"pipe with endless tracing data", append(bytes.Clone(pipe[:16]), rec(tracingData, 0, ^uint32(0))...)},
		badFile{"pipe with tracing data cut", append(bytes.Clone(pipe[:16]), rec(tracingData, 0, uint32(100), uint32(0))...)},
	)
}
