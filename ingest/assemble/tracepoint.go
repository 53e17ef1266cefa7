package assemble

import (
	"strings"

	"github.com/replay/replay/traces"
)

// Tracepoint says what the records of a tracepoint become.
type Tracepoint struct {
	Kind   traces.Kind
	Phase  Phase
	fields []Field
	spare  []Field
}

// Field sets a column from a numeric field of a tracepoint.
type Field struct {
	Name string
	Set  func(*Record, uint64)
}

// Field returns the field of that name, or nil when no column takes it.
func (t *Tracepoint) Field(name string) *Field {
	for i := range t.fields {
		if t.fields[i].Name == name {
			return &t.fields[i]
		}
	}
	return nil
}

// Fields lists the fields that columns take.
func (t *Tracepoint) Fields() []Field { return t.fields }

// Spare lists those that tell something besides columns, which a source may lack.
func (t *Tracepoint) Spare() []Field { return t.spare }

func setAddr(r *Record, v uint64)    { r.Addr = v; r.Has |= traces.ColAddr }
func setLen(r *Record, v uint64)     { r.Len = v; r.Has |= traces.ColLen }
func setPgoff(r *Record, v uint64)   { r.Pgoff = v; r.Has |= traces.ColPgoff }
func setNewAddr(r *Record, v uint64) { r.NewAddr = v; r.Has |= traces.ColNewAddr }
func setNewLen(r *Record, v uint64)  { r.NewLen = v; r.Has |= traces.ColNewLen }
func setProt(r *Record, v uint64)    { r.Prot = int32(v); r.Has |= traces.ColProt }
func setFlags(r *Record, v uint64)   { r.Flags = int32(v); r.Has |= traces.ColFlags }
func setAdvice(r *Record, v uint64)  { r.Advice = int32(v); r.Has |= traces.ColAdvice }
func setRet(r *Record, v uint64)     { r.Ret = int64(v); r.Has |= traces.ColRet }
func setMm(r *Record, v uint64)      { r.Mm = v; r.Has |= traces.ColMm }
func setWrite(r *Record, v uint64)   { r.Write = v != 0; r.Has |= traces.ColWrite }

// setChild takes a pid_t, which is signed and 32 bits wide.
func setChild(r *Record, v uint64) { r.Ret = int64(int32(v)); r.Has |= traces.ColRet }

// setParent takes parent_pid, which is printed as pid.
func setParent(r *Record, v uint64) { r.Parent = int32(v) }

// eintr is what a killable lock attempt that failed returns.
const eintr = 4

// setSuccess notes an attempt that did not get the lock.
func setSuccess(r *Record, v uint64) {
	if v == 0 {
		r.Ret = -eintr
		r.Has |= traces.ColRet
	}
}

// Syscall is one that changes address spaces.
type Syscall struct {
	Kind traces.Kind // which is called what the syscall is
	Args []Field     // as its tracepoint names them; Set is nil where no column takes one
}

// Syscalls lists them.
var Syscalls = []Syscall{
	{traces.Mmap, []Field{{"addr", setAddr}, {"len", setLen}, {"prot", setProt}, {"flags", setFlags}, {"fd", nil}, {"off", setPgoff}}},
	{traces.Munmap, []Field{{"addr", setAddr}, {"len", setLen}}},
	{traces.Mprotect, []Field{{"start", setAddr}, {"len", setLen}, {"prot", setProt}}},
	{traces.Mremap, []Field{{"addr", setAddr}, {"old_len", setLen}, {"new_len", setNewLen}, {"flags", setFlags}, {"new_addr", setNewAddr}}},
	{traces.Brk, []Field{{"brk", setAddr}}},
	{traces.Madvise, []Field{{"start", setAddr}, {"len_in", setLen}, {"behavior", setAdvice}}},
}

