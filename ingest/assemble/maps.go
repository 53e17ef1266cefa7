package assemble

import (
	"maps"
	"slices"
	"strconv"

	"github.com/replay/replay/traces"
	"github.com/replay/replay/traces/recent"
)

// mapping is a piece of a process's memory and what it shows.
type mapping struct {
	start, end, pgoff uint64
	ev                *traces.Event // file columns; shared
}

// process is what is known of a process: its mappings with code, newest last. A newer one
// hides an older one at the same place.
type process struct {
	maps []mapping
	// frames and files remember what addresses were found to be.
	frames map[uint64]string
	files  *recent.Map[uint64, traces.Event] // nil before the first
	// probes are the addresses that hits and returns are at, and lately the latest.
	probes map[uint64]bool
	lately uint64
	// unled says that its first thread is over, ended that nothing came of it since.
	unled, ended bool
}

// probe notes that a hit or a return is at an address.
func (p *process) probe(addr uint64) {
	if addr == p.lately {
		return
	}
	if p.lately = addr; !p.probes[addr] {
		if p.probes == nil {
			p.probes = map[uint64]bool{}
		}
		p.probes[addr] = true
	}
}

// probedBy reports whether a lookup was at one of those.
func (p *process) probedBy(l *Record) bool {
	if !l.UserIPPage {
		return p.probes[l.UserIP] || p.probes[l.UserIP-1]
	}
	for addr := range p.probes { // whether there is any: the order does not matter
		if sameTrap(l, addr) {
			return true
		}
	}
	return false
}

// maxMappings bounds what is kept of a process. When it is reached, mappings that newer
// ones hide altogether are forgotten, and the older half where those are few.
const maxMappings = 1 << 17

func (p *process) add(m mapping) {
	if len(p.maps) >= maxMappings {
		p.forgetHidden()
	}
	p.maps = append(p.maps, m)
	clear(p.frames)
	if p.files != nil {
		p.files.Clear()
	}
}

// forgetHidden drops the mappings of which no newer ones leave anything to be seen.
func (p *process) forgetHidden() {
	var bounds []uint64
	for i := range p.maps {
		bounds = append(bounds, p.maps[i].start, p.maps[i].end)
	}
	slices.Sort(bounds)
	bounds = slices.Compact(bounds)
	// Of the pieces between two bounds, seen leads from each to the next that no mapping
	// so far is over.
	seen := make([]int, len(bounds)+1)
	for i := range seen {
		seen[i] = i
	}
	next := func(i int) int {
		for seen[i] != i {
			seen[i] = seen[seen[i]]
			i = seen[i]
		}
		return i
	}
	kept := len(p.maps)
	for i := len(p.maps) - 1; i >= 0; i-- {
		m := &p.maps[i]
		from, _ := slices.BinarySearch(bounds, m.start)
		to, _ := slices.BinarySearch(bounds, m.end)
		if next(from) >= to {
			continue
		}
		for at := next(from); at < to; at = next(at) {
			seen[at] = at + 1
		}
		kept--
		p.maps[kept] = *m
	}
	p.maps = append(p.maps[:0], p.maps[max(kept, len(p.maps)-maxMappings/2):]...)
}

func (p *process) find(addr uint64) *mapping {
	for i := len(p.maps) - 1; i >= 0; i-- {
		if m := &p.maps[i]; m.start <= addr && addr < m.end {
			return m
		}
	}
	return nil
}

// remap shows at another place, and as long as it is now, what was mapped at from, as mremap
// does: no recorder tells of that but by the system call (perf_event_mmap is of mmap,
// mprotect and brk). Of no length before, it is there twice (vma_to_resize).
func (p *process) remap(from, size, to, newSize uint64) {
	size, newSize = pages(size), pages(newSize)
	if size == 0 {
		size = newSize
	}
	if from == to && newSize <= size {
		return
	}
	var moved []mapping
	for _, m := range p.maps {
		start, end := max(m.start, from), min(m.end, from+size)
		if start >= end {
			continue
		}
		if end == from+size {
			end = from + newSize
		}
		if end = min(end, from+newSize); start < end {
			moved = append(moved, mapping{start: start - from + to, end: end - from + to, pgoff: m.pgoff + start - m.start, ev: m.ev})
		}
	}
	for _, m := range moved {
		p.add(m)
	}
}

