package main

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// dumped is what somebody finds in the dump of a trace who looks for the longest wait:
// whose it was, who held the same lock longest meanwhile, and in which syscall the waiter
// was.
type dumped struct {
	tid    int
	ns     int64
	holder int // 0 for nobody
	heldNs int64
	call   string // the row of the syscall; "" for none
}

var (
	dumpedRow  = regexp.MustCompile(`^(\d+) (\w+) .*\btid=(\d+)\b`)
	dumpedLock = regexp.MustCompile(`\bmm=(\S+) write=(\w+)`)
	dumpedDur  = regexp.MustCompile(`\bdur_ns=(\d+)`)
)

// lookThrough reads a dump row by row.
func lookThrough(dump string) dumped {
	type span struct {
		tid      int
		mm       string
		write    bool
		from, to int64
	}
	asked, held := map[int]span{}, map[int]span{}
	var waits, holds []span
	calls := map[int][]string{}
	for line := range strings.Lines(dump) {
		row := dumpedRow.FindStringSubmatch(line)
		if row == nil {
			continue
		}
		at, _ := strconv.ParseInt(row[1], 10, 64)
		tid, _ := strconv.Atoi(row[3])
		if dumpedDur.MatchString(line) {
			calls[tid] = append(calls[tid], line)
		}
		lock := dumpedLock.FindStringSubmatch(line)
		if lock == nil {
			continue
		}
		switch row[2] {
		case "lock_start":
			asked[tid] = span{tid, lock[1], lock[2] == "true", at, 0}
		case "lock_acquired":
			if w, ok := asked[tid]; ok && w.mm == lock[1] {
				w.to = at
				waits = append(waits, w)
				delete(asked, tid)
				held[tid] = span{tid, lock[1], lock[2] == "true", at, 0}
			}
		case "lock_released":
			if h, ok := held[tid]; ok {
				h.to = at
				holds = append(holds, h)
				delete(held, tid)
			}
		}
	}
	var worst span
	for _, w := range waits {
		if w.to-w.from > worst.to-worst.from {
			worst = w
		}
	}
	d := dumped{tid: worst.tid, ns: worst.to - worst.from}
	for _, h := range holds {
		if ns := min(h.to, worst.to) - max(h.from, worst.from); h.mm == worst.mm && h.tid != worst.tid && (h.write || worst.write) && ns > d.heldNs {
			d.holder, d.heldNs = h.tid, ns
		}
	}
	for _, line := range calls[worst.tid] {
		at, _ := strconv.ParseInt(dumpedRow.FindStringSubmatch(line)[1], 10, 64)
		dur, _ := strconv.ParseInt(dumpedDur.FindStringSubmatch(line)[1], 10, 64)
		if at <= worst.from && worst.from <= at+dur {
			d.call = line
		}
	}
	return d
}

// explained is the document of explain, as far as tests look.
type explained struct {
	Recorded []struct {
		TID       int   `json:"tid"`
		WaitNs    int64 `json:"wait_ns"`
		AtNs      int64 `json:"at_ns"`
		Operation *struct {
			Name, Addr string
			Mapping    *struct{ Path string }
		}
		Behind []struct {
			TID   int   `json:"tid"`
			ForNs int64 `json:"for_ns"`
			Kind  string
			Stack []string
		}
		Ahead []struct {
			TID       int `json:"tid"`
			SeenOnCPU []struct {
				Comm string
			} `json:"seen_on_cpu"`
		}
	}
	Simulated *struct {
		Waits []struct {
			WaitNs float64 `json:"wait_ns"`
			Blame  *struct {
				TID        int `json:"tid"`
				Kind       string
				AcquiredNs *float64 `json:"acquired_ns"`
				Operation  *struct{ Name string }
			}
		}
	}
}