// Enter and Leave are the tracepoints of its entry and exit.
func (s Syscall) Enter() string { return "syscalls:sys_enter_" + s.Kind.String() }
func (s Syscall) Leave() string { return "syscalls:sys_exit_" + s.Kind.String() }

func init() {
	for _, s := range Syscalls {
		enter := &Tracepoint{Kind: s.Kind, Phase: Enter}
		for _, f := range s.Args {
			if f.Set != nil {
				enter.fields = append(enter.fields, f)
			}
		}
		tracepoints[s.Enter()] = enter
		tracepoints[s.Leave()] = &Tracepoint{Kind: s.Kind, Phase: Leave, fields: []Field{{"ret", setRet}}}
	}
}

// tracepoints are all that rows are made of, by name; init adds those of the syscalls.
var tracepoints = map[string]*Tracepoint{
	"sched:sched_process_fork": {Kind: traces.Fork, fields: []Field{{"child_pid", setChild}}, spare: []Field{{"parent_pid", setParent}, {"pid", setParent}}},
	"sched:sched_process_exec": {Kind: traces.Exec},
	"sched:sched_process_exit": {Kind: traces.Exit},

	"mmap_lock:mmap_lock_start_locking":    {Kind: traces.LockStart, fields: []Field{{"mm", setMm}, {"write", setWrite}}},
	"mmap_lock:mmap_lock_acquire_returned": {Kind: traces.LockAcquired, fields: []Field{{"mm", setMm}, {"write", setWrite}, {"success", setSuccess}}},
	"mmap_lock:mmap_lock_released":         {Kind: traces.LockReleased, fields: []Field{{"mm", setMm}, {"write", setWrite}}},
}

// Dynamic events have no fixed names. Their fields tell uprobes from uretprobes,
// and their addresses from kprobes (trace_probe.h, FIELD_STRING_IP and others).
const (
	FieldIP    = "__probe_ip"     // uprobe: the probed instruction
	FieldFunc  = "__probe_func"   // uretprobe: the probed function
	FieldRetIP = "__probe_ret_ip" // uretprobe: where it returned to
)

// arriveFunction is the kernel function that a hit passes before its lookup.
const arriveFunction = "uprobe_notify_resume"

var (
	hitPoint    = &Tracepoint{Kind: traces.Hit, fields: []Field{{FieldIP, setAddr}}}
	retPoint    = &Tracepoint{Kind: traces.Ret, fields: []Field{{FieldFunc, setAddr}}}
	arrivePoint = &Tracepoint{Kind: traces.Arrive}
)

// Lookup returns what a tracepoint of the name, such as
// "syscalls:sys_enter_mmap", becomes, and false for one that no row is made of.
// fields are the names of its fields, as far as the source knows them: a dynamic
// event is recognised by them.
func Lookup(name string, fields []string) (*Tracepoint, bool) {
	if t := tracepoints[name]; t != nil {
		return t, true
	}
	for _, f := range fields {
		switch f {
		case FieldFunc, FieldRetIP:
			return retPoint, true
		case FieldIP:
			return probePoint(name), true
		}
	}
	return nil, false
}

// probePoint tells a probe on the way of every hit from others.
func probePoint(name string) *Tracepoint {
	if strings.Contains(name, arriveFunction) {
		return arrivePoint
	}
	return hitPoint
}

// KernelAddress reports whether addr is in the kernel's half, where kprobes are.
func KernelAddress(addr uint64) bool { return addr>>63 != 0 }

// captureGroup begins the group of the probes that replay capture adds; the id of its
// process follows.
const captureGroup = "replay_"

// ProbeName leaves the process of a capture out of a probe's name, so that the same
// probe has the same name in the next capture.
func ProbeName(recorded string) string {
	group, name, _ := strings.Cut(recorded, ":")
	id, ours := strings.CutPrefix(group, captureGroup)
	if !ours || id == "" || strings.Trim(id, "0123456789") != "" || len(group) == len(recorded) {
		return recorded
	}
	return "replay:" + name
}