// pages rounds a length up to whole pages (PAGE_ALIGN).
func pages(size uint64) uint64 { return (size + 4095) &^ 4095 }

// clone is what a forked child starts with.
func (p *process) clone() *process {
	return &process{maps: append([]mapping(nil), p.maps...), probes: maps.Clone(p.probes)}
}

// noFile is the event of a mapping that is not known.
var noFile = &traces.Event{}

// file returns the event of the mapping at addr, noFile where none is known.
func (p *process) file(addr uint64) *traces.Event {
	if p.files == nil {
		p.files = &recent.Map[uint64, traces.Event]{}
	}
	if ev := p.files.Get(addr); ev != nil {
		return ev
	}
	ev := noFile
	if m := p.find(addr); m != nil {
		ev = m.ev
	}
	p.files.Set(addr, ev)
	return ev
}

// Symbolizer names the frames of callchains.
type Symbolizer interface {
	// Kernel names a kernel address, "" when it cannot.
	Kernel(addr uint64) string
	// User names an address by the file that is mapped there and the offset in it,
	// "" when it cannot. Frames inlined at the address come leaf first, separated
	// by newlines.
	User(pid int32, addr uint64, file *traces.Event, offset uint64) string
}

const kernelModule = "[kernel.kallsyms]"

// frame names one address of a callchain: symbol+0xoff (module), or
// 0xaddr (module).
func (a *Assembler) frame(p *process, pid int32, addr uint64, kernel bool) string {
	if kernel {
		return a.kernelFrame(addr)
	}
	if name, ok := p.frames[addr]; ok {
		return name
	}
	name := a.userFrame(p, pid, addr)
	if p.frames == nil {
		p.frames = map[uint64]string{}
	}
	p.frames[addr] = name
	return name
}

func (a *Assembler) kernelFrame(addr uint64) string {
	if name, ok := a.kernelFrames[addr]; ok {
		return name
	}
	name := ""
	if a.symbols != nil {
		name = a.symbols.Kernel(addr)
	}
	if name == "" {
		name = "0x" + strconv.FormatUint(addr, 16) + " (" + kernelModule + ")"
	}
	a.kernelFrames[addr] = name
	return name
}

func (a *Assembler) userFrame(p *process, pid int32, addr uint64) string {
	m := p.find(addr)
	module := "[unknown]"
	var file *traces.Event
	var offset uint64
	if m != nil {
		file, offset = m.ev, addr-m.start+m.pgoff
		if file.Path != "" {
			module = file.Path
		}
	}
	if a.symbols != nil {
		if name := a.symbols.User(pid, addr, file, offset); name != "" {
			return name
		}
	}
	return "0x" + strconv.FormatUint(addr, 16) + " (" + module + ")"
}

const fileColumns = traces.ColPath | traces.ColBuildID | traces.ColDevMajor | traces.ColDevMinor | traces.ColInode | traces.ColInodeGen

// copyFile takes over the file of a mapping.
func copyFile(ev, file *traces.Event) {
	ev.Has |= file.Has & fileColumns
	ev.Path, ev.BuildID = file.Path, file.BuildID
	ev.DevMajor, ev.DevMinor, ev.Inode, ev.InodeGen = file.DevMajor, file.DevMinor, file.Inode, file.InodeGen
}

// protExec is PROT_EXEC.
const protExec = 4

// mapped adds a mapping with code to its process.
func (a *Assembler) mapped(r *Record) {
	if !r.Got(traces.ColPID | traces.ColAddr | traces.ColLen) {
		return
	}
	if r.Got(traces.ColProt) && r.Prot&protExec == 0 {
		return // no code, so that no hit and no frame is in it
	}
	file := r.Event
	a.process(r.PID).add(mapping{start: r.Addr, end: r.Addr + r.Len, pgoff: r.Pgoff, ev: &file})
}
