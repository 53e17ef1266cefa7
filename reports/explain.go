package reports

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// ExplainSchema names the shape of an Explanation in JSON.
const ExplainSchema = "replay.explain/1"

// Explanation is the document of explain: waits, each with its causes. Times are since
// the start of the recording.
type Explanation struct {
	Schema    string           `json:"schema"`
	Trace     string           `json:"trace"`
	AtNs      *Nanos           `json:"at_ns"`    // that was asked for; null for the worst
	Recorded  *[]ExplainedWait `json:"recorded"` // null without lock events
	Simulated *SimulatedWaits  `json:"simulated"`
	Unknown   []replay.Unknown `json:"unknown"`
}

// SimulatedWaits are those of a run; null where the trace has no hit, or cannot tell.
type SimulatedWaits struct {
	Resolver string         `json:"resolver"`
	Machine  Machine        `json:"machine"`
	Waits    []SimulatedHit `json:"waits"`
}

// Actor is a thread that did something from somewhere.
type Actor struct {
	Comm      string     `json:"comm"`
	PID       *int32     `json:"pid"`
	TID       int32      `json:"tid"`
	CPU       *int32     `json:"cpu"`
	Kind      string     `json:"kind"`
	Operation *Operation `json:"operation"` // null where no row tells
	Stack     []string   `json:"stack"`     // leaf first
}

// Operation is a syscall or a hit, with what was mapped where it is about.
type Operation struct {
	Name    string       `json:"name"` // of the syscall, or "hit"
	Text    string       `json:"text"` // as strace shows it
	Addr    *string      `json:"addr"` // hexadecimal, as in 0x7f00
	Len     *uint64      `json:"len"`
	Probe   *string      `json:"probe"`
	DurNs   *int64       `json:"dur_ns"`
	Mapping *MappingText `json:"mapping"` // before it; null for none that is known
}

// MappingText is a mapping, in the words of /proc/PID/maps.
type MappingText struct {
	Start string `json:"start"`
	End   string `json:"end"`
	Prot  string `json:"prot"`
	Pgoff uint64 `json:"pgoff"`
	Path  string `json:"path"` // empty for anonymous memory
}

// ExplainedWait is a recorded wait.
type ExplainedWait struct {
	Actor
	Access  string        `json:"access"`
	AtNs    Nanos         `json:"at_ns"`
	WaitNs  Nanos         `json:"wait_ns"`
	InWayNs Nanos         `json:"in_way_ns"` // of it: somebody was seen with the lock
	Behind  []HolderInWay `json:"behind"`    // in the order in which they came to be in the way
	// Ahead are those that asked before it and went on before it, in the order in which they
	// did. A reader that is woken has the lock before it runs.
	Ahead []WaitAhead `json:"ahead"`
	// SeenOnCPU are the other threads that had rows meanwhile on the CPU where this one
	// went on.
	SeenOnCPU []Bystander `json:"seen_on_cpu"`
}

// HolderInWay is a hold that was in the way of a wait.
type HolderInWay struct {
	Actor
	Mode   string `json:"mode"` // read or write
	FromNs Nanos  `json:"from_ns"`
	ForNs  Nanos  `json:"for_ns"`
	GotNs  Nanos  `json:"got_ns"`
	HoldNs *Nanos `json:"hold_ns"` // null where its end is not in the trace
}

// WaitAhead is a wait in front of another.
type WaitAhead struct {
	Actor
	Access    string      `json:"access"`
	AtNs      Nanos       `json:"at_ns"`
	WaitNs    Nanos       `json:"wait_ns"`
	SeenOnCPU []Bystander `json:"seen_on_cpu"`
}

// Bystander is a thread that was seen.
type Bystander struct {
	Comm string `json:"comm"`
	TID  int32  `json:"tid"`
	Rows int    `json:"rows"`
}

// SimulatedHit is a simulated hit that waited.
type SimulatedHit struct {
	Actor
	Reason   string           `json:"reason"`
	AtNs     Nanos            `json:"at_ns"`
	LockAtNs Nanos            `json:"lock_at_ns"` // it asked for mmap_lock
	WaitNs   Nanos            `json:"wait_ns"`
	Blame    *SectionToExpect `json:"blame"`
}

// SectionToExpect is the section to blame. Its times are null where it was not seen to
// end.
type SectionToExpect struct {
	Actor
	AskedNs    *Nanos `json:"asked_ns"`
	AcquiredNs *Nanos `json:"acquired_ns"`
	ReleasedNs *Nanos `json:"released_ns"`
}

