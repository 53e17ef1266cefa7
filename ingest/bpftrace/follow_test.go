package bpftrace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// follow returns what Follow made of a text, and how many mappings it put before
// each line of that.
func follow(t *testing.T, text string) (kept string, mappings []int) {
	t.Helper()
	var out strings.Builder
	if err := Follow(&out, strings.NewReader(text), func() {}, func(error) {}); err != nil {
		t.Fatal(err)
	}
	var rest strings.Builder
	n := 0
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, Prefix+" "+mappedLine+" ") {
			n++
			continue
		}
		rest.WriteString(line)
		mappings = append(mappings, n)
		n = 0
	}
	return rest.String(), mappings
}

// The mappings stand before the first hit since the process mapped code, with the
// time when it did.
func TestFollow(t *testing.T) {
	pid := os.Getpid()
	const gone = 1<<22 + 1 // no process has it (PID_MAX_LIMIT)
	hit := func(time, pid int) string {
		return fmt.Sprintf("replay1 hit %d 0 %d %d addr=0x1139 probe=app:f path=/bin/app comm=a\n\t1139 0x1139 ([unknown])\n", time, pid, pid)
	}
	mmap := func(time, prot, flags int) string {
		return fmt.Sprintf("replay1 %s %d 0 %d %d addr=0x0 len=0x2000 prot=%#x flags=%#x fd=0x3 off=0x1000 comm=a\n", enterMmap, time, pid, pid+1, prot, flags)
	}
	left := func(time, tid int) string {
		return fmt.Sprintf("replay1 %s %d 0 %d %d ret=4096 comm=a\n", exitMmap, time, pid, tid)
	}
	exec := func(time, pid int) string {
		return fmt.Sprintf("replay1 %s %d 0 %d %d path=/bin/app comm=a\n", execed, time, pid, pid)
	}
	exit := func(pid, tid int) string { return fmt.Sprintf("replay1 %s 900 0 %d %d comm=a\n", exited, pid, tid) }
	steps := []struct {
		line string
		want bool
	}{
		{hit(100, pid), false}, // nothing new is known of it
		{exec(101, pid), false},
		{hit(102, gone), false},
		{hit(103, pid), true},
		{hit(104, pid), false},
		{mmap(105, 5, 0x2), false},
		{left(106, pid), false}, // another thread's
		{hit(107, pid), false},
		{left(108, pid+1), false},
		{hit(109, pid), true},
		{mmap(110, 3, 0x2), false}, // no code
		{left(111, pid+1), false},
		{hit(112, pid), false},
		{mmap(113, 7, 0x22), false}, // no file
		{left(114, pid+1), false},
		{hit(115, pid), false},
		{mmap(116, 5, 0x2), false},
		{exit(pid, pid+1), false},
		{left(117, pid+1), false}, // of a new thread with the same id
		{hit(118, pid), false},
		{exec(119, gone), false},
		{hit(120, gone), false},
		{exec(121, pid), false},
		{exit(pid, pid), false},
		{hit(122, pid), false},
		{exec(123, pid), false},
		{exit(pid, pid+1), false}, // a thread's, which leaves the process as it is
		{hit(124, pid), true},
	}
	var text string
	for _, step := range steps {
		text += asJSON(step.line)
	}
	kept, mappings := follow(t, text)
	if kept != text || len(mappings) != len(steps) {
		t.Fatalf("%s\nbecame\n%s", text, kept)
	}
	for i, step := range steps {
		if got := mappings[i] > 0; got != step.want {
			t.Errorf("line %d, %s%d mappings stand before it", i, step.line, mappings[i])
		}
	}
}

// The mappings are told as of just after what made the last of them, and not as of the hit:
// an exec at that instant would take them away, and frames in between would have no names.
func TestFollowTellsWhen(t *testing.T) {
	pid := os.Getpid()
	text := asJSON(fmt.Sprintf("replay1 %s 101 0 %d %d path=/bin/app comm=a\nreplay1 hit 109 0 %d %d addr=0x1139 probe=app:f path=/bin/app comm=a\n", execed, pid, pid, pid, pid))
	var out strings.Builder
	if err := Follow(&out, strings.NewReader(text), func() {}, func(error) {}); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%s %s 102 %d ", Prefix, mappedLine, pid); !strings.Contains(out.String(), "\n"+want) || strings.Count(out.String(), mappedLine+" ") != strings.Count(out.String(), want) {
		t.Errorf("want mappings with %q:\n%.1000s", want, out.String())
	}
}

// full is a disk with room for so many bytes.
type full int

func (f *full) Write(p []byte) (int, error) {
	if len(p) > int(*f) {
		return 0, unix.ENOSPC
	}
	*f -= full(len(p))
	return len(p), nil
}

// A disk that is full is told at once, and what is printed is read to its end.
func TestFollowFullDisk(t *testing.T) {
	room, told, begun := full(1<<16), 0, 0
	r, w := io.Pipe()
	go func() {
		defer w.Close()
		fmt.Fprint(w, asJSON("replay1 script clock=boottime comm=15\n"))
		for range 1000 {
			if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<10)); err != nil {
				t.Error(err)
			}
		}
	}()
	err := Follow(&room, r, func() { begun++ }, func(err error) {
		if told++; !errors.Is(err, unix.ENOSPC) {
			t.Error(err)
		}
	})
	if !errors.Is(err, unix.ENOSPC) || told != 1 || begun != 1 {
		t.Errorf("%v, told %d times, begun %d times", err, told, begun)
	}
}

// Whatever is printed comes through as it is.
func FuzzFollow(f *testing.F) {
	for _, line := range strings.SplitAfter(asJSON(sample), "\n") {
		f.Add(line)
	}
	f.Add(asJSON(sample) + strings.Repeat("x", 1<<17) + "\n{")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains("\n"+text, "\n"+Prefix+" "+mappedLine) {
			t.Skip("not told from what is added")
		}
		if kept, _ := follow(t, text); kept != text {
			t.Fatalf("%q became %q", text, kept)
		}
	})
}
