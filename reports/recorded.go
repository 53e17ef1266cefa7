package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/sim"
)

// Recorded is what the recorded kernel did, from its lock events alone. Pointers are
// null where the lock events do not tell.
type Recorded struct {
	Hits         *int64 `json:"hits" null:"unknown"`
	Lookups      *int64 `json:"lookups" null:"unknown"`
	Fallbacks    *int64 `json:"fallbacks"`    // of these: that took mmap_lock
	LockWaitNs   *Dist  `json:"lock_wait_ns"` // of those
	ReaderWaitNs *Dist  `json:"reader_wait_ns"`
	WriterWaitNs *Dist  `json:"writer_wait_ns"` // null as the next, and all lists empty, where only lock_starts were recorded
	// UnblockedWaitNs are those of all waits in which nobody was seen with the lock:
	// what recording a lock_start takes, where all holders were recorded.
	UnblockedWaitNs *Dist `json:"unblocked_wait_ns"`
	ForeignWaitNs   Nanos `json:"foreign_wait_ns"` // behind threads of other processes
	// InWayNs is how much of the waits somebody was seen with the lock; a report of before
	// it was added up has none. So for the two after it.
	InWayNs  *InWay            `json:"in_way_ns"`
	OverTime *RecordedOverTime `json:"over_time"`
	Worst    *[]WorstWait      `json:"worst"`   // the longest waits, longest first
	Refused  int64             `json:"refused"` // times that a thread did not get the lock: a trylock, or a fatal signal
	Unended  int64             `json:"unended"` // waits and holds without an end, left out

	LongestWait *LongestWait `json:"longest_wait"`
	Waiters     []Waiter     `json:"waiters"`
	Holders     []Holder     `json:"holders"`
}

// LongestWait is the longest wait of all, and who was in its way longest.
type LongestWait struct {
	Comm    string         `json:"comm"`
	PID     *int32         `json:"pid"`
	TID     int32          `json:"tid"`
	Access  string         `json:"access"` // lookup, read or write
	Kind    string         `json:"kind"`
	AtNs    Nanos          `json:"at_ns"` // since the start of the recording
	WaitNs  Nanos          `json:"wait_ns"`
	InWayNs Nanos          `json:"in_way_ns"` // of it: somebody was seen with the lock
	Holder  *LongestHolder `json:"holder"`    // null where nobody was
}

// LongestHolder is the holder of a LongestWait.
type LongestHolder struct {
	Comm   string   `json:"comm"`
	PID    *int32   `json:"pid"`
	TID    int32    `json:"tid"`
	Kind   string   `json:"kind"`
	Mode   string   `json:"mode"` // read or write
	Stack  []string `json:"stack"`
	ForNs  Nanos    `json:"for_ns"`  // it was in the way
	HoldNs *Nanos   `json:"hold_ns"` // of that one hold; null where its end is not in the trace
}

// InWay is a time by access; of lookups it is null where it is unknown which are.
type InWay struct {
	Lookup *Nanos `json:"lookup"`
	Read   Nanos  `json:"read"` // lookups among them where Lookup is null
	Write  Nanos  `json:"write"`
}

// RecordedOverTime is a recording in slices of equal length from its start. Threads that
// wait, or hold the lock, at the same time each count.
type RecordedOverTime struct {
	StepNs       Nanos   `json:"step_ns"`
	LookupWaitNs []Nanos `json:"lookup_wait_ns"`
	ReadWaitNs   []Nanos `json:"read_wait_ns"`
	WriteWaitNs  []Nanos `json:"write_wait_ns"`
	ReadHeldNs   []Nanos `json:"read_held_ns"`
	WriteHeldNs  []Nanos `json:"write_held_ns"`
}

// WorstWait is one of the longest waits.
type WorstWait struct {
	Comm    string      `json:"comm"`
	PID     *int32      `json:"pid"`
	TID     int32       `json:"tid"`
	Access  string      `json:"access"`
	Kind    string      `json:"kind"`
	AtNs    Nanos       `json:"at_ns"`
	WaitNs  Nanos       `json:"wait_ns"`
	InWayNs Nanos       `json:"in_way_ns"`
	Stack   []string    `json:"stack"`
	Behind  []WorstHold `json:"behind"` // in the order in which they came to be in the way
}

