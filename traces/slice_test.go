package traces

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// secret marks what somebody chose; nothing that holds it may be left.
const secret = "acmesecret"

// confidential are rows with a secret in each name that they have, in the forms that
// perf and the kernel print.
func confidential() ([]Event, Meta) {
	events := synthetic(400)
	frames := []string{
		"%s+0x10 (/opt/%s/bin/server)", "%s+0x10 (server-%s)", "ns::%s<int>(char const*)+0x4 (/lib/lib%s.so.1)", "0x7f001234 (/opt/%s)",
		"0x10 ([%s_drv])", "%s ([anon:%[1]s])", "bpf_prog_6deef7357e7b4530_%s ([kernel.kallsyms])", "%s+0x2 (/tmp/perf-41.map)",
		"%s+0x2 (memfd:%s (deleted))", "%s", "operator+0x%s+0x8 (app)", "[unknown] (/%s)", "main+0x%s",
	}
	paths := []string{"/opt/%s/server", "%s", "memfd:%s (deleted)", "[anon:%s]", "anon_inode:%s", "/usr/lib/lib%s.so.6", "socket:%s"}
	for i := range events {
		e := &events[i]
		e.Has |= ColPath | ColBuildID | ColStack | ColComm | ColProbe
		fill := func(format string, n int) string {
			name := fmt.Sprintf("%s%d", secret, n)
			return strings.ReplaceAll(strings.ReplaceAll(format, "%[1]s", name), "%s", name)
		}
		e.Comm, e.Path, e.BuildID = fill("%s", i%7), fill(paths[i%len(paths)], i%11), "acce55"
		if e.Kind == Hit {
			e.Probe = fill("probe_%s:%s", i%5)
		} else {
			e.Has &^= ColProbe
		}
		e.Stack = []string{fill(frames[i%len(frames)], i), fill(frames[(i/3)%len(frames)], i), "do_syscall_64+0x5 ([kernel.kallsyms])"}
	}
	meta := Meta{
		Schema: Schema, Clock: "mono", Kernel: "6.18.44-" + secret, Arch: "x86_64", CPUs: 2, Lost: 5,
		Sources:  []Source{{Path: "/home/" + secret, Format: "perf-data", SHA256: secret}},
		Warnings: []string{"12 lines of probe_" + secret + ":x make no rows"},
		Recorded: []string{"hit"},
		Unknown:  []Unknown{{UnknownHits, "probe_" + secret + " was sampled", "perf record -e " + secret}},
	}
	return events, meta
}

// TestAnonymousTraceNamesNothing searches the bytes of what is left: the text twin, and
// the file with its dictionaries and statistics.
func TestAnonymousTraceNamesNothing(t *testing.T) {
	events, meta := confidential()
	cut := &Cut{From: -1, To: -1, Anonymise: true}
	var kept []Event
	for _, ev := range events {
		if !cut.Keep(&ev) {
			t.Fatal("a row is missing")
		}
		if ev.Has&ColBuildID != 0 {
			t.Fatal("a row has a build id, if none")
		}
		kept = append(kept, ev)
	}
	left := cut.Meta(meta)
	twin := text(t, kept, left)
	if i := strings.Index(twin, secret); i >= 0 {
		t.Errorf("left: %q", twin[max(0, i-80):min(len(twin), i+40)])
	}
	if strings.Contains(twin, "acce55") {
		t.Error("build ids are left")
	}
	path := filepath.Join(t.TempDir(), "t.parquet")
	store(t, path, kept, left)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(secret)) {
		t.Error("the file's bytes hold a secret")
	}
	// What a reader needs is still there.
	for _, want := range []string{"do_syscall_64+0x5 ([kernel.kallsyms])", "/library.so1", "+0x10 (/file", "# kernel 6.18.44\n", "# lost 5", `"what":"hits"`, "1 warnings were left out"} {
		if !strings.Contains(twin, want) {
			t.Errorf("%q is gone", want)
		}
	}
	if len(meta.Unknown[0].Why) == 0 || !strings.Contains(meta.Unknown[0].Why, secret) {
		t.Error("the original's metadata was changed")
	}
}

// TestAnonymousNamesStayApart holds that different names stay different, and the same
// the same.
func TestAnonymousNamesStayApart(t *testing.T) {
	events, _ := confidential()
	cut := &Cut{From: -1, To: -1, Anonymise: true}
	offset := regexp.MustCompile(`\+0x[0-9a-f]+($| \(.*)`)
	for what, of := range map[string]func(*Event) string{
		"comm": func(e *Event) string { return e.Comm }, "path": func(e *Event) string { return e.Path },
		"probe": func(e *Event) string { return e.Probe }, "leaf": func(e *Event) string { return offset.ReplaceAllString(e.Stack[0], "$1") },
	} {
		to, from := map[string]string{}, map[string]string{}
		for _, ev := range events {
			was := of(&ev)
			cut.Keep(&ev)
			is := of(&ev)
			if to[was] != "" && to[was] != is || from[is] != "" && from[is] != was {
				t.Errorf("%s: %q became %q and %q", what, was, to[was], is)
			}
			to[was], from[is] = is, was
		}
	}
}

