package timeline

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/traces"
)

// surveys are those of the corpus, and of a trace with what that has not.
func surveys(t testing.TB) map[string]*Surveyor {
	t.Helper()
	all := map[string]*Surveyor{}
	for _, name := range []string{"churn-1x1", "javac", "nop5", "stress-malloc-z"} {
		all[name] = NewSurveyor()
		for _, ev := range replaytest.Corpus(t, name).Rows(t) {
			all[name].Add(&ev)
		}
	}
	all["rest"] = rest()
	return all
}

// rest is of a trace with what the corpus has not.
func rest() *Surveyor {
	rest := NewSurveyor()
	for _, ev := range []traces.Event{
		{Kind: traces.Map, Time: 1, PID: 7, Path: "[uprobes-trampoline]", Has: traces.ColPID | traces.ColPath},
		{Kind: traces.Ret, Time: 5, PID: 7, TID: 7, Addr: 1 << 63, Probe: "g:r", Has: traces.ColPID | traces.ColTID | traces.ColAddr | traces.ColProbe},
		{Kind: traces.Lost, Time: 9, Dur: 3, Ret: 11, CPU: 900, Has: traces.ColDur | traces.ColRet | traces.ColCPU},
		{Kind: traces.Lost, Time: 1 << 62, Ret: 1, Has: traces.ColRet},
		{Kind: traces.Mmap, Time: 1<<62 + 1, Dur: 9, PID: -1, TID: -5, Has: traces.ColDur | traces.ColPID | traces.ColTID},
	} {
		rest.Add(&ev)
	}
	return rest
}

// asKept compares what a survey knows once it is finished.
var asKept = []cmp.Option{
	cmp.AllowUnexported(Survey{}, ThreadSurvey{}, lightTruth{}, losses{}, span{}, recorderGaps{}, gapTable{}, sites{}, since{}, site{}, program{}, trampolineMap{}, dist.Durations{}),
	// Of a thread, where the pass over the rows was.
	cmpopts.IgnoreFields(ThreadSurvey{}, "arrived", "held", "entered", "lastKind", "lastCPU", "frames", "inUprobe", "syscallEnd", "gaps", "few", "pace", "stamp"),
	cmpopts.IgnoreFields(lightTruth{}, "open"),
	cmpopts.IgnoreFields(sites{}, "threads", "changes"),
}

// TestKeptSurveys keeps surveys and reads them: no field of them is lost, and the text is
// always the same. A field that is new and not kept differs here.
func TestKeptSurveys(t *testing.T) {
	var seen Survey // of what there is something in one
	for name, s := range surveys(t) {
		meta := traces.Meta{CPUs: 2, Recorded: []string{"hit", "mmap"}, Lost: 15}
		survey := s.Finish(meta)
		text := survey.Keep(meta)
		if text == "" || text != survey.Keep(meta) {
			t.Fatalf("%s: kept as %q and %q", name, text, survey.Keep(meta))
		}
		meta.Schema, meta.Warnings = traces.Schema, []string{} // as a file says it
		got, err := ReadKept(text, meta, survey.Events)
		if err != nil || got == nil {
			t.Fatalf("%s: %v, %v", name, got, err)
		}
		if d := cmp.Diff(survey, got, asKept...); d != "" {
			t.Errorf("%s (-made +read):\n%s", name, d)
		}
		if again := got.Keep(meta); again != text {
			t.Errorf("%s: kept again it is another text", name)
		}
		t.Logf("%s: %d bytes", name, len(text))
		seen.returned = seen.returned || survey.returned
		seen.partly += survey.partly
		seen.unseen += survey.unseen
		seen.Unknown = append(seen.Unknown, survey.Unknown...)
		seen.losses.spans = append(seen.losses.spans, survey.losses.spans...)
		seen.Lost += int64(len(survey.sites.known) * len(survey.sites.mapped))
		seen.Hits += survey.rhythm.n * int64(len(survey.rhythms))
	}
	if !seen.returned || seen.partly == "" || seen.unseen == 0 || len(seen.Unknown) == 0 || len(seen.losses.spans) == 0 || seen.Lost == 0 || seen.Hits == 0 {
		t.Errorf("vacuous: %+v", seen)
	}
}

