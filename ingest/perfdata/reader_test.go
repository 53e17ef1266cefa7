package perfdata

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

var everyRecord = [][]byte{
	rec(Mmap, 2|miscMmapData, int32(100), int32(101), uint64(0x1000), uint64(0x2000), uint64(3), "/lib/a", trailer(100, 101, 10, 1, 7)),
	rec(Mmap2, 2, int32(100), int32(101), uint64(0x4000), uint64(0x1000), uint64(5), uint32(8), uint32(1), uint64(77), uint64(2), uint32(5), uint32(2), "/lib/b", trailer(100, 101, 11, 0, 7)),
	rec(Mmap2, 2|miscMmapBuildID, int32(100), int32(101), uint64(0x5000), uint64(0x1000), uint64(0), uint8(4), uint8(0), uint16(0), append([]byte{0xde, 0xad, 0xbe, 0xef}, make([]byte, 16)...), uint32(5), uint32(2), "/lib/c", trailer(100, 101, 12, 0, 7)),
	rec(Comm, 2|miscCommExec, int32(100), int32(101), "cat", trailer(100, 101, 13, 1, 7)),
	rec(Fork, 2, int32(200), int32(100), int32(201), int32(101), uint64(14), trailer(100, 101, 14, 0, 7)),
	hit(15, 1),
	rec(Exit, 2, int32(200), int32(100), int32(201), int32(101), uint64(16), trailer(200, 201, 16, 0, 7)),
	rec(Lost, 0, uint64(7), uint64(99), trailer(100, 101, 17, 1, 7)),
	rec(LostSamples, 0, uint64(98), trailer(100, 101, 18, 0, 7)),
	rec(FinishedRound, 0),
	rec(5, 0, uint64(1), uint64(2), uint64(3), trailer(100, 101, 19, 0, 7)), // THROTTLE
	rec(250, 0, []byte("of a kernel to come!")),
	rec(71, 0, uint64(8), uint64(0), uint64(0), uint32(0), uint32(0), uint32(0), uint32(0)), []byte("hardware"), // AUXTRACE
	hit(20, 0),
}

func everyRecordWant(events []*Event) []Record {
	ev := events[0]
	id := func(r Record, pid, tid int32, time uint64, cpu int32) Record {
		r.HasID, r.Event, r.PID, r.TID, r.Time, r.CPU = true, ev, pid, tid, time, cpu
		return r
	}
	raw := pack(uint16(42), uint8(0), uint8(0), int32(101), uint64(0x401000), uint32(0))
	return []Record{
		id(Record{Type: Mmap, Misc: 2 | miscMmapData, Mapping: Mapping{PID: 100, TID: 101, Addr: 0x1000, Len: 0x2000, Pgoff: 3, Data: true, File: "/lib/a"}}, 100, 101, 10, 1),
		id(Record{Type: Mmap2, Misc: 2, Mapping: Mapping{PID: 100, TID: 101, Addr: 0x4000, Len: 0x1000, Pgoff: 5, Major: 8, Minor: 1, Inode: 77, InodeGen: 2, Prot: 5, Flags: 2, File: "/lib/b", V2: true}}, 100, 101, 11, 0),
		id(Record{Type: Mmap2, Misc: 2 | miscMmapBuildID, Mapping: Mapping{PID: 100, TID: 101, Addr: 0x5000, Len: 0x1000, BuildID: "deadbeef", Prot: 5, Flags: 2, File: "/lib/c", V2: true}}, 100, 101, 12, 0),
		id(Record{Type: Comm, Misc: 2 | miscCommExec, Name: "cat", Exec: true}, 100, 101, 13, 1),
		id(Record{Type: Fork, Misc: 2, Task: Task{PID: 200, PPID: 100, TID: 201, PTID: 101}}, 100, 101, 14, 0),
		id(Record{Type: Sample, Misc: 2, IP: 0x401000, Raw: raw}, 100, 101, 15, 1),
		id(Record{Type: Exit, Misc: 2, Task: Task{PID: 200, PPID: 100, TID: 201, PTID: 101}}, 200, 201, 16, 0),
		id(Record{Type: Lost, Count: 99, LostID: 7}, 100, 101, 17, 1),
		id(Record{Type: LostSamples, Count: 98}, 100, 101, 18, 0),
		{Type: FinishedRound, CPU: -1, PID: -1, TID: -1},
		id(Record{Type: Sample, Misc: 2, IP: 0x401000, Raw: raw}, 100, 101, 20, 0),
	}
}

