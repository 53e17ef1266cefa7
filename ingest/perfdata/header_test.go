package perfdata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// buildID is an entry of the build-id table.
func buildID(misc uint16, id []byte, size byte, name string) []byte {
	full := make([]byte, 24)
	copy(full, id)
	full[20] = size
	return rec(buildIDRecord, misc, int32(-1), full, name)
}

// Features say the same in a file and in a pipe.
func TestInfo(t *testing.T) {
	id := bytes.Repeat([]byte{0xab}, 20)
	table := slices.Concat(
		buildID(1, id, 0, "[kernel.kallsyms]"),
		buildID(2, id, 0, "/lib/old-perf"),
		buildID(2|miscBuildIDSize, []byte{1, 2, 3, 4}, 4, "/lib/short-id"),
	)
	build := func() *recording {
		r := newRecording(hit(1, 0))
		r.features[featOSRelease] = counted("6.18.0")
		r.features[featArch] = counted("x86_64")
		r.features[featNrCPUs] = pack(uint32(8), uint32(2))
		r.features[featCmdline] = pack(uint32(2), counted("perf"), counted("record"))
		r.features[featSampleTime] = pack(uint64(5), uint64(6))
		r.features[featCompressed] = pack(uint32(1), uint32(1), uint32(1), uint32(3), uint32(4096))
		r.features[featClockData] = pack(uint32(1), uint32(1), uint64(0), uint64(0))
		r.features[featHostname] = counted("host")
		r.features[5] = counted("a version of perf")
		r.features[200] = []byte("of a perf to come")
		return r
	}
	want := Info{
		Host: "host", OSRelease: "6.18.0", Arch: "x86_64", CPUs: 2, Cmdline: []string{"perf", "record"}, ClockID: 1, HasClockID: true,
		BuildIDs: map[string]string{
			"[kernel.kallsyms]": "abababababababababababababababababababab", "/lib/old-perf": "abababababababababababababababababababab",
			"/lib/short-id": "01020304",
		},
		KernelID: "abababababababababababababababababababab", FirstTime: 5, LastTime: 6, SkippedFeatures: 2,
	}
	file := build()
	file.features[featBuildID] = table
	fromFile, _ := mustRead(t, file.file())
	if diff := cmp.Diff(want, *fromFile.Info()); diff != "" {
		t.Error("file (-want +got)\n", diff)
	}
	pipe := build()
	pipe.records = append(pipe.records, table...)
	fromPipe, err := NewPipe(bytes.NewReader(pipe.pipe()), "test.data")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(fromPipe); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *fromPipe.Info()); diff != "" {
		t.Error("pipe (-want +got)\n", diff)
	}
}

// Attributes of older and of later perfs, and a longer header, are read.
func TestSizes(t *testing.T) {
	for _, size := range []int{attrSizeMin, 72, 80, 96, 112, 128, 136, 4000} {
		rec := newRecording(hit(1, 0))
		rec.attrSize = size
		rec.attrs[0].flags |= flagUseClockID
		rec.attrs[0].clock = 4
		for _, data := range [][]byte{rec.file(), rec.pipe()} {
			var r *Reader
			var err error
			if data[8] == pipeHeaderSize {
				r, err = NewPipe(bytes.NewReader(data), "test.data")
			} else {
				binary.LittleEndian.PutUint64(data[8:], 120) // a header to come
				r, err = open(data)
			}
			if err != nil {
				t.Fatalf("attributes of %d bytes: %v", size, err)
			}
			got, err := readAll(r)
			if err != nil || len(got) != 1 || got[0].Event.Name != "test:hit" || got[0].Time != 1 {
				t.Fatalf("attributes of %d bytes: %v %v", size, summary(got), err)
			}
			wantClock := int32(0)
			if size >= 96 {
				wantClock = 4
			}
			if a := got[0].Event.Attr; a.ClockID != wantClock || !a.UsesClockID() || r.Info().ClockID != wantClock {
				t.Errorf("attributes of %d bytes: clock %d, want %d", size, a.ClockID, wantClock)
			}
		}
	}
}

// Each record finds its event by id, wherever that is.
func TestSeveralEvents(t *testing.T) {
	chain := uint64(sampleIP | sampleTID | sampleTime | sampleAddr | sampleCallchain | sampleID | sampleCPU | samplePeriod)
	plain := chain &^ sampleCallchain
	r := newRecording(
		rec(Sample, 1, uint64(0x10), int32(1), int32(2), uint64(3), uint64(4), uint64(21), uint32(5), uint32(0), uint64(6), uint64(3), contextKernel, uint64(0xffffffff81000000), contextUser),
		rec(Sample, 2, uint64(0x11), int32(1), int32(2), uint64(4), uint64(5), uint64(22), uint32(6), uint32(0), uint64(7)),
		rec(Lost, 0, uint64(21), uint64(9), pack(int32(1), int32(2), uint64(5), uint64(22), uint32(1), uint32(0))),
		rec(Comm, 0, int32(1), int32(2), "perf made it up", pack(int32(0), int32(0), uint64(0), uint64(0), uint32(0), uint32(0))),
	)
	r.attrs = []testAttr{
		{name: "test:chain", kind: TypeTracepoint, sampleType: chain, flags: flagSampleIDAll, ids: []uint64{20, 21}},
		{name: "dummy:HG", kind: 1, sampleType: plain, flags: flagSampleIDAll, ids: []uint64{22}},
	}
	_, got := mustRead(t, r.file())
	events := got[0].Event
	second := got[1].Event
	if events.Name != "test:chain" || !events.Attr.Callchains() || second.Name != "dummy:HG" || second.Attr.Callchains() {
		t.Fatalf("events %v and %v", events, second)
	}
	want := []Record{
		{Type: Sample, Misc: 1, HasID: true, Event: events, IP: 0x10, PID: 1, TID: 2, Time: 3, Addr: 4, CPU: 5, Period: 6, Callchain: []uint64{contextKernel, 0xffffffff81000000, contextUser}},
		{Type: Sample, Misc: 2, HasID: true, Event: second, IP: 0x11, PID: 1, TID: 2, Time: 4, Addr: 5, CPU: 6, Period: 7},
		{Type: Lost, HasID: true, Event: second, PID: 1, TID: 2, Time: 5, CPU: 1, LostID: 21, Count: 9},
		{Type: Comm, HasID: true, Event: events, PID: 1, TID: 2, Name: "perf made it up"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Record{}, "Offset"), cmpopts.IgnoreUnexported(Event{})); diff != "" {
		t.Error("(-want +got)\n", diff)
	}
}