// TestKeptSurveyThatDoesNotFit is of a trace that was changed, or of another version.
func TestKeptSurveyThatDoesNotFit(t *testing.T) {
	s := rest().Finish(traces.Meta{CPUs: 2})
	text := s.Keep(traces.Meta{CPUs: 2})
	for name, got := range map[string]func() (*Survey, error){
		"rows": func() (*Survey, error) { return ReadKept(text, traces.Meta{CPUs: 2}, s.Events-1) },
		"meta": func() (*Survey, error) { return ReadKept(text, traces.Meta{CPUs: 3}, s.Events) },
		"version": func() (*Survey, error) {
			return ReadKept(changed(t, text, func(b []byte) []byte { b[0] = 2 * (keptVersion + 1); return b }), traces.Meta{CPUs: 2}, s.Events)
		},
	} {
		if survey, err := got(); survey != nil || err != nil {
			t.Errorf("%s: %v, %v; want neither", name, survey, err)
		}
	}
	for i := range text {
		for _, bad := range []string{text[:i], text[:i] + "A" + text[i+1:], text[:i] + "\n" + text[i:]} {
			if got, err := ReadKept(bad, traces.Meta{CPUs: 2}, s.Events); err == nil && !cmp.Equal(got, s, asKept...) || err != nil && !errors.Is(err, errKept) {
				t.Fatalf("%q at byte %d: %v, %v", bad, i, got, err)
			}
		}
	}
	if _, err := ReadKept(strings.Repeat("A", keptBytesMax+4), traces.Meta{}, 0); !errors.Is(err, errKept) {
		t.Errorf("too long: %v", err)
	}
}