// TestCutKeepsWhatIsAsked holds the bounds of a cut, inclusive at both ends, and what
// it keeps from before.
func TestCutKeepsWhatIsAsked(t *testing.T) {
	event := func(kind Kind, at int64, pid int32, probe string) Event {
		e := Event{Kind: kind, Time: at, PID: pid, Has: ColPID}
		if probe != "" {
			e.Probe, e.Has = probe, e.Has|ColProbe
		}
		return e
	}
	events := []Event{
		event(Map, 5, 1, ""),          // before the first event: no time
		event(Hit, 1000, 1, "g:a"),    // time 0 of the trace
		event(Munmap, 1010, 1, ""),    // lasting
		event(LockStart, 1015, 1, ""), // not
		event(Hit, 1020, 1, "g:a"),
		event(Hit, 1030, 2, "g:b"),
		event(Ret, 1030, 2, "g:b"),
		event(Hit, 1031, 1, "g:a"),
	}
	fork := event(Fork, 1025, 9, "")
	fork.Ret, fork.Has = 2, fork.Has|ColRet
	events = append(events[:5], append([]Event{fork}, events[5:]...)...)
	for _, c := range []struct {
		name string
		cut  Cut
		want []int
	}{
		{"all", Cut{From: -1, To: -1}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8}},
		{"from 20 to 30", Cut{From: 20, To: 30}, []int{0, 2, 4, 5, 6, 7}},
		{"to 15", Cut{From: -1, To: 15}, []int{0, 1, 2, 3}},
		{"to 0", Cut{From: -1, To: 0}, []int{0, 1}},
		{"from 31", Cut{From: 31, To: -1}, []int{0, 2, 5, 8}},
		{"process 2, with its fork", Cut{From: -1, To: -1, PIDs: []int32{2}}, []int{5, 6, 7}},
		{"one probe", Cut{From: -1, To: -1, Probes: []string{"g:b"}}, []int{0, 2, 3, 5, 6, 7}},
		{"the other, without returns", Cut{From: -1, To: -1, Probes: []string{"g:a"}}, []int{0, 1, 2, 3, 4, 5, 8}},
	} {
		var got []int
		for i, ev := range events {
			if c.cut.Keep(&ev) {
				got = append(got, i)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: rows %v, want %v", c.name, got, c.want)
		}
	}
	// What is needed of the time before a cut is what lasts.
	lasting := []Kind{Map, Fork, Exec, Exit, Mmap, Munmap, Mremap, Mprotect, Brk}
	for _, kind := range Kinds() {
		cut, first, early := Cut{From: 20, To: -1}, event(Hit, 1000, 1, "g:a"), event(kind, 1010, 1, "")
		cut.Keep(&first)
		if kept := cut.Keep(&early); kept != slices.Contains(lasting, kind) {
			t.Errorf("%s before the cut is kept: %v", kind, kept)
		}
	}
}

// Where only hits of some probes are kept, lookups of the others that took mmap_lock are
// other readers of it, and none of the hits that are left.
func TestLookupsOfProbesLeftOut(t *testing.T) {
	const trampoline = `stack=["__do_sys_uprobe+0x254 ([kernel.kallsyms])","0x60000d ([uprobes-trampo)"]`
	text := `
		100 hit tid=1 addr=0x1000 probe=p:other
		200 lock_start tid=1 write=false in_uprobe=true // of another's
		210 lock_acquired tid=1 write=false
		220 lock_released tid=1 write=false
		230 hit tid=2 addr=0x2000 probe=p:ours
		240 hit tid=1 addr=0x1000 probe=p:other
		250 hit tid=1 addr=0x2000 probe=p:ours
		300 lock_start tid=1 write=false in_uprobe=true // of ours
		310 hit tid=1 addr=0x2000 probe=p:ours
		400 lock_start tid=1 write=false in_uprobe=true // of both
		410 hit tid=1 addr=0x3000 probe=p:other
		410 hit tid=1 addr=0x3000 probe=p:ours trap=9
		500 lock_start tid=1 write=false in_uprobe=true ` + trampoline + ` // the two of another's
		510 lock_start tid=1 write=false in_uprobe=true
		520 hit tid=1 addr=0x1000 probe=p:other
		600 lock_start tid=1 write=false in_uprobe=false // a fault
		610 hit tid=1 addr=0x1000 probe=p:other
		700 lock_start tid=1 write=false in_uprobe=true // whose return is left out
		710 ret tid=1 addr=0x4000 probe=p:function__return
		800 lock_start tid=1 write=false in_uprobe=true // of nobody knows whom
		810 munmap tid=1 addr=0x1000 len=4096
		900 lock_start tid=1 write=false in_uprobe=true // of another's, at the end
		910 hit tid=1 addr=0x1000 probe=p:other`
	var events []Event
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		line, _, _ = strings.Cut(line, " //")
		var ev Event
		if err := ParseText(strings.TrimSpace(line), &ev); err != nil {
			t.Fatal(err)
		}
		ev.Seq = int64(len(events))
		events = append(events, ev)
	}
	cut := &Cut{From: -1, To: -1, Probes: []string{"p:ours", "p:nosuch"}}
	for i := range events {
		cut.Look(&events[i])
	}
	cut.Looked()
	var lookups []int64
	for _, ev := range events {
		if cut.Keep(&ev) && ev.Lookup() != NoLookup {
			lookups = append(lookups, ev.Time)
		}
	}
	if got, want := fmt.Sprint(lookups), "[300 400 800]"; got != want {
		t.Errorf("lookups at %s, want %s", got, want)
	}
	if got := fmt.Sprint(cut.Unmet()); got != "[p:nosuch]" {
		t.Errorf("not there: %s", got)
	}
	if w := fmt.Sprint(cut.Meta(Meta{}).Warnings); !strings.Contains(w, " 5 lookups of other probes") {
		t.Error(w)
	}
}
