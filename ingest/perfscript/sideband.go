package perfscript

import (
	"bytes"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// sideBand reads a PERF_RECORD_* line (perf_event__fprintf and what it calls), or
// says what it wanted there.
func (p *Parser) sideBand(r *assemble.Record, b []byte) (used bool, want string) {
	name, rest, _ := bytes.Cut(b, []byte{' '})
	switch {
	case bytes.HasPrefix(name, []byte("PERF_RECORD_MMAP")):
		if bytes.HasPrefix(rest, []byte("-1/")) {
			return false, "" // the kernel's own
		}
		used, want = p.mapping(r, rest), "pid/tid: [address(length) @ offset ...]: rights path"
	case bytes.HasPrefix(name, []byte("PERF_RECORD_COMM")):
		used, want = p.comm(r, rest), "name:pid/tid"
	case bytes.HasPrefix(name, []byte("PERF_RECORD_FORK(")):
		used, want = p.task(r, traces.Fork, name), "PERF_RECORD_FORK(pid:tid):(parent's pid:tid)"
	case bytes.HasPrefix(name, []byte("PERF_RECORD_EXIT(")):
		used, want = p.task(r, traces.Exit, name), "PERF_RECORD_EXIT(pid:tid):(parent's pid:tid)"
	case bytes.HasPrefix(name, []byte("PERF_RECORD_LOST")):
		return p.lost(r, name, rest)
	}
	if used {
		want = ""
	}
	return used, want
}

// lost reads "lost 12". LOST_SAMPLES without a time are the totals at the end,
// which repeat what LOST said in place; a perf that prints no number with them
// tells nothing.
func (p *Parser) lost(r *assemble.Record, name, b []byte) (used bool, want string) {
	p.LostShown = true
	samples := bytes.HasPrefix(name, []byte("PERF_RECORD_LOST_SAMPLES"))
	if samples && len(b) == 0 {
		return false, ""
	}
	n, ok := parseDec(b[bytes.LastIndexByte(b, ' ')+1:])
	switch {
	case !ok:
		return false, "lost and a number"
	case samples && r.Time == 0:
		p.LostTotal += n
		return false, ""
	case !samples:
		p.Lost += n
	}
	r.Kind, r.Ret = traces.Lost, n
	r.Has &= traces.ColCPU | traces.ColSrcPos
	r.Has |= traces.ColRet
	return true, ""
}

// mapping reads "pid/tid: [0xaddr(0xlen) @ pgoff maj:min ino gen]: r-xp path".
func (p *Parser) mapping(r *assemble.Record, b []byte) bool {
	ids, rest, ok1 := bytes.Cut(b, []byte(": ["))
	inside, tail, ok2 := bytes.Cut(rest, []byte("]: "))
	pid, tid, ok3 := bytes.Cut(ids, []byte{'/'})
	where, file, ok4 := bytes.Cut(inside, []byte(" @ "))
	addr, length, ok5 := bytes.Cut(bytes.TrimSuffix(where, []byte{')'}), []byte{'('})
	prot, path, ok6 := bytes.Cut(tail, []byte{' '})
	process, ok7 := parseID(pid)
	thread, ok8 := parseID(tid)
	at, ok9 := parseNumber(addr)
	n, ok10 := parseNumber(length)
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && ok8 && ok9 && ok10) || process < 0 {
		return false
	}
	r.Kind, r.PID, r.TID, r.Addr, r.Len = traces.Map, int32(process), int32(max(thread, 0)), at, n
	r.Path = p.intern(path)
	r.Has |= traces.ColPID | traces.ColTID | traces.ColAddr | traces.ColLen | traces.ColPath
	fields := bytes.Fields(file)
	if len(fields) > 0 {
		if off, ok := parseNumber(fields[0]); ok {
			r.Pgoff = off
			r.Has |= traces.ColPgoff
		}
	}
	p.mappedFile(r, fields)
	mappedProt(r, prot)
	return true
}

func (p *Parser) mappedFile(r *assemble.Record, fields [][]byte) {
	if len(fields) < 4 {
		return
	}
	major, minor, _ := bytes.Cut(fields[1], []byte{':'})
	ma, ok1 := parseHex(major)
	mi, ok2 := parseHex(minor)
	ino, ok3 := parseDec(fields[2])
	gen, ok4 := parseDec(fields[3])
	if ok1 && ok2 && ok3 && ok4 && ino != 0 {
		r.DevMajor, r.DevMinor, r.Inode, r.InodeGen = int32(ma), int32(mi), uint64(ino), uint64(gen)
		r.Has |= traces.ColDevMajor | traces.ColDevMinor | traces.ColInode | traces.ColInodeGen
	}
}

// mappedProt reads rights such as r-xp: MAP_SHARED is 1, MAP_PRIVATE 2.
func mappedProt(r *assemble.Record, b []byte) {
	if len(b) != 4 {
		return
	}
	for i, bit := range []int32{1, 2, 4} {
		if b[i] != '-' {
			r.Prot |= bit
		}
	}
	r.Flags = 2
	if b[3] == 's' {
		r.Flags = 1
	}
	r.Has |= traces.ColProt | traces.ColFlags
}

// comm reads "exec: name:pid/tid", or without exec.
func (p *Parser) comm(r *assemble.Record, b []byte) bool {
	b, exec := bytes.CutPrefix(b, []byte("exec: "))
	colon := bytes.LastIndexByte(b, ':')
	if colon < 0 {
		return false
	}
	pid, tid, _ := bytes.Cut(b[colon+1:], []byte{'/'})
	process, ok1 := parseID(pid)
	thread, ok2 := parseID(tid)
	if !ok1 || !ok2 {
		return false
	}
	r.Kind, r.Task, r.PID, r.TID = traces.Exec, true, int32(process), int32(thread)
	r.Comm = p.intern(bytes.TrimSpace(b[:colon]))
	r.Has |= traces.ColPID | traces.ColTID | traces.ColComm
	if !exec {
		r.Phase = assemble.Naming
	}
	return true
}

// task reads "PERF_RECORD_FORK(pid:tid):(ppid:ptid)".
func (p *Parser) task(r *assemble.Record, kind traces.Kind, b []byte) bool {
	ids := bytes.FieldsFunc(b, func(c rune) bool { return c == '(' || c == ')' || c == ':' })
	if len(ids) != 5 {
		return false
	}
	var n [4]int64
	for i := range n {
		var ok bool
		if n[i], ok = parseID(ids[i+1]); !ok {
			return false
		}
	}
	r.Kind, r.Task = kind, true
	r.PID, r.TID = int32(n[0]), int32(n[1])
	if kind == traces.Fork {
		r.PID, r.TID, r.Ret = int32(n[2]), int32(n[3]), n[1]
		if n[0] == n[2] {
			r.Flags = assemble.CloneThread
		}
		r.Has |= traces.ColRet | traces.ColFlags
	}
	r.Has |= traces.ColPID | traces.ColTID
	return true
}