// WorstHold is a hold that was in the way of a WorstWait.
type WorstHold struct {
	Comm   string   `json:"comm"`
	PID    *int32   `json:"pid"`
	TID    int32    `json:"tid"`
	Kind   string   `json:"kind"`
	Mode   string   `json:"mode"`
	Stack  []string `json:"stack"`
	FromNs Nanos    `json:"from_ns"`
	ForNs  Nanos    `json:"for_ns"`
	HoldNs *Nanos   `json:"hold_ns"` // null where its end is not in the trace
}

// Waiter is what one thread waited for one kind of access.
type Waiter struct {
	Comm   string `json:"comm"`
	PID    *int32 `json:"pid"`
	TID    int32  `json:"tid"`
	Access string `json:"access"` // lookup, read or write; where the outcomes are unknown, reads may be lookups
	Waits  int64  `json:"waits"`
	WaitNs Dist   `json:"wait_ns"`
}

// Holder is a thread that had mmap_lock while others waited, in one operation from
// one stack.
type Holder struct {
	Comm      string   `json:"comm"`
	PID       *int32   `json:"pid"`
	TID       int32    `json:"tid"`
	Kind      string   `json:"kind"`
	Mode      string   `json:"mode"`  // read or write
	Stack     []string `json:"stack"` // leaf first; null where the trace has none
	Holds     int64    `json:"holds"`
	HoldNs    Dist     `json:"hold_ns"`
	Blocked   int64    `json:"blocked"` // waits that it was in the way of
	BlockedNs Nanos    `json:"blocked_ns"`
}

func newRecorded(r *timeline.Recording) *Recorded {
	if r == nil {
		return nil
	}
	doc := &Recorded{
		Hits: &r.Hits, Lookups: &r.Lookups, ForeignWaitNs: Nanos(r.Foreign), Refused: r.Refused, Unended: r.Unended, Waiters: []Waiter{}, Holders: []Holder{},
	}
	if r.Outcomes {
		doc.Fallbacks = &r.Fallbacks
	}
	if r.Untimed {
		return doc
	}
	if r.Outcomes {
		doc.LockWaitNs, doc.ReaderWaitNs = newDist(r.LockWait), newDist(r.ReaderWait)
	}
	doc.WriterWaitNs, doc.UnblockedWaitNs = newDist(r.WriterWait), newDist(r.Unblocked)
	for i := range r.Waiters {
		w := &r.Waiters[i]
		doc.Waiters = append(doc.Waiters, Waiter{w.Comm, pid(w.PID), w.TID, string(w.Access), w.Wait.Count, *newDist(w.Wait)})
	}
	for i := range r.Holders {
		h := &r.Holders[i]
		doc.Holders = append(doc.Holders, Holder{
			Comm: h.Comm, PID: pid(h.PID), TID: h.TID, Kind: h.Kind, Mode: accessMode(h.Write), Stack: h.Stack,
			Holds: h.Hold.Count, HoldNs: *newDist(h.Hold), Blocked: h.Blocked, BlockedNs: Nanos(h.BlockedTime),
		})
	}
	if r.Longest != nil {
		doc.LongestWait = newLongestWait(r.Longest)
	}
	doc.InWayNs = &InWay{Read: Nanos(r.InWay.Read + r.InWay.Lookup), Write: Nanos(r.InWay.Write)}
	if r.Outcomes {
		lookup := Nanos(r.InWay.Lookup)
		doc.InWayNs.Lookup, doc.InWayNs.Read = &lookup, Nanos(r.InWay.Read)
	}
	doc.OverTime = newRecordedOverTime(&r.OverTime)
	worst := []WorstWait{}
	for _, w := range r.Worst {
		worst = append(worst, newWorstWait(w))
	}
	doc.Worst = &worst
	return doc
}

