package bpftrace

import (
	"bytes"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// setter sets a column from a group of a pattern, false for a value that it does
// not take.
type setter func(*Parser, *assemble.Record, []byte) bool

// setters are the groups by name: the columns of the schema. Times have their unit
// in the name; numbers without 0x are hexadecimal where the name ends in _hex.
var setters = makeSetters()

func makeSetters() map[string]setter {
	all := map[string]setter{
		"comm":     text(traces.ColComm, func(r *assemble.Record) *string { return &r.Comm }),
		"path":     text(traces.ColPath, func(r *assemble.Record) *string { return &r.Path }),
		"probe":    text(traces.ColProbe, func(r *assemble.Record) *string { return &r.Probe }),
		"build_id": text(traces.ColBuildID, func(r *assemble.Record) *string { return &r.BuildID }),
	}
	for unit, scale := range map[string]int64{"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9} {
		all["time_"+unit] = timeOf(scale)
		all["dur_"+unit] = func(_ *Parser, r *assemble.Record, b []byte) (ok bool) {
			r.Dur, ok = parseUnits(b, scale)
			r.Has |= traces.ColDur
			return ok
		}
	}
	all["time_hms"] = setTimeOfDay
	for name, n := range map[string]number{
		"cpu":       id(traces.ColCPU, cpuMax, func(r *assemble.Record) *int32 { return &r.CPU }),
		"pid":       id(traces.ColPID, 1<<31, func(r *assemble.Record) *int32 { return &r.PID }),
		"tid":       id(traces.ColTID, 1<<31, func(r *assemble.Record) *int32 { return &r.TID }),
		"dev_major": id(traces.ColDevMajor, 1<<31, func(r *assemble.Record) *int32 { return &r.DevMajor }),
		"dev_minor": id(traces.ColDevMinor, 1<<31, func(r *assemble.Record) *int32 { return &r.DevMinor }),
		"prot":      id(traces.ColProt, 1<<32, func(r *assemble.Record) *int32 { return &r.Prot }),
		"flags":     id(traces.ColFlags, 1<<32, func(r *assemble.Record) *int32 { return &r.Flags }),
		"advice":    id(traces.ColAdvice, 1<<32, func(r *assemble.Record) *int32 { return &r.Advice }),
		"addr":      word(traces.ColAddr, func(r *assemble.Record) *uint64 { return &r.Addr }),
		"len":       word(traces.ColLen, func(r *assemble.Record) *uint64 { return &r.Len }),
		"pgoff":     word(traces.ColPgoff, func(r *assemble.Record) *uint64 { return &r.Pgoff }),
		"new_addr":  word(traces.ColNewAddr, func(r *assemble.Record) *uint64 { return &r.NewAddr }),
		"new_len":   word(traces.ColNewLen, func(r *assemble.Record) *uint64 { return &r.NewLen }),
		"inode":     word(traces.ColInode, func(r *assemble.Record) *uint64 { return &r.Inode }),
		"inode_gen": word(traces.ColInodeGen, func(r *assemble.Record) *uint64 { return &r.InodeGen }),
		"mm":        word(traces.ColMm, func(r *assemble.Record) *uint64 { return &r.Mm }),
		"ret":       func(r *assemble.Record, n uint64) bool { r.Ret = int64(n); r.Has |= traces.ColRet; return true },
		"write":     func(r *assemble.Record, n uint64) bool { r.Write = n != 0; r.Has |= traces.ColWrite; return true },
	} {
		all[name] = decimal(n)
		all[name+"_hex"] = hex(n)
	}
	return all
}

// setterNames lists the groups for messages.
func setterNames() []string {
	var names []string
	for name := range setters {
		if !strings.HasSuffix(name, "_hex") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// number sets a column from a number, false for one out of its range.
type number func(*assemble.Record, uint64) bool

func id(c traces.Columns, limit uint64, field func(*assemble.Record) *int32) number {
	return func(r *assemble.Record, n uint64) bool {
		*field(r) = int32(n)
		r.Has |= c
		return n < limit
	}
}

func word(c traces.Columns, field func(*assemble.Record) *uint64) number {
	return func(r *assemble.Record, n uint64) bool {
		*field(r) = n
		r.Has |= c
		return true
	}
}

func decimal(set number) setter {
	return func(_ *Parser, r *assemble.Record, b []byte) bool {
		n, ok := parseNumber(b)
		return ok && set(r, n)
	}
}

func hex(set number) setter {
	return func(_ *Parser, r *assemble.Record, b []byte) bool {
		n, err := strconv.ParseUint(string(bytes.TrimPrefix(b, []byte("0x"))), 16, 64)
		return err == nil && set(r, n)
	}
}

func text(c traces.Columns, field func(*assemble.Record) *string) setter {
	return func(p *Parser, r *assemble.Record, b []byte) bool {
		*field(r) = p.intern(b)
		r.Has |= c
		return true
	}
}

// timeOf reads a decimal number of units of so many ns, with a fraction too.
func timeOf(scale int64) setter {
	return func(p *Parser, r *assemble.Record, b []byte) (ok bool) {
		r.Time, ok = parseUnits(b, scale)
		p.step = stepOf(b, scale)
		return ok && !p.day.begun
	}
}

// stepOf is the least by which two times of this many digits differ, in ns.
func stepOf(b []byte, unit int64) int64 {
	if dot := bytes.IndexByte(b, '.'); dot >= 0 {
		for range len(b) - dot - 1 {
			unit /= 10
		}
	}
	return max(unit, 1)
}

// digitsMax bounds the length of a time.
const digitsMax = 40

func parseUnits(b []byte, scale int64) (int64, bool) {
	if len(b) > digitsMax || bytes.ContainsFunc(b, func(c rune) bool { return c != '.' && (c < '0' || c > '9') }) {
		return 0, false
	}
	n, ok := new(big.Rat).SetString(string(b))
	if !ok {
		return 0, false
	}
	n.Mul(n, big.NewRat(scale, 1))
	ns := new(big.Int).Quo(n.Num(), n.Denom())
	return ns.Int64(), ns.IsInt64() && ns.Int64() <= timeMax
}