// Every kind of record is decoded, from a file, from a pipe, and compressed.
func TestEveryRecord(t *testing.T) {
	forms := []struct {
		name string
		open func(*recording) (*Reader, error)
	}{
		{"file", func(r *recording) (*Reader, error) { return open(r.file()) }},
		{"pipe", func(r *recording) (*Reader, error) { return NewPipe(bytes.NewReader(r.pipe()), "test.data") }},
		{"pipe of single bytes", func(r *recording) (*Reader, error) {
			return NewPipe(iotestOneByte{bytes.NewReader(r.pipe())}, "test.data")
		}},
	}
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			r, err := form.open(newRecording(everyRecord...))
			if err != nil {
				t.Fatal(err)
			}
			got, err := readAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(everyRecordWant(r.Events()), got, cmpopts.IgnoreFields(Record{}, "Offset"), cmpopts.IgnoreUnexported(Event{})); diff != "" {
				t.Error("records (-want +got)\n", diff)
			}
			if ev := r.Events()[0]; ev.Name != "test:hit" || ev.Format == nil || ev.Format.Name != "hit" {
				t.Errorf("event is %+v", ev)
			}
			if diff := cmp.Diff(map[Type]int64{5: 1, 250: 1, auxTrace: 1}, r.Skipped()); diff != "" {
				t.Error("skipped (-want +got)\n", diff)
			}
		})
	}
}

// A pipe may tell of the formats before the events, and have no records at all.
func TestPipeOrder(t *testing.T) {
	r := newRecording()
	attr := rec(headerAttr, 0, r.attrs[0].bytes(attrSizeNow), r.attrs[0].ids)
	data := r.pipe()
	data = append(data[:pipeHeaderSize:pipeHeaderSize], append(data[pipeHeaderSize+len(attr):], attr...)...)
	p, err := NewPipe(bytes.NewReader(data), "test.data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(p); err != nil || len(p.Events()) != 1 || p.Events()[0].Format == nil || p.Events()[0].Name != "test:hit" {
		t.Errorf("%+v, %v", p.Events(), err)
	}
}

// iotestOneByte reads one byte at a time.
type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(b []byte) (int, error) { return o.r.Read(b[:min(1, len(b))]) }

// An offset is where the record begins.
func TestOffsets(t *testing.T) {
	data := newRecording(hit(1, 0), hit(2, 0)).file()
	_, got := mustRead(t, data)
	for i, want := range []int{bytes.Index(data, hit(1, 0)), bytes.Index(data, hit(2, 0))} {
		if got[i].Offset != int64(want) {
			t.Errorf("record %d at %d, want %d", i, got[i].Offset, want)
		}
	}
}

// Compressed records are cut anywhere; what comes out is the same.
func TestCompressed(t *testing.T) {
	var plain []byte
	for i := range 500 {
		plain = append(plain, hit(uint64(i), uint32(i%2))...)
	}
	_, want := mustRead(t, newRecording(plain).file())
	for _, every := range []int{1, 7, 64, 100, 4096, len(plain)} {
		packed := deflate(t, plain, every)
		_, got := mustRead(t, newRecording(packed).file())
		if diff := cmp.Diff(summary(want), summary(got)); diff != "" {
			t.Fatalf("cut every %d bytes (-want +got)\n%s", every, diff)
		}
	}
}
