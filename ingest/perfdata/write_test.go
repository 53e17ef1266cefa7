package perfdata

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// recording is what a test writes as a file or as a pipe.
type recording struct {
	attrs    []testAttr
	features map[int][]byte
	records  []byte
	attrSize int // of a perf_event_attr in the file
}

// testAttr is an attribute with the ids of its event.
type testAttr struct {
	name       string
	kind       uint32
	config     uint64
	sampleType uint64
	readFormat uint64
	flags      uint64
	clock      int32
	ids        []uint64
}

const (
	usualSample = sampleIP | sampleTID | sampleTime | sampleCPU | sampleRaw | sampleIdentifier
	attrSizeNow = 128
)

// newRecording has one tracepoint, "test:hit", with the id 7.
func newRecording(records ...[]byte) *recording {
	return &recording{
		attrs: []testAttr{{
			name: "test:hit", kind: TypeTracepoint, config: 42, sampleType: usualSample,
			flags: flagSampleIDAll, ids: []uint64{7},
		}},
		features: map[int][]byte{featTracingData: tracing(map[string][]string{"test": {hitFormat}})},
		records:  bytes.Join(records, nil),
		attrSize: attrSizeNow,
	}
}

const hitFormat = `name: hit
ID: 42
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:unsigned long __probe_ip;	offset:8;	size:8;	signed:0;

print fmt: "(%lx)", REC->__probe_ip
`

// pack writes values as perf does: little-endian, strings with NULs to a multiple
// of eight bytes.
func pack(values ...any) []byte {
	var b []byte
	for _, v := range values {
		switch v := v.(type) {
		case string:
			b = append(b, v...)
			b = append(b, make([]byte, 8-len(v)%8)...)
		case []byte:
			b = append(b, v...)
		default:
			var err error
			if b, err = binary.Append(b, binary.LittleEndian, v); err != nil {
				panic(err)
			}
		}
	}
	return b
}

// rec is one record.
func rec(kind Type, misc uint16, body ...any) []byte {
	b := pack(body...)
	return append(pack(uint32(kind), misc, uint16(recordHeaderSize+len(b))), b...)
}

// trailer is the sample_id of a record, for usualSample.
func trailer(pid, tid int32, time uint64, cpu uint32, id uint64) []byte {
	return pack(pid, tid, time, cpu, uint32(0), id)
}

// sample is a sample of usualSample.
func sample(id, ip uint64, pid, tid int32, time uint64, cpu uint32, raw []byte) []byte {
	return rec(Sample, 2, id, ip, pid, tid, time, cpu, uint32(0), uint32(len(raw)), raw)
}

// hit is a sample of test:hit.
func hit(time uint64, cpu uint32) []byte {
	// Four bytes of length before it, so the raw data ends off by four.
	return sample(7, 0x401000, 100, 101, time, cpu, pack(uint16(42), uint8(0), uint8(0), int32(101), uint64(0x401000), uint32(0)))
}

func (a *testAttr) bytes(size int) []byte {
	b := make([]byte, max(size, 96))
	copy(b, pack(a.kind, uint32(size), a.config, uint64(1), a.sampleType, a.readFormat, a.flags))
	copy(b[92:], pack(a.clock))
	return b[:size]
}

// file is the recording as a regular file.
func (r *recording) file() []byte {
	var ids, attrs []byte
	entry := r.attrSize + 16
	attrsAt := headerSize
	idsAt := attrsAt + entry*len(r.attrs)
	for i := range r.attrs {
		a := &r.attrs[i]
		attrs = append(attrs, a.bytes(r.attrSize)...)
		attrs = append(attrs, pack(uint64(idsAt+len(ids)), uint64(8*len(a.ids)))...)
		ids = append(ids, pack(a.ids)...)
	}
	dataAt := idsAt + len(ids)
	var bits [4]uint64
	r.describe()
	for bit := range r.features {
		bits[bit/64] |= 1 << (bit % 64)
	}
	out := pack([]byte("PERFILE2"), uint64(headerSize), uint64(entry), uint64(attrsAt), uint64(len(attrs)),
		uint64(dataAt), uint64(len(r.records)), uint64(0), uint64(0), bits)
	out = append(append(append(out, attrs...), ids...), r.records...)
	at := len(out) + 16*len(r.features)
	var sections []byte
	for _, bit := range slices.Sorted(maps.Keys(r.features)) {
		out = append(out, pack(uint64(at+len(sections)), uint64(len(r.features[bit])))...)
		sections = append(sections, r.features[bit]...)
	}
	return append(out, sections...)
}

