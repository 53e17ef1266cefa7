package ingest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/replay/replay/traces"
)

// shot is a hit in text.
type shot struct {
	gap          int64 // ns, from the hit before
	probe, stack string
	cpu, tid     int
	addr         int
}

// hitsOf is the text of hits that are so far apart, in ns, each as change makes it.
func hitsOf(gaps []int64, change func(i int, s *shot)) string {
	var b strings.Builder
	at := int64(50_000_000_000)
	for i, gap := range gaps {
		s := shot{gap: gap, probe: "g:f", tid: 11, addr: 0x401000}
		if change != nil {
			change(i, &s)
		}
		at += s.gap
		fmt.Fprintf(&b, "app  7/%d  [%03d]  %d.%09d: probe_%s: (%x)\n", s.tid, s.cpu, at/1e9, at%1e9, s.probe, s.addr)
		if s.stack != "" {
			fmt.Fprintf(&b, "\t%16x %s+0x0 (/srv/x)\n\n", s.addr, s.stack)
		}
	}
	return b.String()
}

// Where an event has one name and no number, times tell whether it was opened twice. The
// gaps are of real recordings, in ns.
func TestAgain(t *testing.T) {
	const pause, emulated = 9500, 1011 // to the next trap, to that of an instruction that is emulated
	twice := []int64{pause, 631, pause, 671, pause, 761, pause, 661}
	stacked := func(_ int, s *shot) { s.stack = "f" }
	for _, test := range []struct {
		name   string
		gaps   []int64
		change func(i int, s *shot)
		traps  int
		warns  string
	}{
		{"recorded twice", twice, nil, 4, "in pairs"},
		{"recorded once", []int64{0, 9655, 9714, 9745, 9815, 9955, 10185}, nil, 7, ""},
		{"two quick traps", []int64{0, emulated, 5700, emulated, 5700, emulated, 5700, emulated}, nil, 8, ""},
		{"recorded twice, two quick traps", []int64{0, 520, 1061, 530, pause, 531, 1072, 520}, nil, 4, "in pairs"},
		{"three pairs", twice[:6], nil, 6, ""},
		{"one hit alone, in front", append([]int64{0}, twice...), nil, 9, "but not all"},
		{"one hit alone, at the end", append(slices.Clone(twice), pause), nil, 9, "but not all"},
		{"one hit alone, of another thread", append(slices.Clone(twice), pause), func(i int, s *shot) { s.tid += i / 8 }, 9, "but not all"},
		{"threads by turns", []int64{0, 300, 331, 300, pause, 300, 331, 300}, func(i int, s *shot) { s.tid += i % 2 }, 4, "in pairs"},
		{"once, and now and then a pair", []int64{0, 600, pause, pause, pause, 600, pause, pause, 600}, nil, 9, ""},
		{"a quick loop of a fast machine", []int64{0, pause, 600, 610, 590, 600, 605, pause, 600, 600}, nil, 10, ""},
		{"three times", []int64{0, 600, 600, pause, 600, 600, pause, 600, 600, pause, 600, 600}, nil, 12, "but not all"},
		{"with callchains, once", []int64{0, 1682, 6350, 1682, 6350, 1682, 6350, 1682}, stacked, 8, ""},
		{"with callchains, twice", []int64{0, 1382, 10025, 1462, 9000, 1300, 9000, 1400}, stacked, 4, "in pairs"},
		{"callchains differ", twice, func(i int, s *shot) { s.stack = strings.Repeat("g", i+1) }, 8, ""},
		{"another CPU", twice, func(i int, s *shot) { s.cpu = i }, 8, ""},
		{"another address", twice, func(i int, s *shot) { s.addr += i }, 8, ""},
		{"another event", twice, func(i int, s *shot) { s.probe = []string{"g:f", "g:h"}[i%2] }, 4, ""},
		{"twice, and another event", []int64{0, 670, 420, pause, 670, 420, pause, 670, 420, pause, 670, 420}, func(i int, s *shot) { s.probe = []string{"g:f", "g:f", "g:h"}[i%3] }, 4, "in pairs"},
		{"twice, one lost behind what decides", slices.Concat(slices.Repeat(twice, 200), twice[1:]), nil, 804, "in pairs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "text")
			if err := os.WriteFile(path, []byte(hitsOf(test.gaps, test.change)), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(context.Background(), []string{path}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			hits, traps, err := countTraps(s)
			if err != nil || hits != len(test.gaps) || traps != test.traps {
				t.Errorf("%d hits of %d traps, %v; want %d of %d", hits, traps, err, len(test.gaps), test.traps)
			}
			warned := strings.Join(s.Meta().Warnings, "\n")
			if test.warns == "" && warned != "" || !strings.Contains(warned, test.warns) {
				t.Errorf("warnings %q, want %q", warned, test.warns)
			}
		})
	}
}

// Of a pair, a merge makes one trap as well; bpftrace's probes print once each.
func TestAgainElsewhere(t *testing.T) {
	twice := slices.Repeat([]int64{9500, 631}, 4)
	var printed strings.Builder
	printed.WriteString("replay1 clock boottime=50000000000 monotonic=50000000000\n")
	at := int64(50_000_000_000)
	for _, gap := range twice {
		at += gap
		fmt.Fprintf(&printed, "replay1 hit %d 0 4101 4101 addr=0x401136 probe=app:f path=/srv/app comm=app\n", at)
	}
	for name, test := range map[string]struct {
		inputs []string
		traps  int
	}{
		"merged":   {[]string{hitsOf(twice, nil), enterText + leaveText}, 4},
		"bpftrace": {[]string{printed.String()}, 8},
	} {
		s, err := Open(context.Background(), writeEach(t, test.inputs), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var rows []traces.Event
		if _, traps, err := countTraps(&checked{s, func(ev *traces.Event) { rows = append(rows, *ev) }}); err != nil || traps != test.traps {
			t.Errorf("%s: %d traps, %v; want %d in %+v", name, traps, err, test.traps, rows)
		}
	}
}
