package capture

import (
	"cmp"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// sectionMax is the largest table of symbols, strings or notes that is read.
const sectionMax = 1 << 30

// Site is an instruction to put a uprobe at.
type Site struct {
	Offset    uint64 // in the file, in bytes
	Semaphore uint64 // file offset of the counter that switches a marker on; 0: none
	Symbol    string // of the function, as the file has it
}

// Sites finds the instructions that a probe means in a file, in order of their
// offsets. The file's name is for messages.
func Sites(p *Probe, r io.ReaderAt, file string) ([]Site, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("probe %q: %s: %w: it is no ELF file (%v); give the program or library itself", p.Text, file, ErrUnsupported, err)
	}
	defer f.Close()
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return nil, fmt.Errorf("probe %q: %s: %w: it is %v, want a program or a shared library", p.Text, file, ErrUnsupported, f.Type)
	}
	var sites []Site
	switch {
	case p.HasOffset:
		sites, err = []Site{{Offset: p.Offset}}, executable(f, p.Offset)
	case p.Provider != "":
		sites, err = markers(f, p.Provider, p.Marker)
	default:
		sites, err = functions(f, p.Function)
	}
	if err != nil {
		return nil, fmt.Errorf("probe %q: %s: %w", p.Text, file, err)
	}
	return sites, nil
}

// executable checks that there is code at an offset in the file.
func executable(f *elf.File, offset uint64) error {
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && offset >= p.Off && offset-p.Off < p.Filesz {
			return nil
		}
	}
	return fmt.Errorf("%w: there is no code at offset %#x of the file", ErrUnsupported, offset)
}

// fileOffset turns an address of the file's symbols into an offset in the file.
func fileOffset(f *elf.File, addr uint64) (uint64, bool) {
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && addr >= p.Vaddr && addr-p.Vaddr < p.Filesz {
			return addr - p.Vaddr + p.Off, true
		}
	}
	return 0, false
}

// functions finds a function by its symbol: in the file's own table, in the debug
// file split from it, or among the dynamic symbols that even a stripped file has.
// A name may have a version, as in memcpy@GLIBC_2.14; without one, the version that
// the linker would take is meant. It may also be a name as it stands in the source.
func functions(f *elf.File, name string) ([]Site, error) {
	symbols, err := allSymbols(f)
	if err != nil {
		return nil, err
	}
	base, version, versioned := cutVersion(name)
	meant := slices.DeleteFunc(slices.Clone(symbols), func(s symbol) bool {
		return s.name != base || versioned && s.version != version
	})
	if len(meant) == 0 {
		meant = inSource(symbols, name)
	}
	var chosen, older []Site
	for _, s := range meant {
		offset, ok := fileOffset(f, s.addr)
		site := Site{Offset: offset, Symbol: s.name}
		switch {
		case s.indirect:
			return nil, fmt.Errorf("%w: which function %s is gets chosen when the program starts (IFUNC); give the one that it becomes, by name or as path:0xoffset", ErrUnsupported, name)
		case !ok || executable(f, offset) != nil:
		case s.older:
			older = append(older, site)
		default:
			chosen = append(chosen, site)
		}
	}
	if len(chosen) == 0 {
		chosen = older
	}
	slices.SortStableFunc(chosen, func(a, b Site) int { return cmp.Compare(a.Offset, b.Offset) })
	chosen = slices.CompactFunc(chosen, func(a, b Site) bool { return a.Offset == b.Offset })
	switch len(chosen) {
	case 1:
		return chosen, nil
	case 0:
		return nil, fmt.Errorf("function %s %w%s", name, ErrNotFound, similar(symbols, name))
	}
	var places []string
	for _, s := range chosen {
		places = append(places, fmt.Sprintf("%s at %#x", s.Symbol, s.Offset))
	}
	return nil, fmt.Errorf("%w: there are %d functions named %s: %s; give one by its symbol, or as path:0xoffset", ErrUnsupported, len(chosen), name, strings.Join(places, ", "))
}

// symbol is a function that a file defines.
type symbol struct {
	name, version string
	older         bool // a version that only programs linked long ago use
	indirect      bool
	addr          uint64
}

func newSymbol(s *elf.Symbol) symbol {
	out := symbol{name: s.Name, version: s.Version, addr: s.Value, indirect: elf.ST_TYPE(s.Info) == elf.STT_GNU_IFUNC}
	out.older = s.HasVersion && s.VersionIndex.IsHidden()
	if name, version, ok := cutVersion(s.Name); ok { // a table for debugging has it in the name
		out.name, out.version, out.older = name, version, !strings.Contains(s.Name, "@@")
	}
	return out
}

// cutVersion takes the version off a symbol's name: name@version for an older one,
// name@@version for that which the linker takes.
func cutVersion(s string) (name, version string, ok bool) {
	name, version, ok = strings.Cut(s, "@")
	return name, strings.TrimPrefix(version, "@"), ok
}

// allSymbols returns the defined functions of all tables.
func allSymbols(f *elf.File) ([]symbol, error) {
	own, err := tables(f)
	if err != nil {
		return nil, err
	}
	debug, err := elf.Open(debugFile(f))
	if err != nil {
		return own, nil // not installed
	}
	defer debug.Close()
	more, err := tables(debug)
	return append(own, more...), err
}

func tables(f *elf.File) ([]symbol, error) {
	if tooLarge(f) {
		return nil, fmt.Errorf("%w: a section of symbols is over the limit of %d bytes", ErrUnsupported, sectionMax)
	}
	var found []symbol
	for _, read := range []func() ([]elf.Symbol, error){f.Symbols, f.DynamicSymbols} {
		symbols, err := read()
		if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
			return nil, fmt.Errorf("%w: its symbols: %v", ErrUnsupported, err)
		}
		for i := range symbols {
			kind := elf.ST_TYPE(symbols[i].Info)
			if symbols[i].Section != elf.SHN_UNDEF && (kind == elf.STT_FUNC || kind == elf.STT_GNU_IFUNC) {
				found = append(found, newSymbol(&symbols[i]))
			}
		}
	}
	return found, nil
}

func tooLarge(f *elf.File) bool {
	return slices.ContainsFunc(f.Sections, func(s *elf.Section) bool {
		symbols := s.Type == elf.SHT_SYMTAB || s.Type == elf.SHT_DYNSYM || s.Type == elf.SHT_STRTAB
		return symbols && s.Size > sectionMax
	})
}

// similarMax is how many names a message suggests.
const similarMax = 3

// similar suggests functions whose names contain the one that was not found.
func similar(symbols []symbol, name string) string {
	if len(symbols) == 0 {
		return ": the file names no function; install its debug symbols, or give path:0xoffset"
	}
	part := lastWord(name)
	var names []string
	for _, s := range symbols {
		if strings.Contains(s.name, name) || part != "" && strings.Contains(s.name, part) && strings.Contains(demangle.Filter(s.name), name) {
			names = append(names, s.name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return ""
	}
	return "; there is " + strings.Join(names[:min(len(names), similarMax)], ", ")
}

// debugDir is where distributions install separate debug files, by build id.
const debugDir = "/usr/lib/debug/.build-id"

// debugFile is where the debug file of f would be, "" without a build id.
func debugFile(f *elf.File) string {
	s := f.Section(".note.gnu.build-id")
	if s == nil || s.Size > 1<<10 {
		return ""
	}
	data, err := s.Data()
	const header = 16 // sizes and type, and the name "GNU\0"
	if err != nil || len(data) < header+2 {
		return ""
	}
	id := hex.EncodeToString(data[header:])
	return filepath.Join(debugDir, id[:2], id[2:]+".debug")
}