func newRecordedOverTime(s *timeline.LockSeries) *RecordedOverTime {
	doc := &RecordedOverTime{StepNs: Nanos(s.Step), LookupWaitNs: []Nanos{}, ReadWaitNs: []Nanos{}, WriteWaitNs: []Nanos{}, ReadHeldNs: []Nanos{}, WriteHeldNs: []Nanos{}}
	for i := range s.Slices {
		x := &s.Slices[i]
		doc.LookupWaitNs = append(doc.LookupWaitNs, Nanos(x.Waited.Lookup))
		doc.ReadWaitNs = append(doc.ReadWaitNs, Nanos(x.Waited.Read))
		doc.WriteWaitNs = append(doc.WriteWaitNs, Nanos(x.Waited.Write))
		doc.ReadHeldNs = append(doc.ReadHeldNs, Nanos(x.ReadHeld))
		doc.WriteHeldNs = append(doc.WriteHeldNs, Nanos(x.WriteHeld))
	}
	return doc
}

func newWorstWait(w *timeline.Wait) WorstWait {
	doc := WorstWait{
		Comm: w.Comm, PID: pid(w.PID), TID: w.TID, Access: string(w.Access), Kind: w.Kind, AtNs: Nanos(w.At), WaitNs: Nanos(w.For), InWayNs: Nanos(w.InWay),
		Stack: w.Stack, Behind: []WorstHold{},
	}
	for _, b := range w.Behind {
		h := b.Hold
		in := WorstHold{Comm: h.Comm, PID: pid(h.PID), TID: h.TID, Kind: h.Kind, Mode: accessMode(h.Write), Stack: h.Stack, FromNs: Nanos(b.From), ForNs: Nanos(b.For)}
		if h.For > 0 {
			n := Nanos(h.For)
			in.HoldNs = &n
		}
		doc.Behind = append(doc.Behind, in)
	}
	return doc
}

func newLongestWait(w *timeline.LongestWait) *LongestWait {
	doc := &LongestWait{
		Comm: w.Comm, PID: pid(w.PID), TID: w.TID, Access: string(w.Access), Kind: w.Kind,
		AtNs: Nanos(w.At), WaitNs: Nanos(w.Wait), InWayNs: Nanos(w.InWay),
	}
	if h := w.Holder; h != nil {
		doc.Holder = &LongestHolder{Comm: h.Comm, PID: pid(h.PID), TID: h.TID, Kind: h.Kind, Mode: accessMode(h.Write), Stack: h.Stack, ForNs: Nanos(w.HolderFor)}
		if w.Hold > 0 {
			hold := Nanos(w.Hold)
			doc.Holder.HoldNs = &hold
		}
	}
	return doc
}

// pid is null for a process that was not recorded.
func pid(n int32) *int32 {
	if n == timeline.NoPID {
		return nil
	}
	return &n
}

// The titles of what was recorded and of what was simulated after it.
const (
	recordedTitle  = "What the recorded kernel did"
	simulatedTitle = "What the simulation says"
)

// recordedFindings are the sentences about a recording.
func recordedFindings(res *replay.Result) []finding {
	r := res.Recorded
	if r.Untimed {
		return []finding{lookupFinding(res), {caution, "How long anybody waited, and who had the lock, is unknown: mmap_lock_acquire_returned and mmap_lock_released were not recorded."}}
	}
	all := []finding{lookupFinding(res), {plain, waitSentence(r)}}
	if w := r.Longest; w != nil {
		all = append(all, finding{strong, longestSentence(w)})
	}
	all = append(all, finding{plain, measureSentence(r)})
	if lost := res.Trace.Lost; lost > 0 {
		all = append(all, finding{caution, fmt.Sprintf("%s were lost: waits and holds may be missing here, or be longer than they were.", plural(lost, "event"))})
	}
	if r.Refused > 0 {
		all = append(all, finding{plain, fmt.Sprintf("Times that a thread tried for it and did not get it, which are no waits: %s.", count(r.Refused))})
	}
	if r.Unended > 0 {
		all = append(all, finding{caution, fmt.Sprintf("Waits and holds without an end in the trace, left out: %s.", count(r.Unended))})
	}
	return all
}

