package ingest

import (
	"slices"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// files tells which file a mapping shows by the first hit in it. The syscall knows
// a file by a descriptor alone, which nobody can name afterwards; a probe knows its
// file. The row that says so stands before the hit.
type files struct {
	unnamed map[int32][]traces.Event // mmaps of code by process, oldest first
	held    traces.Event             // a hit whose mapping was given out before it
	hasHeld bool
	added   int64
	traps   traces.Relink
}

// protExec is PROT_EXEC, mapAnonymous MAP_ANONYMOUS.
const (
	protExec     = 4
	mapAnonymous = 0x20
)

// unnamedMax bounds what is remembered of a process.
const unnamedMax = 4096

// next gives out the assembler's rows and those in between.
func (f *files) next(a *assemble.Assembler, ev *traces.Event) bool {
	if f.hasHeld {
		*ev, f.hasHeld = f.held, false
		return true
	}
	if !a.Next(ev) {
		return false
	}
	m := f.follow(ev)
	if m != nil {
		m.Seq = ev.Seq + f.added
		f.added++
	}
	f.traps.Move(ev, ev.Seq+f.added)
	if m != nil {
		f.held, f.hasHeld = *ev, true
		*ev = *m
	}
	return true
}

// follow keeps track of the mappings and returns the one that a hit names.
func (f *files) follow(ev *traces.Event) *traces.Event {
	if f.unnamed == nil {
		f.unnamed = map[int32][]traces.Event{}
	}
	switch {
	case ev.Kind == traces.Mmap && ev.Got(traces.ColAddr|traces.ColLen|traces.ColRet) && ev.Ret != 0:
		f.unmap(ev)
		if ev.Prot&protExec != 0 && ev.Flags&mapAnonymous == 0 && ev.Path == "" && len(f.unnamed[ev.PID]) < unnamedMax {
			f.unnamed[ev.PID] = append(f.unnamed[ev.PID], *ev)
		}
	case ev.Kind == traces.Munmap && ev.Got(traces.ColAddr|traces.ColLen|traces.ColRet) && ev.Ret == 0:
		f.unmap(ev)
	case ev.Kind == traces.Fork && ev.Flags&assemble.CloneThread == 0:
		if list := f.unnamed[ev.PID]; len(list) > 0 {
			f.unnamed[int32(ev.Ret)] = slices.Clone(list)
		}
	case ev.Kind == traces.Exec, ev.Kind == traces.Exit && ev.PID == ev.TID:
		delete(f.unnamed, ev.PID)
	case ev.Kind == traces.Hit && ev.Got(traces.ColAddr|traces.ColPath):
		return f.name(ev)
	}
	return nil
}

// unmap forgets the mappings that ev is over.
func (f *files) unmap(ev *traces.Event) {
	if list := f.unnamed[ev.PID]; len(list) > 0 {
		f.unnamed[ev.PID] = slices.DeleteFunc(list, func(m traces.Event) bool {
			return m.Addr < ev.Addr+ev.Len && ev.Addr < m.Addr+m.Len
		})
	}
}

// name returns the mapping that the hit is in, with the hit's file.
func (f *files) name(ev *traces.Event) *traces.Event {
	list := f.unnamed[ev.PID]
	i := slices.IndexFunc(list, func(m traces.Event) bool { return ev.Addr-m.Addr < m.Len })
	if i < 0 {
		return nil
	}
	m := list[i]
	f.unnamed[ev.PID] = slices.Delete(list, i, i+1)
	m.Kind, m.Time, m.CPU, m.TID, m.Comm, m.Path = traces.Map, ev.Time, ev.CPU, ev.TID, ev.Comm, ev.Path
	const own = traces.ColAddr | traces.ColLen | traces.ColPgoff | traces.ColProt | traces.ColFlags
	const hits = traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColComm | traces.ColPath | traces.ColSrcPos
	m.SrcPos = ev.SrcPos
	m.Has = m.Has&own | ev.Has&hits
	return &m
}