// Fields between the fixed ones and the raw data are stepped over.
func TestReadFormats(t *testing.T) {
	group := uint64(readGroup | readEnabled | readRunning | readID | readLost)
	cases := map[string]struct {
		format uint64
		read   []byte
	}{
		"one value":  {0, pack(uint64(1))},
		"all of one": {readEnabled | readRunning | readID | readLost, make([]byte, 5*8)},
		"group":      {group, pack(uint64(2), make([]byte, 2*8+2*3*8))},
		"no group":   {readGroup, pack(uint64(0))},
	}
	for name, c := range cases {
		r := newRecording(rec(Sample, 2, uint64(7), uint64(0x10), c.read, uint32(4), []byte("data")))
		r.attrs[0].sampleType = sampleIdentifier | sampleIP | sampleRead | sampleRaw
		r.attrs[0].readFormat = c.format
		if _, got := mustRead(t, r.file()); string(got[0].Raw) != "data" || got[0].IP != 0x10 || got[0].PID != -1 {
			t.Errorf("%s: %+v", name, got[0])
		}
	}
	r := newRecording(rec(Sample, 2, uint64(7), uint64(0x10), uint64(1<<62), uint32(4), []byte("data")))
	r.attrs[0].sampleType, r.attrs[0].readFormat = sampleIdentifier|sampleIP|sampleRead|sampleRaw, readGroup
	f, err := open(r.file())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(f); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a group without end: %v", err)
	}
}

// A single event needs no id.
func TestNoID(t *testing.T) {
	r := newRecording(rec(Sample, 2, uint64(0x10), uint64(99)))
	r.attrs[0].sampleType, r.attrs[0].flags, r.attrs[0].ids = sampleIP|sampleTime, 0, nil
	r.attrs[0].name, r.attrs[0].kind = "cycles", 0
	_, got := mustRead(t, r.file())
	if len(got) != 1 || got[0].Time != 99 || got[0].Event.Name != "cycles" {
		t.Errorf("%+v", got)
	}
}

// What perf wrote about a recording and its events.
func TestRealFile(t *testing.T) {
	r := openFile(t, "testdata/true.perf.data")
	if _, err := readAll(r); err != nil {
		t.Fatal(err)
	}
	i := r.Info()
	if i.OSRelease == "" || i.Arch != "x86_64" || i.CPUs != 2 || i.Cmdline[0] != "/usr/bin/perf" || !i.HasClockID || i.ClockID != 1 || i.Incomplete != nil {
		t.Errorf("%+v", i)
	}
	enter := r.Events()[0]
	if enter.Name != "syscalls:sys_enter_mmap" || !enter.Attr.Callchains() || enter.Format.ID != enter.Attr.Config {
		t.Fatalf("%+v", enter)
	}
	if f := enter.Format.Field("addr"); f == nil || f.Size != 8 || f.Offset != 16 {
		t.Errorf("addr is %+v", f)
	}
}

// A pipe names events by records of their own, too; later ones count.
func TestPipeNames(t *testing.T) {
	r := newRecording(rec(eventUpdate, 0, uint64(eventUpdateName), uint64(7), "renamed"), hit(1, 0))
	p, err := NewPipe(bytes.NewReader(r.pipe()), "test.data")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(p); err != nil || got[0].Event.Name != "renamed" {
		t.Errorf("%v %v", got, err)
	}
}

// A stack is split at its markers.
func TestChain(t *testing.T) {
	const k, u = 0xffffffff81000001, 0x401001
	cases := []struct {
		chain, want []uint64
		user        int
	}{
		{nil, nil, 0},
		{[]uint64{contextKernel, k, k + 1, contextUser, u}, []uint64{k, k + 1, u}, 2},
		{[]uint64{contextKernel, k}, []uint64{k}, 1},
		{[]uint64{contextUser, u, u + 1}, []uint64{u, u + 1}, 0},
		{[]uint64{contextMax, k, contextUser, u}, []uint64{k, u}, 1}, // the last of the markers is no address
		{[]uint64{contextKernel, k, contextUser}, []uint64{k}, 1},
	}
	for _, c := range cases {
		rec := Record{Callchain: c.chain}
		got, user := rec.Chain(nil)
		if !slices.Equal(got, c.want) || user != c.user {
			t.Errorf("%x: %x, user part at %d; want %x at %d", c.chain, got, user, c.want, c.user)
		}
	}
}

// Guests are told by the mode in misc.
func TestGuest(t *testing.T) {
	for misc, want := range []bool{false, false, false, false, true, true, false, false} {
		if got := (&Record{Misc: uint16(misc) | miscMmapData}).Guest(); got != want {
			t.Errorf("misc %d: %v", misc, got)
		}
	}
}
