package traces

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// FindingsMax is the number of findings that an InvalidError tells of; it counts
// the rest.
const FindingsMax = 20

// Finding is a row that breaks a rule of the schema.
type Finding struct {
	Row  int64 // position in the stream, from 0
	Kind Kind
	What string // the rule and how it is broken
}

// String returns the finding as one line.
func (f Finding) String() string { return fmt.Sprintf("row %d (%s): %s", f.Row, f.Kind, f.What) }

// InvalidError is the error for a trace that can be read but breaks rules of the
// schema.
type InvalidError struct {
	Findings []Finding // the first FindingsMax
	Total    int64
}

// Error returns the findings, one to a line.
func (e *InvalidError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "invalid trace: %d findings", e.Total)
	for _, f := range e.Findings {
		b.WriteString("\n  " + f.String())
	}
	if rest := e.Total - int64(len(e.Findings)); rest > 0 {
		fmt.Fprintf(&b, "\n  and %d more", rest)
	}
	return b.String()
}

// Validate reads all of a stream, every column of it, and holds each row to the
// rules of the schema, which are stricter than what the readers need: the total
// order with seq dense from 0, the columns that a row of its kind has and those
// it cannot have, and values that contradict each other. It returns an
// *InvalidError for broken rules, or the error of the stream.
func Validate(s Stream) error {
	v := validator{ends: map[int32]int64{}, traps: map[int32]trapStart{}}
	var ev Event
	for {
		err := s.Next(&ev)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		v.check(&ev)
		v.row++
	}
	v.checkMeta(s.Meta())
	if v.total > 0 {
		return &InvalidError{Findings: v.findings, Total: v.total}
	}
	return nil
}

type validator struct {
	row      int64
	ev       *Event
	time     int64 // of the row before
	cpu      int32
	ends     map[int32]int64     // by thread: when its last syscall ended
	traps    map[int32]trapStart // by thread: its latest
	src      Finding             // the row with the largest src
	srcMax   int32
	findings []Finding
	total    int64
}

func (v *validator) report(format string, args ...any) {
	v.add(Finding{Row: v.row, Kind: v.ev.Kind, What: fmt.Sprintf(format, args...)})
}

func (v *validator) add(f Finding) {
	if v.total++; len(v.findings) < FindingsMax {
		v.findings = append(v.findings, f)
	}
}

func (v *validator) check(ev *Event) {
	v.ev = ev
	v.checkOrder()
	if ev.Kind == NoKind || ev.Kind >= numKinds {
		v.report("no such kind")
		return
	}
	v.checkColumns()
	v.checkValues()
	switch {
	case ev.Kind.IsSyscall():
		v.checkSyscall()
	case ev.Kind == Map:
		v.checkRange("addr", ev.Addr, ev.Len)
	case ev.Kind == Fork && ev.Ret <= 0:
		v.report("ret is %d; it is the child's id", ev.Ret)
	case (ev.Kind == Hit || ev.Kind == Ret || ev.Kind == Arrive) && ev.Has&(ColAddr|ColProbe) == 0:
		v.report("neither addr nor probe says what was hit")
	}
}

// checkOrder does not use Compare, so that a mistake there shows.
func (v *validator) checkOrder() {
	ev := v.ev
	cpu := int32(-1)
	if ev.Got(ColCPU) {
		cpu = ev.CPU
	}
	if v.row > 0 && (ev.Time < v.time || ev.Time == v.time && cpu < v.cpu) {
		v.report("(time_ns, cpu) is (%d, %d) after (%d, %d)", ev.Time, cpu, v.time, v.cpu)
	}
	if ev.Seq != v.row {
		v.report("seq is %d, not the row's number", ev.Seq)
	}
	v.time, v.cpu = ev.Time, cpu
}

