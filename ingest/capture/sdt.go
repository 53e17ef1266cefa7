package capture

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// sdtType is the type of notes of markers, version 3 (sys/sdt.h, _SDT_NOTE_TYPE).
const sdtType = 3

// sdtName is who these notes are of.
const sdtName = "stapsdt"

// sdtNote is a marker as the file describes it. The addresses are as they were
// when the linker ran.
type sdtNote struct {
	pc, base, semaphore uint64
	provider, name      string
}

// markers finds all places of a marker.
func markers(f *elf.File, provider, name string) ([]Site, error) {
	s := f.Section(".note.stapsdt")
	if s == nil {
		return nil, fmt.Errorf("marker %s:%s %w: the file has no markers (no section .note.stapsdt)", provider, name, ErrNotFound)
	}
	if s.Size > sectionMax {
		return nil, fmt.Errorf("%w: section .note.stapsdt is over the limit of %d bytes", ErrUnsupported, sectionMax)
	}
	data, err := s.Data()
	if err != nil {
		return nil, fmt.Errorf("%w: section .note.stapsdt: %v", ErrUnsupported, err)
	}
	notes, err := readNotes(data, f.ByteOrder, f.Class)
	if err != nil {
		return nil, err
	}
	var sites []Site
	var names []string
	for _, n := range notes {
		names = append(names, n.provider+":"+n.name)
		if n.provider != provider || n.name != name {
			continue
		}
		site, err := n.site(f)
		if err != nil {
			return nil, err
		}
		sites = append(sites, site)
	}
	if len(sites) == 0 {
		slices.Sort(names)
		names = slices.Compact(names)
		return nil, fmt.Errorf("marker %s:%s %w; there is %s", provider, name, ErrNotFound, strings.Join(names[:min(len(names), 2*similarMax)], ", "))
	}
	slices.SortFunc(sites, func(a, b Site) int { return cmp.Compare(a.Offset, b.Offset) })
	return slices.Compact(sites), nil
}

// site moves the note's addresses to where the file is now: prelink may have moved
// it, and then .stapsdt.base, whose address the note remembers, moved along
// (sdt_note__adjust in perf's symbol-elf.c).
func (n sdtNote) site(f *elf.File) (Site, error) {
	var moved uint64
	if base := f.Section(".stapsdt.base"); base != nil && n.base != 0 {
		moved = base.Addr - n.base
	}
	offset, ok := fileOffset(f, n.pc+moved)
	if !ok {
		return Site{}, fmt.Errorf("%w: marker %s:%s is at address %#x, which is in no segment", ErrUnsupported, n.provider, n.name, n.pc+moved)
	}
	if err := executable(f, offset); err != nil {
		return Site{}, err
	}
	site := Site{Offset: offset}
	if n.semaphore == 0 {
		return site, nil
	}
	if site.Semaphore, ok = fileOffset(f, n.semaphore+moved); !ok {
		return Site{}, fmt.Errorf("%w: the semaphore of %s:%s at address %#x is in no segment", ErrUnsupported, n.provider, n.name, n.semaphore+moved)
	}
	return site, nil
}

// readNotes reads a section of notes, leaving out those of others.
func readNotes(data []byte, order binary.ByteOrder, class elf.Class) ([]sdtNote, error) {
	var notes []sdtNote
	for at := 0; at < len(data); {
		rest := data[at:]
		if len(rest) < 12 {
			return nil, badNote(at, "its header is cut short")
		}
		nameLen, descLen := uint64(order.Uint32(rest)), uint64(order.Uint32(rest[4:]))
		descAt := 12 + align4(nameLen)
		end := descAt + align4(descLen)
		if descAt+descLen > uint64(len(rest)) {
			return nil, badNote(at, "it reaches beyond the section")
		}
		if order.Uint32(rest[8:]) == sdtType && string(rest[12:12+nameLen]) == sdtName+"\x00" {
			n, ok := readNote(rest[descAt:descAt+descLen], order, class)
			if !ok {
				return nil, badNote(at, "want three addresses and three texts")
			}
			notes = append(notes, n)
		}
		at += int(min(end, uint64(len(rest))))
	}
	return notes, nil
}

func badNote(at int, what string) error {
	return fmt.Errorf("%w: note at %#x of section .note.stapsdt: %s", ErrUnsupported, at, what)
}

func align4(n uint64) uint64 { return (n + 3) &^ 3 }

// readNote reads a marker: three addresses, then provider, name and arguments.
func readNote(desc []byte, order binary.ByteOrder, class elf.Class) (sdtNote, bool) {
	var n sdtNote
	for _, to := range []*uint64{&n.pc, &n.base, &n.semaphore} {
		switch {
		case class == elf.ELFCLASS64 && len(desc) >= 8:
			*to, desc = order.Uint64(desc), desc[8:]
		case class == elf.ELFCLASS32 && len(desc) >= 4:
			*to, desc = uint64(order.Uint32(desc)), desc[4:]
		default:
			return n, false
		}
	}
	texts := bytes.SplitN(desc, []byte{0}, 4)
	if len(texts) < 4 {
		return n, false
	}
	n.provider, n.name = string(texts[0]), string(texts[1])
	return n, true
}