func explain(t *testing.T, args ...string) explained {
	t.Helper()
	var doc explained
	if err := json.Unmarshal([]byte(succeed(t, append([]string{"explain", "--json"}, args...)...)), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// The worst wait of each recording in the corpus is explained by what one finds in its
// dump.
func TestExplainCorpus(t *testing.T) {
	if testing.Short() {
		t.Skip("it dumps whole recordings")
	}
	for _, name := range []string{"churn-1x1", "javac", "stress-malloc-z", "nop5"} {
		path := "../../traces/corpus/" + name + ".parquet"
		want := lookThrough(succeed(t, "dump", path))
		if want.ns < 10_000 {
			t.Fatalf("%s: vacuous: the longest wait in its dump is %d ns", name, want.ns)
		}
		doc := explain(t, "--worst", "1", path)
		w := &doc.Recorded[0]
		if w.TID != want.tid || w.WaitNs != want.ns {
			t.Errorf("%s: tid %d waited %d ns; the dump has %+v", name, w.TID, w.WaitNs, want)
		}
		holder, heldNs := 0, int64(0)
		for _, b := range w.Behind {
			if b.ForNs > heldNs {
				holder, heldNs = b.TID, b.ForNs
			}
		}
		if holder != want.holder || heldNs != want.heldNs {
			t.Errorf("%s: behind tid %d for %d ns; the dump has %+v", name, holder, heldNs, want)
		}
		switch {
		case want.call == "":
			if w.Operation != nil {
				t.Errorf("%s: in %+v; the dump has no syscall there", name, w.Operation)
			}
		case w.Operation == nil:
			t.Errorf("%s: no operation; the dump has %s", name, want.call)
		case !strings.Contains(want.call, " "+w.Operation.Name+" ") || w.Operation.Addr != "" && !strings.Contains(want.call, "addr="+w.Operation.Addr):
			t.Errorf("%s: in %+v; the dump has %s", name, *w.Operation, want.call)
		}
		if s := doc.Simulated; s == nil || len(s.Waits) != 1 || s.Waits[0].Blame == nil || s.Waits[0].Blame.AcquiredNs == nil || s.Waits[0].Blame.Operation == nil {
			t.Errorf("%s: the simulated wait is not explained: %+v", name, s)
		}
	}
	// javac's longest wait is behind a reader that was granted the lock and did not run:
	// a compiler thread had its CPU.
	w := explain(t, "--worst", "1", "../../traces/corpus/javac.parquet").Recorded[0]
	if len(w.Ahead) != 1 || w.Ahead[0].TID != w.Behind[0].TID || len(w.Ahead[0].SeenOnCPU) == 0 || w.Ahead[0].SeenOnCPU[0].Comm != "C2 CompilerThre" {
		t.Errorf("ahead of javac's longest wait: %+v", w.Ahead)
	}
}

func TestExplain(t *testing.T) {
	inFolder(t)
	all := explain(t, "--worst", "1000", "app.parquet")
	if len(all.Recorded) != 10 {
		t.Fatalf("%d of 10 waits", len(all.Recorded))
	}
	for i, w := range all.Recorded {
		if i > 0 && w.WaitNs > all.Recorded[i-1].WaitNs {
			t.Errorf("wait %d is longer than the one before", i)
		}
		if w.Operation == nil || w.Operation.Name != "mmap" {
			t.Errorf("wait %d is in %+v", i, w.Operation)
		}
	}
	for _, test := range []struct {
		args, want string
	}{
		{"explain app.parquet", "1. 1.00 µs, from 0.000101 s on: worker (tid 101 of 100, CPU 1) wanted it to write, for mmap(0x7f0000050000, 16384, PROT_READ|PROT_WRITE,"},
		{"explain --at 301500ns app.parquet", "1. 1.00 µs, from 0.000301 s on: worker"},
		{"explain --at 1s app.parquet", "Nobody waited at 1.00 s. The nearest wait:"},
		{"explain --at 0s app.parquet", "Nobody waited at 0 ns. The nearest wait:"},
	} {
		if got := strings.Join(strings.Fields(succeed(t, strings.Fields(test.args)...)), " "); !strings.Contains(got, test.want) {
			t.Errorf("%s: no %q in\n%s", test.args, test.want, got)
		}
	}
	for args, want := range map[string]string{
		"explain":                                     "no trace given",
		"explain --worst 0 app.parquet":               "--worst 0: want 1 to 1000",
		"explain --worst 1001 app.parquet":            "want 1 to 1000",
		"explain --at soon app.parquet":               `--at "soon": want a time`,
		"explain --at -1s app.parquet":                "want a time",
		"explain --at 1s --worst 2 app.parquet":       "are two questions",
		"explain --resolver a app.parquet":            "--resolver",
		"explain --resolver ideal,locked app.parquet": "want one",
	} {
		if r := call(t, strings.Fields(args)...); r.code != exitUsage || !strings.Contains(r.stderr, want) || r.stdout != "" {
			t.Errorf("%s: exit %d, want %q: %s", args, r.code, want, r.stderr)
		}
	}
}

// A trace without lock events has no recorded waits, which is said, and one without hits
// no simulated ones.
func TestExplainUnknown(t *testing.T) {
	inFolder(t)
	events := smallTrace()
	without := func(name string, drop func(kind string) bool) {
		kept := events[:0:0]
		for _, ev := range events {
			if !drop(ev.Kind.String()) {
				kept = append(kept, ev)
			}
		}
		writeTrace(t, name, kept, smallMeta)
	}
	without("nolocks.parquet", func(kind string) bool { return strings.HasPrefix(kind, "lock_") })
	without("nohits.parquet", func(kind string) bool { return kind == "hit" })
	without("nothing.parquet", func(kind string) bool { return kind != "mmap" })
	if got := succeed(t, "explain", "nolocks.parquet"); !strings.Contains(got, "Unknown: the trace has no lock events") {
		t.Errorf("%s", got)
	}
	if got := strings.Join(strings.Fields(succeed(t, "explain", "nohits.parquet")), " "); !strings.Contains(got, "there is no hit to resolve") || !strings.Contains(got, "wanted it to write") {
		t.Errorf("%s", got)
	}
	if r := call(t, "explain", "nothing.parquet"); r.code != exitInput || !strings.Contains(r.stderr, "no uprobe hit") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}
