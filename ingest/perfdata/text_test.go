package perfdata

import (
	"bytes"
	"strings"
	"testing"
)

// Whatever else was written into a pipe between records is left out, wherever it
// stands and whatever type of record follows.
func TestTextBetweenRecords(t *testing.T) {
	for _, text := range []string{"x\n", "[ perf record: Woken up 1 times ]\n", "no newline", strings.Repeat("long line\n", 20000), "\x1b[1mbold\x1b[0m\tåäö\r\n"} {
		for at := range len(everyRecord) + 1 {
			if at < len(everyRecord) && string(everyRecord[at]) == "hardware" {
				continue // it belongs to the record before
			}
			records := append(bytes.Join(everyRecord[:at], nil), text...)
			records = append(records, bytes.Join(everyRecord[at:], nil)...)
			r, err := NewPipe(bytes.NewReader(newRecording(records).pipe()), "test.data")
			if err != nil {
				t.Fatal(err)
			}
			got, err := readAll(r)
			if err != nil {
				t.Fatalf("%.20q before record %d: %v", text, at, err)
			}
			plain, err := NewPipe(bytes.NewReader(newRecording(everyRecord...).pipe()), "test.data")
			if err != nil {
				t.Fatal(err)
			}
			want, err := readAll(plain)
			if err != nil || len(got) != len(want) || r.Info().Text != int64(len(text)) || !strings.HasPrefix(text, r.Info().TextBegin) {
				t.Fatalf("%.20q before record %d: %d records, want %d; %d bytes of text, %q; %v", text, at, len(got), len(want), r.Info().Text, r.Info().TextBegin, err)
			}
		}
	}
}

// perf warns before it records, too.
func TestTextBeforePipe(t *testing.T) {
	for _, text := range []string{"x", "WARNING: Kernel address maps (/proc/{kallsyms,modules}) are restricted,\n\n"} {
		data := append([]byte(text), newRecording(everyRecord...).pipe()...)
		if n := PipeAfterText(data); n != len(text) {
			t.Errorf("%d bytes before the header, want %d", n, len(text))
		}
		r, err := NewPipe(bytes.NewReader(data), "test.data")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(r); err != nil || len(got) != 11 || r.Info().TextBegin != text[:min(len(text), textShown)] {
			t.Errorf("%d records, text %q, %v", len(got), r.Info().TextBegin, err)
		}
	}
	if _, err := NewPipe(strings.NewReader("\x01x"+string(newRecording().pipe())), "test.data"); err == nil {
		t.Error("what is no text before the header is read")
	}
}

// What is no text is an error, in a file as in a pipe.
func TestNoText(t *testing.T) {
	for _, bytesOf := range []string{"\x09\x41\x00\x01\x02\x03\x04\x05", "abc\x01abcdefgh", "ab\x00c\x00\x00\x00\x00"} {
		r, err := NewPipe(bytes.NewReader(append(newRecording(everyRecord...).pipe(), bytesOf...)), "test.data")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(r); err == nil || r.Info().Text != 0 {
			t.Errorf("%q: %v, %d bytes of text", bytesOf, err, r.Info().Text)
		}
	}
}

// The parts of a recording are read by its header.
func TestPart(t *testing.T) {
	whole := newRecording(hit(5, 0))
	whole.features[featDirFormat] = pack(uint64(1))
	r, err := open(whole.file())
	if err != nil || !r.Info().Parts {
		t.Fatal(err)
	}
	if all, err := readAll(r); err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	data := bytes.Join([][]byte{hit(10, 1), hit(20, 1)}, nil)
	got, err := readAll(r.Part(bytes.NewReader(data), int64(len(data)), "test.data.0"))
	if err != nil || len(got) != 2 || got[1].Time != 20 || got[1].Event.Name != "test:hit" {
		t.Errorf("%+v, %v", got, err)
	}
	cut := data[:len(data)-1]
	got, err = readAll(r.Part(bytes.NewReader(cut), int64(len(cut)), "test.data.0"))
	if len(got) != 1 || err == nil || !strings.HasPrefix(err.Error(), "test.data.0:@") {
		t.Errorf("cut: %+v, %v", got, err)
	}
}

// Each hit makes a sample where the kernel does not count them up first
// (perf_swevent_event).
func TestRecordsEach(t *testing.T) {
	for _, test := range []struct {
		a    Attr
		want bool
	}{
		{Attr{Period: 1}, true},
		{Attr{Period: 100, SampleType: samplePeriod}, true},
		{Attr{Period: 100}, false},
		{Attr{Period: 99, Flags: flagFreq, SampleType: samplePeriod}, false},
		{Attr{Period: 1, Flags: flagFreq}, false},
		{Attr{}, false}, // counts, and samples nothing
	} {
		if got := test.a.RecordsEach(); got != test.want {
			t.Errorf("%+v: %v", test.a, got)
		}
	}
}

// The user's IP is taken from among the registers of each machine.
func TestUserIP(t *testing.T) {
	const all = sampleIP | sampleRaw | sampleRegsUser | sampleStackUser
	for _, test := range []struct {
		name, arch string
		kind, mask uint64
		branches   uint64
		tail       []byte
		want       uint64
	}{
		{"x86", "x86_64", all, 0xff0fff, 0, pack(uint64(2), make([]byte, 8*8), uint64(0x401136), make([]byte, 8*11)), 0x401136},
		{"x86 of a pipe", "", all, 0x180, 0, pack(uint64(2), uint64(1), uint64(0x401136)), 0x401136},
		{"arm64", "aarch64", all, 1<<33 - 1, 0, pack(uint64(2), make([]byte, 8*32), uint64(0x401136)), 0x401136},
		{"arm64 of a pipe", "", all, 1<<33 - 1, 0, pack(uint64(2), make([]byte, 8*33)), 0},
		{"kernel thread", "x86_64", all, 0x180, 0, pack(uint64(0)), 0},
		{"not sampled", "x86_64", all, 0x80, 0, pack(uint64(2), uint64(1)), 0},
		{"behind branches", "x86_64", all | sampleBranches, 0x180, branchIndex, pack(uint64(2), uint64(7), make([]byte, 48), uint64(2), uint64(1), uint64(0x401136)), 0x401136},
		{"behind counters", "x86_64", all | sampleBranches, 0x180, branchCounters, pack(uint64(1), make([]byte, 24+8), uint64(2), uint64(1), uint64(0x401136)), 0x401136},
	} {
		ev := &Event{Attr: Attr{SampleType: test.kind, RegsUser: test.mask, Branches: test.branches}, layout: layoutOf(test.kind)}
		ev.userIP = userIPAt(test.arch, &ev.Attr)
		r := &Reader{events: []*Event{ev}, plan: &plan{id: -1}}
		rec := Record{Type: Sample}
		if err := r.decodeSample(&rec, append(pack(uint64(1), uint32(4), uint32(0)), test.tail...), false); err != nil || rec.UserIP != test.want {
			t.Errorf("%s: %#x, %v", test.name, rec.UserIP, err)
		}
	}
}
