package reports

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// reasonNames say for people why a hit fell back; index is sim.Outcome.
var reasonNames = [sim.NumOutcomes]string{
	sim.Lockless:     "without lock",
	sim.WriterActive: "writer active",
	sim.SeqChanged:   "sequence changed",
	sim.NoVMA:        "no mapping",
	sim.NoFile:       "mapping has no file",
	sim.NoUprobe:     "no uprobe found",
	sim.Unconfigured: "never speculates",
}

// printable replaces what could move a terminal's cursor or break a line. A
// thread's name is any bytes.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// frame is one entry of a stack, taken apart.
type frame struct {
	symbol string // "0xaddr" where there was none
	module string // as in the trace: a path, or a name in brackets; may be empty
}

// parseFrame reads "symbol+0xoff (module)" or "0xaddr (module)"; any other text
// is a symbol. Both symbols and modules may hold " (", so the module starts after
// the first one that an offset or address stands before, else after the last.
func parseFrame(s string) frame {
	var f frame
	if i := moduleStart(s); i >= 0 && strings.HasSuffix(s, ")") {
		s, f.module = s[:i], s[i+2:len(s)-1]
	}
	if i := strings.LastIndex(s, "+0x"); i > 0 {
		s = s[:i]
	}
	f.symbol = s
	return f
}

// parseStack reads a stack, leaf first, without what is no part of the program's
// path: the function that records the event (__mmap_lock_do_trace_start_locking in
// mm/mmap_lock.c), and the address 0 that unwinding by frame pointers ends with.
func parseStack(traced []string) []frame {
	var stack []frame
	for _, s := range traced {
		if f := parseFrame(s); f.symbol != "0x0" && !strings.HasPrefix(f.symbol, "__mmap_lock_do_trace_") {
			stack = append(stack, f)
		}
	}
	return stack
}

// named reports whether f is more than an address.
func (f frame) named() bool { return !strings.HasPrefix(f.symbol, "0x") }

// moduleStart is where " (module)" begins in a frame, or -1.
func moduleStart(s string) int {
	for from := 0; ; {
		i := strings.Index(s[from:], " (")
		if i < 0 {
			return strings.LastIndex(s, " (")
		}
		i += from
		x := strings.LastIndex(s[:i], "0x")
		if x >= 0 && (x == 0 || s[x-1] == '+') && isHex(s[x+2:i]) {
			return i
		}
		from = i + 1
	}
}

func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }

// kernel reports whether f is in the kernel or one of its modules, which perf
// shows in brackets; [vdso] and [vsyscall] are user code.
func (f frame) kernel() bool {
	if f.module == "[vdso]" || f.module == "[vsyscall]" || f.module == "[unknown]" {
		return false
	}
	return strings.HasPrefix(f.module, "[") || strings.HasSuffix(f.module, ".ko")
}

// label is f for people: an address alone says little without its module.
func (f frame) label() string {
	if !f.named() && f.module != "" {
		return f.symbol + " in " + path.Base(f.module)
	}
	return f.symbol
}

// callers shows a stack on one line, leaf first, as far as it has names: the
// program's part, since the operation is named beside it, or else the kernel's. A
// stack of bare addresses tells nothing here; the profiles have it.
func callers(traced []string) string {
	var user, kernel []string
	for _, f := range parseStack(traced) {
		switch {
		case !f.named():
		case f.kernel():
			kernel = append(kernel, printable(f.label()))
		default:
			user = append(user, printable(f.label()))
		}
	}
	if len(user) == 0 {
		user = kernel
	}
	return strings.Join(user, " < ")
}

// guilty are the writers that cost hits anything, the dearest first.
func guilty(r *replay.Run) []replay.Blame {
	for i := range r.Blame {
		if b := &r.Blame[i]; b.Fallbacks == 0 && b.Wait == 0 {
			return r.Blame[:i]
		}
	}
	return r.Blame
}

// writers is how many there are in rows of blame.
func writers(rows []replay.Blame) (n int64) {
	for i := range rows {
		n += rows[i].Writers
	}
	return n
}

// culprit is all that threads of one name did in one operation to the hits of a run.
type culprit struct {
	comm, kind          string
	tids                map[int32]bool
	sections, fallbacks int64
	hold, wait, wasted  sim.Time
	rows                []*replay.Blame // the dearest first
}

// culprits groups the guilty, the dearest first, as Blame is sorted.
func culprits(r *replay.Run) []*culprit {
	var all []*culprit
	at := map[[2]string]*culprit{}
	rows := guilty(r)
	for i := range rows {
		b := &rows[i]
		key := [2]string{b.Comm, b.Kind}
		c := at[key]
		if c == nil {
			c = &culprit{comm: b.Comm, kind: b.Kind, tids: map[int32]bool{}}
			at[key] = c
			all = append(all, c)
		}
		c.tids[b.TID] = true
		c.sections += b.Sections
		c.fallbacks += b.Fallbacks
		c.hold += b.Hold
		c.wait += b.Wait
		c.wasted += b.Wasted
		c.rows = append(c.rows, b)
	}
	slices.SortStableFunc(all, func(a, b *culprit) int {
		return cmp.Or(-cmp.Compare(a.wait, b.wait), -cmp.Compare(a.fallbacks, b.fallbacks))
	})
	return all
}

// threads is the id of one, or how many there are.
func threads(tids map[int32]bool) string {
	if len(tids) == 1 {
		for tid := range tids {
			return fmt.Sprint(tid)
		}
	}
	return fmt.Sprintf("%d threads", len(tids))
}

// mainRun is the run that the headline is about: the last one that can resolve
// without the lock, the bound that no kernel reaches only where no other can, else
// the last. It is nil when there is none.
func mainRun(res *replay.Result) *replay.Run {
	rank := func(r *replay.Run) int {
		switch {
		case !speculates(r):
			return 0
		case r.Resolver == bound:
			return 1
		}
		return 2
	}
	var main *replay.Run
	for i := range res.Runs {
		if r := &res.Runs[i]; main == nil || rank(r) >= rank(main) {
			main = r
		}
	}
	return main
}

// bound is the resolver that no kernel has.
const bound = "ideal"

// baseRun is what the main run is held against: the first that always locks, or
// nil.
func baseRun(res *replay.Result) *replay.Run {
	for i := range res.Runs {
		if r := &res.Runs[i]; r.Hits > 0 && !speculates(r) {
			return r
		}
	}
	return nil
}

func speculates(r *replay.Run) bool { return r.Outcomes[sim.Unconfigured] < r.Hits }