// NewExplanation is an explanation as a document; at is what was asked for, below 0 for
// the worst.
func NewExplanation(e *replay.Explanation, at sim.Time) *Explanation {
	d := &Explanation{Schema: ExplainSchema, Trace: e.Path, Unknown: append([]replay.Unknown{}, e.Unknown...)}
	if at >= 0 {
		n := Nanos(at)
		d.AtNs = &n
	}
	if e.Locks {
		waits := []ExplainedWait{}
		for _, w := range e.Recorded {
			waits = append(waits, explainWait(e, w))
		}
		d.Recorded = &waits
	}
	if e.Machine.CPUs > 0 {
		d.Simulated = &SimulatedWaits{Resolver: e.Resolver, Machine: Machine(e.Machine), Waits: []SimulatedHit{}}
		for _, h := range e.Simulated {
			d.Simulated.Waits = append(d.Simulated.Waits, explainHit(e, h))
		}
	}
	return d
}

func explainWait(e *replay.Explanation, w *timeline.Wait) ExplainedWait {
	x := ExplainedWait{
		Actor: waiting(e, w), Access: string(w.Access), AtNs: Nanos(w.At), WaitNs: Nanos(w.For), InWayNs: Nanos(w.InWay),
		Behind: []HolderInWay{}, Ahead: []WaitAhead{}, SeenOnCPU: seenOn(e, w),
	}
	for _, a := range w.Ahead {
		x.Ahead = append(x.Ahead, WaitAhead{waiting(e, a), string(a.Access), Nanos(a.At), Nanos(a.For), seenOn(e, a)})
	}
	for _, b := range w.Behind {
		h := b.Hold
		in := HolderInWay{
			Actor: Actor{h.Comm, pid(h.PID), h.TID, cpuPointer(h.CPU), h.Kind, operation(e.Scenes[h.Seq]), stackOf(e.Scenes[h.Seq], h.Stack)},
			Mode:  accessMode(h.Write), FromNs: Nanos(b.From), ForNs: Nanos(b.For), GotNs: Nanos(h.At),
		}
		if h.For > 0 {
			n := Nanos(h.For)
			in.HoldNs = &n
		}
		x.Behind = append(x.Behind, in)
	}
	return x
}

func waiting(e *replay.Explanation, w *timeline.Wait) Actor {
	return Actor{w.Comm, pid(w.PID), w.TID, cpuPointer(w.CPU), w.Kind, operation(e.Scenes[w.Seq]), stackOf(e.Scenes[w.Seq], w.Stack)}
}

// seenOn are the threads that were seen where a wait ended.
func seenOn(e *replay.Explanation, w *timeline.Wait) []Bystander {
	seen := []Bystander{}
	if on := e.CPUs[w]; on != nil {
		for _, b := range on.Seen {
			seen = append(seen, Bystander(b))
		}
	}
	return seen
}

func explainHit(e *replay.Explanation, h *replay.SlowHit) SimulatedHit {
	cpu := int32(h.CPU)
	x := SimulatedHit{
		Actor:  Actor{h.Comm, pid(h.PID), h.TID, &cpu, "hit", operation(e.Scenes[h.Seq]), h.Stack},
		Reason: h.Outcome.String(), AtNs: Nanos(h.At), LockAtNs: Nanos(h.LockAt), WaitNs: Nanos(h.Wait),
	}
	if b := h.Blame; b != nil {
		x.Blame = &SectionToExpect{Actor: Actor{b.Comm, pid(b.PID), b.TID, nil, b.Kind, operation(e.Scenes[b.Seq]), stackOf(e.Scenes[b.Seq], b.Stack)}}
		if b.Known {
			asked, acquired, released := Nanos(b.Asked), Nanos(b.Acquired), Nanos(b.Released)
			x.Blame.AskedNs, x.Blame.AcquiredNs, x.Blame.ReleasedNs = &asked, &acquired, &released
		}
	}
	return x
}

func cpuPointer(cpu int32) *int32 {
	if cpu < 0 {
		return nil
	}
	return &cpu
}

func accessMode(write bool) string {
	if write {
		return "write"
	}
	return "read"
}

// stackOf is the stack of what took the lock; where only the syscall or the hit has one,
// that.
func stackOf(s *timeline.Scene, own []string) []string {
	if len(own) > 0 || s == nil {
		return own
	}
	if s.Hit != nil {
		return s.Hit.Stack
	}
	if s.Call != nil {
		return s.Call.Stack
	}
	return s.Row.Stack
}