// What has another form than a survey is damaged though its checksum is right: one that ends
// early, or late, or whose numbers cannot be.
func TestKeptSurveyOfAnotherForm(t *testing.T) {
	meta := traces.Meta{CPUs: 2}
	s := rest().Finish(meta)
	text := s.Keep(meta)
	damaged := func(what, text string) {
		t.Helper()
		if got, err := ReadKept(text, meta, s.Events); got != nil || !errors.Is(err, errKept) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	n := len(text)/4*3 - crc32.Size - strings.Count(text, "=")
	for i := range n {
		damaged(fmt.Sprintf("%d of %d bytes", i, n), changed(t, text, func(b []byte) []byte { return b[:i] }))
	}
	damaged("a byte more", changed(t, text, func(b []byte) []byte { return append(b, 0) }))
	damaged("no checksum", base64.StdEncoding.EncodeToString([]byte{0, 0, 0}))
	for what, change := range map[string]func(*Survey){
		"no CPU":              func(s *Survey) { s.CPUs = 0 },
		"too few losses":      func(s *Survey) { s.losses.events = -1 },
		"too few hits":        func(s *Survey) { s.Threads[7].Hits = -1 },
		"too many rhythms":    func(s *Survey) { s.rhythms = rhythms(keptRhythmsMax + 1) },
		"as many as may be":   func(s *Survey) { s.rhythms = rhythms(keptRhythmsMax) },
		"as few as there are": func(s *Survey) { s.CPUs, s.Lost, s.Threads[7].Hits = 1, 0, 0 },
	} {
		s := rest().Finish(meta)
		change(s)
		a := &archive{}
		version, sum := int64(keptVersion), metaSum(meta)
		a.numbers(&version, &sum)
		a.survey(s)
		text := base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint32(a.bytes, crc32.ChecksumIEEE(a.bytes)))
		if strings.HasPrefix(what, "as ") {
			if got, err := ReadKept(text, meta, s.Events); err != nil || len(got.rhythms) != len(s.rhythms) {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		damaged(what, text)
	}
}

func rhythms(n int) map[int32]*gapTable {
	one, all := &gapTable{}, map[int32]*gapTable{}
	for tid := range int32(n) {
		all[tid] = one
	}
	return all
}

// Gaps are in bins that there are, each once, in their order, and there is something in each.
func TestKeptGaps(t *testing.T) {
	const last = int64(len(gapTable{}.counts)) - 1
	for _, c := range []struct {
		bins [][2]int64
		ok   bool
	}{
		{nil, true}, {[][2]int64{{0, 1}}, true}, {[][2]int64{{0, 1}, {1, 7}}, true}, {[][2]int64{{last, 1}}, true},
		{[][2]int64{{last + 1, 1}}, false}, {[][2]int64{{-1, 1}}, false}, {[][2]int64{{5, 0}}, false}, {[][2]int64{{5, -1}}, false},
		{[][2]int64{{5, 1}, {5, 1}}, false}, {[][2]int64{{6, 1}, {5, 1}}, false},
	} {
		w := &archive{}
		list(w, &c.bins, func(b *[2]int64) { w.numbers(&b[0], &b[1]) })
		r := &archive{reads: true, bytes: w.bytes}
		var g gapTable
		r.gapTable(&g)
		if (r.err == nil) != c.ok {
			t.Errorf("gaps %v: %v", c.bins, r.err)
		}
		for _, b := range c.bins {
			if c.ok && g.counts[b[0]] != float64(b[1]) {
				t.Errorf("gaps %v: %v in bin %d", c.bins, g.counts[b[0]], b[0])
			}
		}
	}
}

// TestSurveysThatAreNotKept has as many losses, and threads, as make a survey too large,
// and one less.
func TestSurveysThatAreNotKept(t *testing.T) {
	s := NewSurveyor().Finish(traces.Meta{})
	losses := make([]Loss, keptBytesMax)
	least := sort.Search(len(losses), func(n int) bool {
		s.losses.list = losses[:n]
		text := s.Keep(traces.Meta{})
		if len(text) > keptBytesMax {
			t.Fatalf("%d bytes are kept", len(text))
		}
		return text == ""
	})
	s.losses.list = losses[:least-1]
	if n := len(s.Keep(traces.Meta{})); n < keptBytesMax-20 {
		t.Errorf("with one of %d losses less it has %d bytes", least, n)
	}
	s.losses.list = nil
	for tid := range int32(keptRhythmsMax + 1) {
		if n := len(s.rhythms); (n == 0 || n == keptRhythmsMax) && s.Keep(traces.Meta{}) == "" {
			t.Errorf("the rhythms of %d threads are not kept", n)
		}
		s.rhythms[tid] = &gapTable{}
	}
	if s.Keep(traces.Meta{}) != "" {
		t.Errorf("the rhythms of %d threads are kept", len(s.rhythms))
	}
}

// changed is a text with other bytes, and their checksum.
func changed(t testing.TB, text string, change func([]byte) []byte) string {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	data = change(data[:len(data)-crc32.Size])
	return base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint32(data, crc32.ChecksumIEEE(data)))
}

// FuzzKept reads what may be in a survey with a checksum that is right, and uses it.
func FuzzKept(f *testing.F) {
	meta := traces.Meta{CPUs: 2}
	all := surveys(f)
	for _, name := range []string{"rest", "nop5"} {
		text := all[name].Finish(meta).Keep(meta)
		data, _ := base64.StdEncoding.DecodeString(text)
		f.Add(data[:len(data)-crc32.Size])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = slices.Clone(data)
		text := base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint32(data, crc32.ChecksumIEEE(data)))
		a := &archive{reads: true, bytes: data}
		var events int64
		a.numbers(&events, &events, &events) // version, meta, CPUs
		number(a, &events)
		s, err := ReadKept(text, meta, events)
		if err != nil && !errors.Is(err, errKept) {
			t.Fatal(err)
		}
		if s == nil {
			return
		}
		if again := s.Keep(meta); again != "" {
			if got, err := ReadKept(again, meta, events); err != nil || !cmp.Equal(s, got, asKept...) {
				t.Fatalf("%v:\n%s", err, cmp.Diff(s, got, asKept...))
			}
		}
	})
}
