package traces

import "unsafe"

// column ties a column of the store to the field of Event that holds its
// values. Exactly one of the accessors is set; it decides the column's type.
type column struct {
	name string
	bit  Columns // 0 for a column that is present in every row

	i32   func(*Event) *int32
	i64   func(*Event) *int64
	u64   func(*Event) *uint64
	flag  func(*Event) *bool
	text  func(*Event) *string
	kind  func(*Event) *Kind
	stack func(*Event) *[]string

	// delta says that numbers are stored as differences: those that are sorted or
	// repeat. The rest of the numbers is left to zstd, and names have a dictionary.
	delta bool
}

// offset is where the accessor's field is in an Event.
func (c *column) offset() uintptr {
	var e Event
	var field unsafe.Pointer
	switch {
	case c.i32 != nil:
		field = unsafe.Pointer(c.i32(&e))
	case c.i64 != nil:
		field = unsafe.Pointer(c.i64(&e))
	case c.u64 != nil:
		field = unsafe.Pointer(c.u64(&e))
	case c.flag != nil:
		field = unsafe.Pointer(c.flag(&e))
	case c.text != nil:
		field = unsafe.Pointer(c.text(&e))
	case c.kind != nil:
		field = unsafe.Pointer(c.kind(&e))
	default:
		field = unsafe.Pointer(c.stack(&e))
	}
	return uintptr(field) - uintptr(unsafe.Pointer(&e))
}

// columns is every column in the order of the schema; the writer, the reader
// and the text twin all go by it.
var columns = []column{
	{name: "time_ns", i64: func(e *Event) *int64 { return &e.Time }, delta: true},
	{name: "seq", i64: func(e *Event) *int64 { return &e.Seq }, delta: true},
	{name: "cpu", bit: ColCPU, i32: func(e *Event) *int32 { return &e.CPU }, delta: true},
	{name: "pid", bit: ColPID, i32: func(e *Event) *int32 { return &e.PID }, delta: true},
	{name: "tid", bit: ColTID, i32: func(e *Event) *int32 { return &e.TID }, delta: true},
	{name: "comm", bit: ColComm, text: func(e *Event) *string { return &e.Comm }},
	{name: "kind", kind: func(e *Event) *Kind { return &e.Kind }},
	{name: "dur_ns", bit: ColDur, i64: func(e *Event) *int64 { return &e.Dur }},
	{name: "addr", bit: ColAddr, u64: func(e *Event) *uint64 { return &e.Addr }},
	{name: "len", bit: ColLen, u64: func(e *Event) *uint64 { return &e.Len }},
	{name: "pgoff", bit: ColPgoff, u64: func(e *Event) *uint64 { return &e.Pgoff }},
	{name: "new_addr", bit: ColNewAddr, u64: func(e *Event) *uint64 { return &e.NewAddr }},
	{name: "new_len", bit: ColNewLen, u64: func(e *Event) *uint64 { return &e.NewLen }},
	{name: "prot", bit: ColProt, i32: func(e *Event) *int32 { return &e.Prot }, delta: true},
	{name: "flags", bit: ColFlags, i32: func(e *Event) *int32 { return &e.Flags }, delta: true},
	{name: "advice", bit: ColAdvice, i32: func(e *Event) *int32 { return &e.Advice }, delta: true},
	{name: "ret", bit: ColRet, i64: func(e *Event) *int64 { return &e.Ret }},
	{name: "dev_major", bit: ColDevMajor, i32: func(e *Event) *int32 { return &e.DevMajor }, delta: true},
	{name: "dev_minor", bit: ColDevMinor, i32: func(e *Event) *int32 { return &e.DevMinor }, delta: true},
	{name: "inode", bit: ColInode, u64: func(e *Event) *uint64 { return &e.Inode }, delta: true},
	{name: "inode_gen", bit: ColInodeGen, u64: func(e *Event) *uint64 { return &e.InodeGen }, delta: true},
	{name: "path", bit: ColPath, text: func(e *Event) *string { return &e.Path }},
	{name: "build_id", bit: ColBuildID, text: func(e *Event) *string { return &e.BuildID }},
	{name: "probe", bit: ColProbe, text: func(e *Event) *string { return &e.Probe }},
	{name: "mm", bit: ColMm, u64: func(e *Event) *uint64 { return &e.Mm }, delta: true},
	{name: "write", bit: ColWrite, flag: func(e *Event) *bool { return &e.Write }},
	{name: "in_uprobe", bit: ColInUprobe, flag: func(e *Event) *bool { return &e.InUprobe }},
	{name: "trap", bit: ColTrap, i64: func(e *Event) *int64 { return &e.Trap }, delta: true},
	{name: "stack", bit: ColStack, stack: func(e *Event) *[]string { return &e.Stack }},
	{name: "src", bit: ColSrc, i32: func(e *Event) *int32 { return &e.Src }, delta: true},
	{name: "src_pos", bit: ColSrcPos, i64: func(e *Event) *int64 { return &e.SrcPos }, delta: true},
}