// describe adds the event descriptions, where the test has not its own.
func (r *recording) describe() {
	if _, ok := r.features[featEventDesc]; ok {
		return
	}
	b := pack(uint32(len(r.attrs)), uint32(r.attrSize))
	for i := range r.attrs {
		a := &r.attrs[i]
		b = append(b, pack(a.bytes(r.attrSize), uint32(len(a.ids)), counted(a.name), a.ids)...)
	}
	r.features[featEventDesc] = b
}

// counted is a string with its length (do_write_string).
func counted(s string) []byte {
	n := (len(s) + 1 + 63) &^ 63
	return append(pack(uint32(n), []byte(s)), make([]byte, n-len(s))...)
}

// pipe is the recording as perf record -o - writes it.
func (r *recording) pipe() []byte {
	out := pack([]byte("PERFILE2"), uint64(16))
	for i := range r.attrs {
		out = append(out, rec(headerAttr, 0, r.attrs[i].bytes(r.attrSize), r.attrs[i].ids)...)
	}
	r.describe()
	for _, bit := range slices.Sorted(maps.Keys(r.features)) {
		b := r.features[bit]
		if bit == featTracingData {
			out = append(out, rec(tracingData, 0, uint32(len(b)))...)
			out = append(out, b...)
			out = append(out, make([]byte, -len(b)&7)...)
			continue
		}
		out = append(out, rec(headerFeature, 0, uint64(bit), b)...)
	}
	return append(out, r.records...)
}

// tracing is a tracing-data section with formats by system.
func tracing(systems map[string][]string) []byte {
	b := append([]byte("\x17\x08\x44tracing0.6\x00"), pack(uint8(0), uint8(8), uint32(4096))...)
	b = append(b, "header_page\x00"...)
	b = append(b, pack(uint64(4), []byte("page"))...)
	b = append(b, "header_event\x00"...)
	b = append(b, pack(uint64(5), []byte("event"))...)
	b = append(b, pack(uint32(1), uint64(6), []byte("ftrace"))...)
	b = append(b, pack(uint32(len(systems)))...)
	for _, name := range slices.Sorted(maps.Keys(systems)) {
		b = append(b, name...)
		b = append(b, pack(uint8(0), uint32(len(systems[name])))...)
		for _, format := range systems[name] {
			b = append(b, pack(uint64(len(format)), []byte(format))...)
		}
	}
	return append(b, pack(uint32(0), uint32(0), uint64(0))...) // kallsyms, printk, cmdlines
}

// deflate makes compressed records of records, cut every so many bytes without
// regard to where a record ends.
func deflate(t testing.TB, records []byte, every int) []byte {
	t.Helper()
	var buf, out bytes.Buffer
	w, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstd.MinWindowSize))
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(records, every) {
		w.Write(part)
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		for piece := range slices.Chunk(buf.Bytes(), 60000) {
			out.Write(rec(compressed, 0, piece))
		}
		buf.Reset()
	}
	return out.Bytes()
}

func open(data []byte) (*Reader, error) {
	return New(bytes.NewReader(data), int64(len(data)), "test.data")
}

// readAll reads all records of r, and what ended them; io.EOF is nil here.
func readAll(r *Reader) ([]Record, error) {
	defer r.Close()
	var all []Record
	for {
		var rec Record
		err := r.Next(&rec)
		switch {
		case isEOF(err):
			return all, nil
		case err != nil:
			return all, err
		}
		rec.Raw, rec.Callchain = bytes.Clone(rec.Raw), slices.Clone(rec.Callchain)
		all = append(all, rec)
	}
}

func mustRead(t testing.TB, data []byte) (*Reader, []Record) {
	t.Helper()
	r, err := open(data)
	if err != nil {
		t.Fatal(err)
	}
	all, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return r, all
}

func summary(all []Record) (s []string) {
	for i := range all {
		s = append(s, fmt.Sprintf("%v t=%d cpu=%d", all[i].Type, all[i].Time, all[i].CPU))
	}
	return s
}
