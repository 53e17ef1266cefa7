package traces

import (
	"unsafe"

	"github.com/parquet-go/parquet-go"
)

// row is the store's schema: parquet-go derives the columns, their order and
// their encodings from it. Rows themselves go through the columns table, never
// through this type.
//
// Sorted columns and numbers that repeat are delta-encoded, which takes less time
// than to look them up in a dictionary; names have one, and the rest is left to zstd.
type row struct {
	TimeNs   int64    `parquet:"time_ns,delta"`
	Seq      int64    `parquet:"seq,delta"`
	CPU      int32    `parquet:"cpu,optional,delta"`
	PID      int32    `parquet:"pid,optional,delta"`
	TID      int32    `parquet:"tid,optional,delta"`
	Comm     string   `parquet:"comm,optional,dict"`
	Kind     string   `parquet:"kind,dict"`
	DurNs    int64    `parquet:"dur_ns,optional"`
	Addr     uint64   `parquet:"addr,optional"`
	Len      uint64   `parquet:"len,optional"`
	Pgoff    uint64   `parquet:"pgoff,optional"`
	NewAddr  uint64   `parquet:"new_addr,optional"`
	NewLen   uint64   `parquet:"new_len,optional"`
	Prot     int32    `parquet:"prot,optional,delta"`
	Flags    int32    `parquet:"flags,optional,delta"`
	Advice   int32    `parquet:"advice,optional,delta"`
	Ret      int64    `parquet:"ret,optional"`
	DevMajor int32    `parquet:"dev_major,optional,delta"`
	DevMinor int32    `parquet:"dev_minor,optional,delta"`
	Inode    uint64   `parquet:"inode,optional,delta"`
	InodeGen uint64   `parquet:"inode_gen,optional,delta"`
	Path     string   `parquet:"path,optional,dict"`
	BuildID  string   `parquet:"build_id,optional,dict"`
	Probe    string   `parquet:"probe,optional,dict"`
	Mm       uint64   `parquet:"mm,optional,delta"`
	Write    bool     `parquet:"write,optional"`
	InUprobe bool     `parquet:"in_uprobe,optional"`
	Trap     int64    `parquet:"trap,optional,delta"`
	Stack    []string `parquet:"stack,list,optional" parquet-element:",dict"`
	Src      int32    `parquet:"src,optional,delta"`
	SrcPos   int64    `parquet:"src_pos,optional,delta"`
}

// newSchema returns the schema of a file that this package writes.
func newSchema() *parquet.Schema {
	return parquet.NewSchema("event", parquet.SchemaOf(row{}))
}

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

	at uintptr // of the accessor's field in Event
}

func init() {
	for i := range columns {
		columns[i].at = columns[i].offset()
	}
}

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
	{name: "time_ns", i64: func(e *Event) *int64 { return &e.Time }},
	{name: "seq", i64: func(e *Event) *int64 { return &e.Seq }},
	{name: "cpu", bit: ColCPU, i32: func(e *Event) *int32 { return &e.CPU }},
	{name: "pid", bit: ColPID, i32: func(e *Event) *int32 { return &e.PID }},
	{name: "tid", bit: ColTID, i32: func(e *Event) *int32 { return &e.TID }},
	{name: "comm", bit: ColComm, text: func(e *Event) *string { return &e.Comm }},
	{name: "kind", kind: func(e *Event) *Kind { return &e.Kind }},
	{name: "dur_ns", bit: ColDur, i64: func(e *Event) *int64 { return &e.Dur }},
	{name: "addr", bit: ColAddr, u64: func(e *Event) *uint64 { return &e.Addr }},
	{name: "len", bit: ColLen, u64: func(e *Event) *uint64 { return &e.Len }},
	{name: "pgoff", bit: ColPgoff, u64: func(e *Event) *uint64 { return &e.Pgoff }},
	{name: "new_addr", bit: ColNewAddr, u64: func(e *Event) *uint64 { return &e.NewAddr }},
	{name: "new_len", bit: ColNewLen, u64: func(e *Event) *uint64 { return &e.NewLen }},
	{name: "prot", bit: ColProt, i32: func(e *Event) *int32 { return &e.Prot }},
	{name: "flags", bit: ColFlags, i32: func(e *Event) *int32 { return &e.Flags }},
	{name: "advice", bit: ColAdvice, i32: func(e *Event) *int32 { return &e.Advice }},
	{name: "ret", bit: ColRet, i64: func(e *Event) *int64 { return &e.Ret }},
	{name: "dev_major", bit: ColDevMajor, i32: func(e *Event) *int32 { return &e.DevMajor }},
	{name: "dev_minor", bit: ColDevMinor, i32: func(e *Event) *int32 { return &e.DevMinor }},
	{name: "inode", bit: ColInode, u64: func(e *Event) *uint64 { return &e.Inode }},
	{name: "inode_gen", bit: ColInodeGen, u64: func(e *Event) *uint64 { return &e.InodeGen }},
	{name: "path", bit: ColPath, text: func(e *Event) *string { return &e.Path }},
	{name: "build_id", bit: ColBuildID, text: func(e *Event) *string { return &e.BuildID }},
	{name: "probe", bit: ColProbe, text: func(e *Event) *string { return &e.Probe }},
	{name: "mm", bit: ColMm, u64: func(e *Event) *uint64 { return &e.Mm }},
	{name: "write", bit: ColWrite, flag: func(e *Event) *bool { return &e.Write }},
	{name: "in_uprobe", bit: ColInUprobe, flag: func(e *Event) *bool { return &e.InUprobe }},
	{name: "trap", bit: ColTrap, i64: func(e *Event) *int64 { return &e.Trap }},
	{name: "stack", bit: ColStack, stack: func(e *Event) *[]string { return &e.Stack }},
	{name: "src", bit: ColSrc, i32: func(e *Event) *int32 { return &e.Src }},
	{name: "src_pos", bit: ColSrcPos, i64: func(e *Event) *int64 { return &e.SrcPos }},
}