func lookupFinding(res *replay.Result) finding {
	r := res.Recorded
	switch {
	case r.Hits == 0:
		return finding{caution, "No hit of a uprobe was recorded."}
	case !r.Outcomes:
		s := fmt.Sprintf("How many of %s took mmap_lock is unknown", plural(r.Lookups, "lookup"))
		for _, u := range replay.Unknowns(res.Unknown, replay.UnknownOutcomes) {
			s += fmt.Sprintf(": %s; %s", printable(u.Why), printable(u.Remedy))
		}
		return finding{caution, s + "."}
	case r.Fallbacks == 0:
		return finding{good, fmt.Sprintf("None of %s took mmap_lock.", plural(r.Lookups, "lookup"))}
	}
	s := fmt.Sprintf("%s of %s took mmap_lock (%s)", count(r.Fallbacks), plural(r.Lookups, "lookup"), share(r.Fallbacks, r.Lookups))
	if !r.Untimed {
		s += fmt.Sprintf(" and waited %s for it, at worst %s", span(r.LockWait.Total), span(r.LockWait.Max))
	}
	s += "."
	if res.Trace.TakesLock {
		s += " " + takesLockSentence(res.Trace.Kernel)
	}
	return finding{strong, s}
}

// takesLockSentence says that a kernel looks up under the lock alone.
func takesLockSentence(release string) string {
	kernel := "The recorded kernel"
	if release != "" {
		kernel += ", " + printable(release) + ","
	}
	return kernel + " takes mmap_lock for each lookup, as those before 6.14 do."
}

// waitSentence says how long all others waited.
func waitSentence(r *timeline.Recording) string {
	waits := func(who string, d dist.Dist) string {
		return fmt.Sprintf("%s waited %s in %s, at worst %s", who, span(d.Total), plural(d.Count, "section"), span(d.Max))
	}
	var all []string
	if r.WriterWait.Count > 0 {
		all = append(all, waits("writers", r.WriterWait))
	}
	readers, who := r.ReaderWait, "other readers"
	if !r.Outcomes {
		who = "readers, lookups among them,"
		readers.Count += r.LockWait.Count
		readers.Total += r.LockWait.Total
		readers.Max = max(readers.Max, r.LockWait.Max)
	}
	if readers.Count > 0 {
		all = append(all, waits(who, readers))
	}
	if len(all) == 0 {
		return "Nobody else asked for it."
	}
	s := strings.Join(all, "; ") + "."
	return strings.ToUpper(s[:1]) + s[1:]
}

func longestSentence(w *timeline.LongestWait) string {
	s := fmt.Sprintf("The longest wait: %s (tid %d) wanted it%s and waited %s, from %s on.",
		printable(w.Comm), w.TID, purpose(w.Kind), span(w.Wait), span(w.At))
	h := w.Holder
	if h == nil {
		return s + " Nobody was seen with the lock meanwhile."
	}
	s += fmt.Sprintf(" For %s of that %s (tid %d) had it%s", span(w.HolderFor), printable(h.Comm), h.TID, purpose(h.Kind))
	if w.Hold > 0 {
		s += fmt.Sprintf(", a hold of %s", span(w.Hold))
	}
	if rest := w.Wait - w.InWay; 10*rest > w.Wait {
		s += fmt.Sprintf("; for %s nobody was seen with it: the thread was being woken, or the holder was not recorded", span(rest))
	}
	return s + "."
}

// purpose is what the lock was taken for, where that is known.
func purpose(kind string) string {
	if kind == timeline.UnknownKind {
		return ""
	}
	return " for " + kind
}

// measureSentence says what a wait is, and how short one tells nothing.
func measureSentence(r *timeline.Recording) string {
	s := "A wait is from lock_start to lock_acquired, recording the former included"
	if r.Unblocked.Count == 0 {
		return s + "."
	}
	return fmt.Sprintf("%s: %s in which nobody was seen with the lock took %s, half of them no more than %s.",
		s, plural(r.Unblocked.Count, "wait"), span(r.Unblocked.Total), span(r.Unblocked.P50))
}

// whyDifferent says why simulated and recorded waits of lookups differ, with how much of
// the recorded ones each reason is.
func whyDifferent(res *replay.Result, r *replay.Run) string {
	rec := res.Recorded
	s := "Why that is not what was recorded: "
	if rec.Outcomes && rec.LockWait.Count > 0 {
		if res.Trace.TakesLock {
			s += "the recorded kernel takes mmap_lock for each lookup, as locked does here; "
		}
		inWay, recording := rec.InWay.Lookup, min(sim.Time(rec.LockWait.Count)*rec.Unblocked.P50, rec.LockWait.Total-rec.InWay.Lookup)
		s += fmt.Sprintf("of the %s that lookups waited then, somebody was seen with the lock for %s; recording their lock_starts took about %s of it, and waking up the other %s. ",
			span(rec.LockWait.Total), span(inWay), span(recording), span(rec.LockWait.Total-inWay-recording))
	}
	s += fmt.Sprintf("The simulated machine is %s, records nothing, and wakes threads as they were woken, where they slept in the recording, and else as an idle CPU does.", printable(res.Machine.Name))
	if rec.Untimed {
		s += " " + modelledSections
	}
	if rec.Foreign > 0 {
		s += fmt.Sprintf(" Nor are threads of other processes in the way there, which cost %s of all recorded waits: it knows an address space by its process.", span(rec.Foreign))
	}
	return s
}