// needs is the columns without which a row of its kind means nothing. Syscalls
// have rules of their own.
var needs = [numKinds]Columns{
	Hit: ColTID, Ret: ColTID, Arrive: ColTID,
	Mmap: ColTID, Munmap: ColTID, Mprotect: ColTID, Mremap: ColTID, Brk: ColTID, Madvise: ColTID,
	Fork: ColTID | ColRet, Exec: ColTID, Exit: ColTID,
	Map:       ColPID | ColAddr | ColLen,
	LockStart: ColTID | ColWrite, LockAcquired: ColTID | ColWrite, LockReleased: ColTID | ColWrite,
}

// kept is the columns that only rows of some kinds have.
var kept = []struct {
	cols  Columns
	kinds []Kind
}{
	{ColAdvice, []Kind{Madvise}},
	{ColNewAddr | ColNewLen, []Kind{Mremap}},
	{ColWrite, []Kind{LockStart, LockAcquired, LockReleased}},
	{ColInUprobe, []Kind{LockStart}},
	{ColTrap, []Kind{Hit}},
	{ColProbe, []Kind{Hit, Ret, Arrive}},
	{ColProt, []Kind{Mmap, Mprotect, Map}},
	{ColLen, []Kind{Mmap, Munmap, Mprotect, Mremap, Madvise, Map}},
}

func (v *validator) checkColumns() {
	ev := v.ev
	if ev.Has&^AllColumns != 0 {
		v.report("has columns that the schema has not: %#x", uint64(ev.Has&^AllColumns))
	}
	if missing := needs[ev.Kind] &^ ev.Has; missing != 0 {
		v.report("lacks %s", missing)
	}
	for _, k := range kept {
		if got := ev.Has & k.cols; got != 0 && !slices.Contains(k.kinds, ev.Kind) {
			v.report("has %s, which only rows of kind %v have", got, k.kinds)
		}
	}
}

// checkValues checks what holds for a column in rows of any kind.
func (v *validator) checkValues() {
	ev := v.ev
	if ev.Time < 0 {
		v.report("time_ns is %d", ev.Time)
	}
	for i := range columns {
		c := &columns[i]
		if c.bit&(ColCPU|ColPID|ColTID|ColSrc) != 0 && ev.Got(c.bit) && *c.i32(ev) < 0 {
			v.report("%s is %d", c.name, *c.i32(ev))
		}
		if c.bit&(ColDur|ColSrcPos) != 0 && ev.Got(c.bit) && *c.i64(ev) < 0 {
			v.report("%s is %d", c.name, *c.i64(ev))
		}
	}
	v.checkTrap()
	if ev.Got(ColBuildID) && (ev.BuildID == "" || strings.Trim(ev.BuildID, "0123456789abcdef") != "") {
		v.report("build_id %q is not in hexadecimal", clip(ev.BuildID))
	}
	if group, name, ok := strings.Cut(ev.Probe, ":"); ev.Got(ColProbe) && (!ok || group == "" || name == "") {
		v.report("probe %q is not of the form group:name", clip(ev.Probe))
	}
	for i, frame := range ev.Stack {
		if frame == "" && ev.Got(ColStack) {
			v.report("frame %d of the stack is empty", i)
		}
	}
	if ev.Got(ColSrc) && (ev.Src > v.srcMax || v.src.What == "") {
		v.srcMax = ev.Src
		v.src = Finding{Row: v.row, Kind: ev.Kind, What: fmt.Sprintf("src is %d", ev.Src)}
	}
}

// checkTrap checks that a hit that shares a trap names the first hit of it, which is
// the thread's latest that shares none, at the same address.
func (v *validator) checkTrap() {
	ev := v.ev
	if ev.Kind != Hit {
		return
	}
	switch first, ok := v.traps[ev.TID]; {
	case !ev.Got(ColTrap):
		v.traps[ev.TID] = trapStart{ev.Seq, ev.Addr}
	case ev.Trap < 0 || ev.Trap >= ev.Seq:
		v.report("trap is %d, which is no earlier row", ev.Trap)
	case !ok || first.seq != ev.Trap:
		v.report("trap is %d, which is not where the latest trap of thread %d begins", ev.Trap, ev.TID)
	case first.addr != ev.Addr:
		v.report("trap is %d, which is at another address, %#x", ev.Trap, first.addr)
	}
}

