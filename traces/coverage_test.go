package traces

import (
	"fmt"
	"strings"
	"testing"
)

func TestCoverage(t *testing.T) {
	const (
		hit    = "100 hit cpu=0 pid=10 tid=10 addr=0x401136 probe=a:f"
		other  = "200 hit cpu=1 pid=10 tid=11 addr=0x401136 probe=a:f"
		munmap = "150 munmap cpu=1 pid=10 tid=11 dur_ns=50 addr=0x1000 len=0x1000 ret=0"
	)
	locks := func(start string) []string {
		return []string{
			"300 lock_start cpu=0 pid=10 tid=10 mm=0x1 " + start, "310 lock_acquired cpu=0 pid=10 tid=10 mm=0x1 write=false",
			"320 lock_released cpu=0 pid=10 tid=10 mm=0x1 write=false", "330 hit cpu=0 pid=10 tid=10 addr=0x401136 probe=a:f",
		}
	}
	whole := append([]string{hit, munmap}, locks("write=false in_uprobe=true")...)
	for _, test := range []struct {
		name string
		rows []string
		meta Meta
		want string // what is unknown, and of the last one a part of why
	}{
		{"all is told", whole, Meta{}, ""},
		{"nothing at all", nil, Meta{}, "writers: nothing came"},
		{"hits alone", []string{hit, other}, Meta{}, "writers outcomes: no lock events"},
		{"hits alone, of all that was recorded", []string{hit}, Meta{Recorded: []string{"hit", "mmap", "munmap", "lock_start", "lock_acquired", "lock_released"}}, ""},
		{"writers were recorded and never came", []string{hit}, Meta{Recorded: []string{"hit", "mmap", "munmap"}}, "outcomes: no lock events"},
		{"something else was recorded", []string{hit}, Meta{Recorded: []string{"hit", "fork", "lock_start"}}, "writers: nothing that changes address spaces was recorded"},
		{"entries alone", []string{hit, "150 munmap cpu=1 pid=10 tid=11 addr=0x1000 len=0x1000"}, Meta{}, "writers outcomes: "},
		{"entries alone, and recorded as such", []string{"150 munmap cpu=1 pid=10 tid=11 addr=0x1000 len=0x1000"}, Meta{Recorded: []string{"mmap", "munmap"}}, "writers: 1 of 1 calls that change address spaces have only an entry"},
		{"no other call than madvise", []string{hit, "150 madvise cpu=1 pid=10 tid=11 dur_ns=50 addr=0x1000 len=0x1000 advice=4 ret=0"}, Meta{}, "writers outcomes: no lock"},
		{"exits alone", []string{"150 munmap cpu=1 pid=10 tid=11 ret=0"}, Meta{}, "writers: 1 of 1"},
		{"an end that was cut off", []string{munmap, "160 mmap cpu=1 pid=10 tid=11 len=0x1000", "170 brk cpu=1 pid=10 tid=12 dur_ns=1 ret=0"}, Meta{}, ""},
		{"writers by lock events alone", []string{"100 lock_acquired cpu=0 pid=10 tid=10 mm=0x1 write=true"}, Meta{}, ""},
		{"nothing but the wish for the lock", []string{"100 lock_start cpu=0 pid=10 tid=10 mm=0x1 write=true in_uprobe=false"}, Meta{}, "writers: nothing"},
		{"locks for read alone", append([]string{hit}, locks("write=false in_uprobe=false")...), Meta{}, "writers: nothing"},
		{"a lock that nothing decides", append([]string{hit, munmap}, locks("write=false")...), Meta{}, "outcomes: the lock events of 1 of 2 lookups"},
		{"another's lock", append([]string{hit, munmap, "325 lock_start cpu=1 pid=10 tid=11 mm=0x1 write=false"}, locks("write=false in_uprobe=false")...), Meta{}, ""},
		{"a lock, then a syscall", []string{munmap, "300 lock_start cpu=1 pid=10 tid=11 mm=0x1 write=false", "310 brk cpu=1 pid=10 tid=11 dur_ns=5 ret=0", "400 hit cpu=1 pid=10 tid=11 addr=0x1 probe=a:f"}, Meta{}, ""},
		{"a lock for write", append([]string{hit, munmap}, locks("write=true")...), Meta{}, ""},
		{"no start of a lock", []string{hit, munmap, "310 lock_acquired cpu=0 pid=10 tid=10 mm=0x1 write=true"}, Meta{}, "outcomes: the lock events that say"},
		{"several events of a trap", append(append([]string{hit, munmap}, locks("write=false")...), "331 hit cpu=0 pid=10 tid=10 addr=0x401136 probe=a:g trap=5"), Meta{}, "outcomes: the lock events of 1 of 2 lookups"},
		{"threads without processes", []string{strings.Replace(hit, "pid=10 ", "", 1), strings.Replace(munmap, "pid=10 ", "", 1)}, Meta{}, "outcomes processes: 2 of 2"},
		{"one of them", []string{hit, strings.Replace(munmap, "pid=10 ", "", 1)}, Meta{}, "outcomes processes: 1 of 2"},
		{"a thread alone", []string{"100 hit tid=11 addr=0x1 probe=a:f", "150 munmap tid=11 dur_ns=50 addr=0x1000 len=0x1000 ret=0"}, Meta{}, "outcomes: no lock"},
		{"a thread alone, and the source warns", []string{"150 munmap tid=11 dur_ns=50 addr=0x1000 len=0x1000 ret=0"}, Meta{Unknown: []Unknown{{UnknownProcesses, "no pid", "print it"}}}, ""},
		{"several threads, and the source warns", []string{hit, munmap}, Meta{Unknown: []Unknown{{UnknownProcesses, "ids are guesses", "print them"}}}, "outcomes processes: ids are guesses"},
		{"hits of nobody", []string{munmap, "160 hit addr=0x1 probe=a:f"}, Meta{}, "outcomes processes: 1 of 2"},
		{"locks of nobody", []string{munmap, "160 lock_acquired mm=0x1 write=true"}, Meta{}, ""},
		{"returns alone", []string{munmap, "100 ret cpu=0 pid=10 tid=10 addr=0x1 probe=a:f"}, Meta{}, "hits: only returns"},
		{"no call", []string{munmap}, Meta{Recorded: []string{"ret", "hit"}}, ""},
		{"what the source says", whole, Meta{Unknown: []Unknown{{UnknownHits, "sampled", "-c 1"}, {UnknownLosses, "text", "print them"}}}, "losses hits: sampled"},
		{"what several sources say", whole, Meta{Unknown: []Unknown{{UnknownLosses, "one", "a"}, {UnknownLosses, "two", "a"}, {UnknownLosses, "one", "b"}}}, "losses: one; two"},
		{"the source knows better", []string{"100 fork cpu=0 pid=10 tid=10 ret=11"}, Meta{Unknown: []Unknown{{UnknownWriters, "raw_syscalls alone", "record others"}}}, "writers: raw_syscalls alone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c Coverage
			for i, row := range test.rows {
				var ev Event
				if err := ParseText(row, &ev); err != nil {
					t.Fatal(err)
				}
				ev.Seq = int64(i)
				c.Add(&ev)
			}
			list := c.Unknown(test.meta)
			if list == nil {
				t.Fatal("nil: want a list")
			}
			var whats []string
			why := ""
			for _, u := range list {
				whats = append(whats, u.What)
				why = u.Why
				if u.Why == "" || u.Remedy == "" {
					t.Errorf("%+v: no reason, or no remedy", u)
				}
			}
			want, part, _ := strings.Cut(test.want, ": ")
			if got := strings.Join(whats, " "); got != want || !strings.Contains(why, part) {
				t.Errorf("got  %s: %s\nwant %s", got, why, test.want)
			}
		})
	}
}

