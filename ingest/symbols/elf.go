package symbols

import (
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"path/filepath"
	"sort"
)

// Limits of what is read of a file.
const (
	symtabMax = 256 << 20
	dwarfMax  = 256 << 20

	// namesInFile is from where on names stay in the file: that keeps it open.
	namesInFile = 1 << 19
)

// object is one ELF file, or what could be had of it.
type object struct {
	table    *table
	names    *elf.File // what table reads from, nil if nothing
	segments []segment
	inlines  *inlines
}

// segment maps file offsets to the addresses that symbols have.
type segment struct{ offset, size, addr uint64 }

// openObject reads the file, or its separate debug file, if the build id is the
// one wanted. It returns nil when there is nothing to be had.
func openObject(path, buildID string, inlines bool) *object {
	f, err := elf.Open(path)
	if err != nil {
		return openDebugOnly(buildID, inlines)
	}
	o := &object{}
	defer o.done(f)
	own := elfBuildID(f)
	if buildID != "" && own != buildID {
		return openDebugOnly(buildID, inlines) // another version of the file by now, perhaps one without an id
	}
	o.segments = segments(f)
	o.symtab(f, elf.SHT_SYMTAB)
	if inlines {
		o.inlines = readInlines(f)
	}
	if debug := openDebug(own); debug != nil {
		defer o.done(debug)
		o.symtab(debug, elf.SHT_SYMTAB)
		if inlines && o.inlines == nil {
			o.inlines = readInlines(debug)
		}
	}
	o.symtab(f, elf.SHT_DYNSYM)
	return o
}

// openDebugOnly uses the debug file alone; its program headers are those of the
// file that it was split from.
func openDebugOnly(buildID string, inlines bool) *object {
	f := openDebug(buildID)
	if f == nil {
		return nil
	}
	o := &object{segments: segments(f)}
	defer o.done(f)
	o.symtab(f, elf.SHT_SYMTAB)
	if inlines {
		o.inlines = readInlines(f)
	}
	return o
}

// done closes a file unless names are read from it later: it is closed then when nobody
// holds o any more.
func (o *object) done(f *elf.File) {
	if f != o.names {
		f.Close()
	}
}

const debugDir = "/usr/lib/debug/.build-id"

func openDebug(buildID string) *elf.File {
	if len(buildID) < 3 {
		return nil
	}
	f, err := elf.Open(filepath.Join(debugDir, buildID[:2], buildID[2:]+".debug"))
	if err != nil {
		return nil
	}
	return f
}

// BuildID is that of a file in hex, "" where it has none or is no program.
func BuildID(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	return elfBuildID(f)
}

func elfBuildID(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE || p.Filesz > 1<<16 {
			continue
		}
		b := make([]byte, p.Filesz)
		if n, _ := p.ReadAt(b, 0); n == len(b) {
			if id := buildIDNote(b); id != "" {
				return id
			}
		}
	}
	return ""
}

func segments(f *elf.File) []segment {
	var s []segment
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			s = append(s, segment{p.Off, p.Filesz, p.Vaddr})
		}
	}
	return s
}

// address turns an offset in the file into an address of its symbols.
func (o *object) address(offset uint64) (uint64, bool) {
	for _, s := range o.segments {
		if offset >= s.offset && offset-s.offset < s.size {
			return offset - s.offset + s.addr, true
		}
	}
	return 0, false
}

// symtab reads the functions of a symbol table of 64-bit files, if o has none yet.
func (o *object) symtab(f *elf.File, kind elf.SectionType) {
	s := f.SectionByType(kind)
	if o.table != nil || s == nil || f.Class != elf.ELFCLASS64 || s.Size > symtabMax || int(s.Link) >= len(f.Sections) || f.Sections[s.Link].Size > symtabMax {
		return
	}
	data, err := s.Data()
	if err != nil {
		return
	}
	const entry = 24
	t := &table{syms: make([]sym, 0, len(data)/entry)}
	le := binary.LittleEndian
	for ; len(data) >= entry; data = data[entry:] {
		info := elf.ST_TYPE(data[4])
		if info != elf.STT_FUNC && info != elf.STT_GNU_IFUNC || le.Uint16(data[6:]) == 0 {
			continue
		}
		t.add(le.Uint64(data[8:]), le.Uint64(data[16:]), le.Uint32(data))
	}
	if len(t.syms) == 0 {
		return
	}
	if names := f.Sections[s.Link]; names.Size >= namesInFile && names.ReaderAt != nil { // nil: compressed
		t.file, o.names = names, f
	} else if t.names, err = names.Data(); err != nil {
		return
	}
	t.settle()
	o.table = t
}

// inlines are the inlined calls of a file, in order of address.
type inlines struct {
	calls   []inlined
	longest uint64
}

// inlined is the code that one inlined call became.
type inlined struct {
	low, high uint64
	depth     int
	name      string
}

// readInlines reads the inlined calls of a file that has DWARF, nil for others.
func readInlines(f *elf.File) *inlines {
	s := f.Section(".debug_info")
	if s == nil || s.Size > dwarfMax {
		return nil
	}
	data, err := f.DWARF()
	if err != nil {
		return nil
	}
	in := &inlines{}
	depth := 0
	for r := data.Reader(); ; {
		e, err := r.Next()
		if err != nil || e == nil {
			break
		}
		if e.Tag == 0 {
			depth--
			continue
		}
		if e.Tag == dwarf.TagInlinedSubroutine {
			in.add(data, e, depth)
		}
		if e.Children {
			depth++
		}
	}
	sort.SliceStable(in.calls, func(i, j int) bool { return in.calls[i].low < in.calls[j].low })
	return in
}

func (in *inlines) add(data *dwarf.Data, e *dwarf.Entry, depth int) {
	origin, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
	if !ok {
		return
	}
	name := originName(data, origin)
	ranges, err := data.Ranges(e)
	if err != nil || name == "" {
		return
	}
	for _, r := range ranges {
		in.calls = append(in.calls, inlined{r[0], r[1], depth, name})
		in.longest = max(in.longest, r[1]-r[0])
	}
}

// originName follows an entry to the name of the function.
func originName(data *dwarf.Data, at dwarf.Offset) string {
	for range 4 {
		r := data.Reader()
		r.Seek(at)
		e, err := r.Next()
		if err != nil || e == nil {
			return ""
		}
		if name, ok := e.Val(dwarf.AttrName).(string); ok {
			return name
		}
		next, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			if next, ok = e.Val(dwarf.AttrSpecification).(dwarf.Offset); !ok {
				return ""
			}
		}
		at = next
	}
	return ""
}

// at returns the functions inlined at addr, innermost first.
func (in *inlines) at(addr uint64) []string {
	if in == nil {
		return nil
	}
	var found []inlined
	end := sort.Search(len(in.calls), func(i int) bool { return in.calls[i].low > addr })
	for i := end - 1; i >= 0 && addr-in.calls[i].low < in.longest; i-- {
		if addr < in.calls[i].high {
			found = append(found, in.calls[i])
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].depth > found[j].depth })
	names := make([]string, len(found))
	for i, c := range found {
		names[i] = c.name
	}
	return names
}