// party is all that threads of one name did in one way, for tables that stay short.
type party struct {
	comm, what, mode string
	tids             map[int32]bool
	count            int64
	total, max       sim.Time
	blocked          int64
	blockedTime      sim.Time
	stack            []string // of the one that cost most
}

// tid is the thread's id, or how many there are.
func (p *party) tid() string { return threads(p.tids) }

// parties groups what add is called for.
type parties struct {
	all []*party
	at  map[[3]string]*party
}

func (g *parties) add(comm, what, mode string, tid int32, times int64, d *Dist) *party {
	key := [3]string{comm, what, mode}
	p := g.at[key]
	if p == nil {
		if g.at == nil {
			g.at = map[[3]string]*party{}
		}
		p = &party{comm: comm, what: what, mode: mode, tids: map[int32]bool{}}
		g.at[key] = p
		g.all = append(g.all, p)
	}
	p.tids[tid] = true
	p.count += times
	p.total += sim.Time(d.Total)
	if d.Max != nil {
		p.max = max(p.max, sim.Time(*d.Max))
	}
	return p
}

// waiterParties are the waiters, the longest first.
func waiterParties(r *Recorded) []*party {
	var g parties
	for i := range r.Waiters {
		w := &r.Waiters[i]
		g.add(w.Comm, w.Access, "", w.TID, w.Waits, &w.WaitNs)
	}
	slices.SortStableFunc(g.all, func(a, b *party) int { return -cmp.Compare(a.total, b.total) })
	return g.all
}

// holderParties are the holders, those that cost most first.
func holderParties(r *Recorded) []*party {
	var g parties
	for i := range r.Holders {
		h := &r.Holders[i]
		p := g.add(h.Comm, h.Kind, h.Mode, h.TID, h.Holds, &h.HoldNs)
		p.blocked += h.Blocked
		p.blockedTime += sim.Time(h.BlockedNs)
		if p.stack == nil {
			p.stack = h.Stack
		}
	}
	slices.SortStableFunc(g.all, func(a, b *party) int { return -cmp.Compare(a.blockedTime, b.blockedTime) })
	return g.all
}

// lockPath shows how a thread came to mmap_lock: the kernel's part of its stack, leaf
// first, or else the program's.
func lockPath(traced []string) string {
	var kernel []string
	for _, f := range parseStack(traced) {
		if f.kernel() && f.named() {
			kernel = append(kernel, printable(f.label()))
		}
	}
	if len(kernel) == 0 {
		return callers(traced)
	}
	return strings.Join(kernel, " < ")
}

// recorded writes what was recorded, before what was simulated.
func (t *textReport) recorded(res *replay.Result) {
	t.title(recordedTitle)
	for _, f := range recordedFindings(res) {
		t.para(f.emphasis, "  ", f.text)
	}
	if res.Recorded.Untimed {
		return
	}
	r := newRecorded(res.Recorded)
	t.waiters(waiterParties(r))
	t.holders(holderParties(r))
}

func (t *textReport) waiters(all []*party) {
	if len(all) == 0 {
		return
	}
	t.title("Who waited for mmap_lock")
	cols := []column{
		{name: "thread", width: 16}, {name: "tid", figure: true}, {name: "access", width: 6}, {name: "waits", figure: true},
		{name: "waited", figure: true}, {name: "at worst", figure: true},
	}
	var rows [][]string
	shown := all[:min(len(all), recordedRows)]
	for _, p := range shown {
		rows = append(rows, []string{printable(p.comm), p.tid(), p.what, count(p.count), span(p.total), span(p.max)})
	}
	t.table(cols, rows)
	t.more(len(all) - len(shown))
}