// operation is what a scene is of, or nil.
func operation(s *timeline.Scene) *Operation {
	if s == nil {
		return nil
	}
	var o *Operation
	switch {
	case s.Hit != nil:
		o = &Operation{Name: "hit", Text: hitText(s.Hit), Probe: &s.Hit.Probe}
		o.address(s.Hit)
	case s.Call != nil:
		o = &Operation{Name: s.Call.Kind.String(), Text: callText(s.Call)}
		o.address(s.Call)
		if s.Call.Got(traces.ColLen) {
			o.Len = &s.Call.Len
		}
		if s.Call.Got(traces.ColDur) {
			o.DurNs = &s.Call.Dur
		}
	default:
		return nil
	}
	if m := s.Mapping; m != nil {
		o.Mapping = &MappingText{Start: hex(m.Start), End: hex(m.End), Prot: mapsProt(m.Prot, m.Flags), Pgoff: m.Pgoff, Path: m.Path}
	}
	return o
}

func (o *Operation) address(ev *traces.Event) {
	if ev.Got(traces.ColAddr) {
		addr := hex(ev.Addr)
		o.Addr = &addr
	}
}

func hex(n uint64) string { return fmt.Sprintf("%#x", n) }

func hitText(ev *traces.Event) string {
	s := ev.Probe
	if s == "" {
		s = "a probe"
	}
	if ev.Got(traces.ColAddr) {
		s += " at " + hex(ev.Addr)
	}
	return s
}

// callText is a syscall as strace shows it, as far as the trace has its arguments.
func callText(ev *traces.Event) string {
	arg := func(col traces.Columns, text string) string {
		if ev.Got(col) {
			return text
		}
		return "?"
	}
	addr, length := arg(traces.ColAddr, hex(ev.Addr)), arg(traces.ColLen, fmt.Sprint(ev.Len))
	var args []string
	switch ev.Kind {
	case traces.Mmap:
		args = []string{addr, length, arg(traces.ColProt, protText(ev.Prot)), arg(traces.ColFlags, mapFlagsText(ev.Flags))}
		if ev.Path != "" {
			args = append(args, ev.Path, hex(ev.Pgoff))
		}
	case traces.Munmap:
		args = []string{addr, length}
	case traces.Mprotect:
		args = []string{addr, length, arg(traces.ColProt, protText(ev.Prot))}
	case traces.Mremap:
		args = []string{addr, length, arg(traces.ColNewLen, fmt.Sprint(ev.NewLen))}
	case traces.Brk:
		args = []string{addr}
	case traces.Exec:
		args = []string{arg(traces.ColPath, ev.Path)}
	case traces.Madvise:
		args = []string{addr, length, arg(traces.ColAdvice, adviceText(ev.Advice))}
	}
	s := fmt.Sprintf("%s(%s)", ev.Kind, strings.Join(args, ", "))
	if ev.Got(traces.ColRet) && ev.Ret < 0 && ev.Ret > -4096 {
		s += fmt.Sprintf(" = %d", ev.Ret)
	}
	return s
}

// bits names the bits of a number, the rest in hexadecimal.
func bits(n int32, names []string, none string) string {
	var all []string
	rest := uint32(n)
	for i, name := range names {
		if name != "" && rest&(1<<i) != 0 {
			all = append(all, name)
			rest &^= 1 << i
		}
	}
	if rest != 0 {
		all = append(all, hex(uint64(rest)))
	}
	if len(all) == 0 {
		return none
	}
	return strings.Join(all, "|")
}

func protText(prot int32) string {
	return bits(prot, []string{"PROT_READ", "PROT_WRITE", "PROT_EXEC"}, "PROT_NONE")
}

// mapFlagsText names those that all architectures share but for a few old ones
// (include/uapi/asm-generic/mman.h).
func mapFlagsText(flags int32) string {
	return bits(flags, []string{
		"MAP_SHARED", "MAP_PRIVATE", "", "", "MAP_FIXED", "MAP_ANONYMOUS", "", "", "MAP_GROWSDOWN", "", "", "MAP_DENYWRITE", "", "MAP_LOCKED",
		"MAP_NORESERVE", "MAP_POPULATE", "MAP_NONBLOCK", "MAP_STACK", "MAP_HUGETLB", "MAP_SYNC", "MAP_FIXED_NOREPLACE",
	}, "0")
}

// adviceText is as in include/uapi/asm-generic/mman-common.h.
func adviceText(advice int32) string {
	names := map[int32]string{
		0: "NORMAL", 1: "RANDOM", 2: "SEQUENTIAL", 3: "WILLNEED", 4: "DONTNEED", 8: "FREE", 9: "REMOVE", 10: "DONTFORK", 11: "DOFORK", 12: "MERGEABLE",
		13: "UNMERGEABLE", 14: "HUGEPAGE", 15: "NOHUGEPAGE", 16: "DONTDUMP", 17: "DODUMP", 18: "WIPEONFORK", 19: "KEEPONFORK", 20: "COLD", 21: "PAGEOUT",
		22: "POPULATE_READ", 23: "POPULATE_WRITE", 24: "DONTNEED_LOCKED", 25: "COLLAPSE", 102: "GUARD_INSTALL", 103: "GUARD_REMOVE",
	}
	if name := names[advice]; name != "" {
		return "MADV_" + name
	}
	return fmt.Sprint(advice)
}