// trapStart is the first event of a trap.
type trapStart struct {
	seq  int64
	addr uint64
}

// arguments is the columns that tell what a syscall was asked for, as its entry
// is recorded.
var arguments = [numKinds]Columns{
	Mmap: ColLen | ColProt | ColFlags, Munmap: ColAddr | ColLen, Mprotect: ColAddr | ColLen | ColProt,
	Mremap: ColAddr | ColLen, Madvise: ColAddr | ColLen | ColAdvice,
}

// checkSyscall checks a syscall: a whole one has its arguments, dur_ns and ret;
// of one without an exit there are only the arguments, of one without an entry
// only ret.
func (v *validator) checkSyscall() {
	ev := v.ev
	whole, entered := ev.Got(ColDur), ev.Got(ColDur) || !ev.Got(ColRet)
	if whole && !ev.Got(ColRet) {
		v.report("has dur_ns but no ret")
	}
	if missing := arguments[ev.Kind] &^ ev.Has; entered && missing != 0 {
		v.report("lacks %s", missing)
	}
	if ev.Got(ColAddr | ColLen) {
		v.checkRange("addr", ev.Addr, ev.Len)
	}
	if whole && ev.Got(ColRet) && !failed(ev.Ret) {
		v.checkResult()
	}
	if !ev.Got(ColTID) {
		return
	}
	if end, ok := v.ends[ev.TID]; ok && entered && ev.Time < end {
		v.report("thread %d is still in a syscall until %d", ev.TID, end)
	}
	if whole {
		v.ends[ev.TID] = ev.Time + ev.Dur
	}
}

// checkResult checks the outcome of a syscall that succeeded.
func (v *validator) checkResult() {
	ev := v.ev
	switch ev.Kind {
	case Mmap:
		if !ev.Got(ColAddr) || ev.Addr != uint64(ev.Ret) {
			v.report("addr is %#x and ret %#x; both are the result", ev.Addr, uint64(ev.Ret))
		}
	case Mremap:
		if !ev.Got(ColNewAddr|ColNewLen) || ev.NewAddr != uint64(ev.Ret) {
			v.report("new_addr is %#x and ret %#x; both are the result, and new_len is there", ev.NewAddr, uint64(ev.Ret))
		}
		v.checkRange("new_addr", ev.NewAddr, ev.NewLen)
	case Munmap, Mprotect, Madvise:
		if ev.Ret != 0 {
			v.report("ret is %d, which is neither success nor an error number", ev.Ret)
		}
	}
}

// failed reports whether a syscall's result is an error number (IS_ERR_VALUE in
// include/linux/err.h).
func failed(ret int64) bool { return ret < 0 && ret >= -4095 }

// checkRange checks that a range of user addresses ends within the address
// space. A syscall that failed may have been asked for any other.
func (v *validator) checkRange(name string, addr, length uint64) {
	if v.ev.Got(ColRet) && failed(v.ev.Ret) {
		return
	}
	if addr+length < addr {
		v.report("%s %#x and %#x bytes go beyond the address space", name, addr, length)
	}
}

// checkMeta checks the metadata, which is complete after the last row.
func (v *validator) checkMeta(m Meta) {
	if v.src.What != "" && int(v.srcMax) >= len(m.Sources) {
		v.src.What += fmt.Sprintf(", and the metadata has %d sources", len(m.Sources))
		v.add(v.src)
	}
	if m.Schema != Schema {
		v.ev = &Event{}
		v.report("the metadata's schema is %d, not %d", m.Schema, Schema)
	}
}

// String returns the names of the columns, with commas.
func (c Columns) String() string {
	var names []string
	for i := range columns {
		if columns[i].bit != 0 && c&columns[i].bit != 0 {
			names = append(names, columns[i].name)
		}
	}
	return strings.Join(names, ", ")
}