func ExampleUnknown() {
	fmt.Println(Unknown{UnknownLosses, "the text does not show them", "print with perf script --show-lost-events"})
	// Output: losses unknown: the text does not show them; print with perf script --show-lost-events
}

// Recordings with all events tell all, and those without lock events all but outcomes.
func TestCoverageOfCorpus(t *testing.T) {
	for _, name := range []string{"churn-1x1", "javac", "stress-malloc-z"} {
		f, err := Open("corpus/" + name + ".parquet")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var all, noLocks Coverage
		stream, err := f.Events(CoverageColumns)
		if err != nil {
			t.Fatal(err)
		}
		var ev Event
		for stream.Next(&ev) == nil {
			all.Add(&ev)
			if !ev.Kind.IsLock() {
				noLocks.Add(&ev)
			}
		}
		if list := all.Unknown(f.Meta()); len(list) != 0 {
			t.Errorf("%s: %v", name, list)
		}
		if list := noLocks.Unknown(f.Meta()); len(list) != 1 || list[0].What != UnknownOutcomes {
			t.Errorf("%s without lock events: %v", name, list)
		}
	}
}

func TestPartly(t *testing.T) {
	for recorded, want := range map[string]string{
		"":                                    "",
		"hit munmap":                          "only munmap was recorded",
		"hit mmap munmap mprotect mremap brk": "",
		"hit mmap munmap lock_start lock_acquired lock_released":   "",
		"hit fork madvise lock_start":                              "", // of which the writers are unknown
		"hit mmap munmap lock_start ret exec exit mprotect mremap": "only mmap, munmap, mprotect, mremap was recorded",
	} {
		var c Coverage
		got := c.Partly(Meta{Recorded: strings.Fields(recorded)})
		if !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: %q, want %q", recorded, got, want)
		}
	}
}