// mapsProt is a protection as /proc/PID/maps shows it.
func mapsProt(prot, flags int32) string {
	s := []byte("---p")
	for i, c := range []byte("rwx") {
		if prot&(1<<i) != 0 {
			s[i] = c
		}
	}
	if flags&1 != 0 {
		s[3] = 's'
	}
	return string(s)
}

// JSON writes the explanation as a document.
func (d *Explanation) JSON(w io.Writer) error { return writeJSON(w, d) }

// Text writes the explanation for people.
func (d *Explanation) Text(w io.Writer, o TextOptions) error {
	t := newTextReport(o)
	t.para(strong, "", clip(printable(d.Trace), t.width))
	t.title("Recorded waits for mmap_lock")
	switch {
	case d.Recorded == nil:
		t.para(caution, "  ", "Unknown: the trace has no lock events; record them with replay capture, without --no-locks.")
	case len(*d.Recorded) == 0:
		t.para(good, "  ", "None.")
	default:
		if at := d.AtNs; at != nil {
			w := &(*d.Recorded)[0]
			t.nearest(*at, w.AtNs, w.AtNs+w.WaitNs)
		}
		for i := range *d.Recorded {
			t.explainWait(i+1, &(*d.Recorded)[i])
		}
	}
	t.explainSimulated(d)
	_, err := w.Write(t.b.Bytes())
	return err
}

// nearest says so where nobody waited at the time that was asked for.
func (t *textReport) nearest(at, from, to Nanos) {
	if at < from || at > to {
		t.para(caution, "  ", fmt.Sprintf("Nobody waited at %s. The nearest wait:", span(sim.Time(at))))
	}
}

func (t *textReport) explainWait(n int, w *ExplainedWait) {
	t.para(strong, "  ", fmt.Sprintf("%d. %s, from %s on: %s wanted it to %s, for %s.", n, span(sim.Time(w.WaitNs)), moment(w.AtNs), w.who(), verb(w.Access), w.what()))
	t.operation(&w.Actor)
	for i := range w.Behind {
		b := &w.Behind[i]
		hold := "a hold whose end is not in the trace"
		if b.HoldNs != nil {
			hold = "a hold of " + span(sim.Time(*b.HoldNs))
		}
		from := "from the start"
		if b.FromNs > w.AtNs {
			from = "from " + span(sim.Time(b.FromNs-w.AtNs)) + " after that"
		}
		t.para(plain, "     ", fmt.Sprintf("%s, for %s: %s had it to %s, for %s: %s.", from, span(sim.Time(b.ForNs)), b.who(), b.Mode, b.what(), hold))
		t.operation(&b.Actor)
	}
	for i := range w.Ahead {
		a := &w.Ahead[i]
		if i == aheadMax {
			t.para(plain, "     ", fmt.Sprintf("%s more had asked before it.", plural(int64(len(w.Ahead)-i), "thread")))
			break
		}
		s := fmt.Sprintf("%s had asked before it, to %s, for %s, and went on after %s of this wait.", a.who(), verb(a.Access), a.what(), span(sim.Time(a.AtNs+a.WaitNs-w.AtNs)))
		if a.Access != string(timeline.WriteAccess) {
			s += " A reader that is woken has the lock before it runs"
			if seen := seenText(a.SeenOnCPU); seen != "" {
				s += "; on its CPU there ran meanwhile " + seen
			}
			s += "."
		}
		t.para(plain, "     ", s)
	}
	t.para(plain, "     ", w.rest())
}

// aheadMax is how many of those before it are shown.
const aheadMax = 4

// rest says what is known of the part of a wait in which nobody was seen with the lock.
func (w *ExplainedWait) rest() string {
	rest := w.WaitNs - w.InWayNs
	if rest <= 0 {
		return "Somebody had it all the time."
	}
	s := fmt.Sprintf("For %s nobody was seen with it: recording the lock_start takes time, then waking up", span(sim.Time(rest)))
	if seen := seenText(w.SeenOnCPU); seen != "" {
		return s + "; on the CPU where it went on there ran " + seen + "."
	}
	return s + "; no other recorded thread was on the CPU where it went on."
}

