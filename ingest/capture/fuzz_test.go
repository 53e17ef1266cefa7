package capture

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// FuzzSites looks for functions and markers in what may be no program.
func FuzzSites(f *testing.F) {
	for _, file := range smallPrograms(f) {
		f.Add(file, "f")
		f.Add(file, "sdt:app:plain")
		f.Add(file, "0x1000")
	}
	f.Fuzz(func(t *testing.T, file []byte, name string) {
		p, err := Parse("app:"+name, noFile, noFile)
		if err != nil {
			return
		}
		sites, err := Sites(&p, bytes.NewReader(file), "app")
		if (err == nil) != (len(sites) > 0) {
			t.Fatalf("%#x and %v", sites, err)
		}
		if err != nil && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrNotFound) {
			t.Fatalf("%v is of no kind", err)
		}
	})
}

// smallPrograms are programs without a C library, in both word sizes.
func smallPrograms(f *testing.F) [][]byte {
	f.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		return nil
	}
	var files [][]byte
	for _, word := range []string{"-m64", "-m32"} {
		name := filepath.Join(f.TempDir(), "program")
		if err := exec.Command(cc, word, "-nostdlib", "-static", "-Wl,-e,main", "-o", name, markersC).Run(); err != nil {
			continue // no such word size here
		}
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		files = append(files, data)
	}
	return files
}

// FuzzNotes reads notes of markers. What is read is no more than there is.
func FuzzNotes(f *testing.F) {
	note := func(order binary.AppendByteOrder, word int, owner string, texts string) []byte {
		desc := append(make([]byte, 3*word), texts...)
		b := order.AppendUint32(nil, uint32(len(owner)))
		b = order.AppendUint32(b, uint32(len(desc)))
		b = order.AppendUint32(b, sdtType)
		b = append(b, owner...)
		b = append(b, make([]byte, -len(owner)&3)...)
		return append(append(b, desc...), make([]byte, -len(desc)&3)...)
	}
	little := note(binary.LittleEndian, 8, "stapsdt\x00", "app\x00plain\x00-4@%eax\x00")
	f.Add(little, false, true)
	f.Add(append(note(binary.LittleEndian, 8, "GNU\x00", "x"), little...), false, true)
	f.Add(note(binary.BigEndian, 4, "stapsdt\x00", "app\x00plain\x00\x00"), true, false)
	f.Add(little[:len(little)-4], false, true)
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\x03\x00\x00\x00stapsdt\x00"), false, true)
	f.Fuzz(func(t *testing.T, data []byte, big, wide bool) {
		order, class := binary.ByteOrder(binary.LittleEndian), elf.ELFCLASS32
		if big {
			order = binary.BigEndian
		}
		if wide {
			class = elf.ELFCLASS64
		}
		notes, err := readNotes(data, order, class)
		if err != nil && notes != nil {
			t.Fatalf("%v and %v", notes, err)
		}
		held := 0
		for _, n := range notes {
			held += 12 + len(n.provider) + len(n.name)
		}
		if held > len(data) {
			t.Fatalf("%d bytes in notes of %d", held, len(data))
		}
	})
}