// recordedRows is how many rows each of its tables has.
const recordedRows = 6

func (t *textReport) holders(all []*party) {
	if len(all) == 0 {
		t.para(good, "  ", "Nobody was seen with the lock while another waited.")
		return
	}
	t.title("Who had it meanwhile")
	cols := []column{
		{name: "thread", width: 15}, {name: "tid", figure: true}, {name: "operation", width: 10}, {name: "mode"}, {name: "holds", figure: true},
		{name: "longest", figure: true}, {name: "blocked", figure: true}, {name: "for", figure: true},
	}
	var rows [][]string
	shown := all[:min(len(all), recordedRows)]
	for _, p := range shown {
		rows = append(rows, []string{
			printable(p.comm), p.tid(), p.what, p.mode, count(p.count), span(p.max), count(p.blocked), span(p.blockedTime),
		})
	}
	t.table(cols, rows)
	for _, p := range shown {
		if from := lockPath(p.stack); from != "" {
			t.para(plain, "  ", clip(fmt.Sprintf("%s %s: %s", printable(p.comm), p.what, from), t.width-2))
		}
	}
	t.more(len(all) - len(shown))
}

// recordedPage is the same on the page.
type recordedPage struct {
	Title    string
	Findings []string
	Chart    *chart // nil for none
	Tables   []pageTable
}

func newRecordedPage(res *replay.Result) *recordedPage {
	p := &recordedPage{Title: recordedTitle}
	for _, f := range recordedFindings(res) {
		p.Findings = append(p.Findings, f.text)
	}
	if res.Recorded.Untimed {
		return p
	}
	r := newRecorded(res.Recorded)
	for _, t := range []*pageTable{waiterTable(waiterParties(r)).cut(), holderTable(holderParties(r)).cut(), worstTable(*r.Worst)} {
		if len(t.Rows) > 0 {
			p.Tables = append(p.Tables, *t)
		}
	}
	return p
}

func waiterTable(all []*party) *pageTable {
	t := &pageTable{
		Title:   "Who waited for mmap_lock",
		Columns: []pageColumn{words("thread"), number("tid"), words("access"), number("waits"), number("waited"), number("at worst")},
	}
	for _, p := range all {
		t.add(nil, p.comm, p.tid(), p.what, count(p.count), span(p.total), span(p.max))
	}
	return t
}

func holderTable(all []*party) *pageTable {
	t := &pageTable{
		Title: "Who had it meanwhile",
		Hint:  "Threads that had mmap_lock while others waited for it, dearest first. Where several readers had it at once, each was in the way.",
		Columns: []pageColumn{
			words("thread"), number("tid"), words("operation"), words("mode"), number("holds"), number("held"), number("longest"), number("waits blocked"), number("for"),
		},
	}
	for _, p := range all {
		t.add(oneStack(p.stack), p.comm, p.tid(), p.what, p.mode, count(p.count), span(p.total), span(p.max), count(p.blocked), span(p.blockedTime))
	}
	return t
}

// worstTable are the longest waits, each with who was in the way.
func worstTable(worst []WorstWait) *pageTable {
	t := &pageTable{
		Title:   "The longest waits",
		Hint:    "With where it was wanted. replay explain tells more of each: the syscall's arguments, what was mapped there, who ran meanwhile.",
		Columns: []pageColumn{words("thread"), number("tid"), words("wanted for"), words("access"), number("at"), number("waited"), words("behind"), number("for"), number("nobody seen")},
	}
	for i := range worst {
		w := &worst[i]
		behind, longest := "nobody that was seen", Nanos(0)
		for j := range w.Behind {
			if b := &w.Behind[j]; b.ForNs > longest {
				longest = b.ForNs
				behind = fmt.Sprintf("%s (tid %d) for %s", b.Comm, b.TID, b.Kind)
			}
		}
		if more := len(w.Behind) - 1; more > 0 {
			behind += fmt.Sprintf(" and %d more", more)
		}
		t.add(oneStack(w.Stack), w.Comm, fmt.Sprint(w.TID), w.Kind, w.Access, moment(w.AtNs), span(sim.Time(w.WaitNs)), behind, span(sim.Time(longest)), span(sim.Time(w.WaitNs-w.InWayNs)))
	}
	return t
}