// seenText names the busiest of those that were seen, or is "".
func seenText(all []Bystander) string {
	var seen []string
	for i, b := range all {
		if i == bystandersMax {
			seen = append(seen, fmt.Sprintf("%d more", len(all)-i))
			break
		}
		seen = append(seen, fmt.Sprintf("%s (tid %d, %s)", printable(b.Comm), b.TID, plural(int64(b.Rows), "event")))
	}
	return strings.Join(seen, ", ")
}

// bystandersMax is how many of them are named.
const bystandersMax = 4

func (t *textReport) explainSimulated(d *Explanation) {
	s := d.Simulated
	if s == nil {
		t.title("Simulated")
		list := replay.Unanswered(d.Unknown)
		if len(list) == 0 {
			t.para(caution, "  ", "Nothing: there is no hit to resolve.")
		}
		for _, u := range list {
			t.para(caution, "  ", printable(u.String()))
		}
		return
	}
	t.title(fmt.Sprintf("Simulated waits of hits, %s on %s", s.Resolver, printable(s.Machine.Name)))
	if len(s.Waits) == 0 {
		t.para(good, "  ", "None.")
		return
	}
	if d.AtNs != nil {
		h := &s.Waits[0]
		t.nearest(*d.AtNs, h.AtNs, h.LockAtNs+h.WaitNs)
	}
	for i := range s.Waits {
		h := &s.Waits[i]
		t.para(strong, "  ", fmt.Sprintf("%d. %s, from %s on: a hit of %s, which fell back: %s.", i+1, span(sim.Time(h.WaitNs)), moment(h.LockAtNs), h.who(), strings.ReplaceAll(h.Reason, "_", " ")))
		t.operation(&h.Actor)
		b := h.Blame
		if b == nil {
			t.para(plain, "     ", "Nobody is to blame: it waited for readers, or to be woken.")
			continue
		}
		line := fmt.Sprintf("To blame: %s, for %s", b.who(), b.what())
		if b.AcquiredNs != nil {
			line += fmt.Sprintf(", which had it from %s on, for %s", moment(*b.AcquiredNs), span(sim.Time(*b.ReleasedNs-*b.AcquiredNs)))
			if waited := *b.AcquiredNs - *b.AskedNs; waited > Nanos(shownWait) {
				line += fmt.Sprintf(", after it had waited %s itself", span(sim.Time(waited)))
			}
		}
		t.para(plain, "     ", line+".")
		t.operation(&b.Actor)
	}
}

// moment is a time since the start, exact to the µs, so that it can be found again.
func moment(n Nanos) string { return fmt.Sprintf("%.6f s", float64(n)/float64(sim.Second)) }

func verb(access string) string {
	if access == string(timeline.LookupAccess) {
		return "read"
	}
	return access
}

func (a *Actor) who() string {
	s := fmt.Sprintf("%s (tid %d", printable(a.Comm), a.TID)
	if a.PID != nil && *a.PID != a.TID {
		s += fmt.Sprintf(" of %d", *a.PID)
	}
	if a.CPU != nil {
		s += fmt.Sprintf(", CPU %d", *a.CPU)
	}
	return s + ")"
}

// what is what it took the lock for.
func (a *Actor) what() string {
	kind := a.Kind
	switch kind {
	case "uprobe", "hit":
		kind = "a lookup of a uprobe"
	case timeline.UnknownKind:
		kind = "something unknown"
	}
	if a.Operation == nil {
		return printable(kind)
	}
	if a.Operation.Name == a.Kind || a.Operation.Name == "hit" {
		return printable(a.Operation.Text)
	}
	return printable(kind + ", in " + a.Operation.Text)
}

// operation shows mapping and stack of an actor.
func (t *textReport) operation(a *Actor) {
	if a.Operation != nil && a.Operation.Mapping != nil {
		m := a.Operation.Mapping
		name := "anonymous"
		if m.Path != "" {
			name = m.Path
		}
		t.para(plain, "       ", clip(fmt.Sprintf("mapping %s-%s %s %s", m.Start, m.End, m.Prot, printable(path.Clean(name))), t.width-7))
	}
	if way := stackLine(a.Stack); way != "" {
		t.para(plain, "       ", way)
	}
}

// stackLine is a stack on one line, kernel and user, leaf first, without the addresses
// that have no name where others have.
func stackLine(traced []string) string {
	var named, all []string
	for _, f := range parseStack(traced) {
		all = append(all, printable(f.label()))
		if f.named() {
			named = append(named, printable(f.label()))
		}
	}
	if len(named) > 0 {
		all = named
	}
	return strings.Join(all, " < ")
}
