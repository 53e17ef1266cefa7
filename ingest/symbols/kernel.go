package symbols

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"sync"
)

const (
	runningKallsyms = "/proc/kallsyms"
	runningNotes    = "/sys/kernel/notes"
)

// kernelTable returns what reads the symbols of the kernel with the build id: from
// the file given, at once, else from the running kernel if it is the same, when the
// first is asked for. A nil table means that there are none.
func kernelTable(buildID, kallsyms string) (func() *table, error) {
	if kallsyms == "" {
		return sync.OnceValue(func() *table {
			if buildID == "" || runningBuildID() != buildID {
				return nil
			}
			t, _ := readKallsyms(runningKallsyms)
			return t
		}), nil
	}
	t, err := readKallsyms(kallsyms)
	if err != nil {
		return nil, err
	}
	return func() *table { return t }, nil
}

// kernelText is where the code of the recorded kernel was. The same kernel lies elsewhere
// each time that it is started (KASLR), but for an address that perf notes while it records:
// that of a symbol (ref_reloc_sym of machine__create_kernel_maps in tools/perf).
type kernelText struct {
	from, to uint64
	symbol   string // "" where nothing is known
	addr     uint64 // of the symbol
	shift    uint64 // from where symbols say to where it was
	compared bool   // shift is known
}

// relocate turns an address of the recorded kernel into one of its symbols. Of a kernel that
// was started anew since, modules are anywhere: only its own code has an address then.
func (k *kernelText) relocate(t *table, addr uint64) (uint64, bool) {
	if !k.compared && k.symbol != "" {
		if at, ok := t.address(k.symbol); ok {
			k.shift = k.addr - at
		}
		k.compared = true
	}
	if k.shift == 0 {
		return addr, true
	}
	return addr - k.shift, addr >= k.from && addr < k.to
}

// kallsymsBytes is what /proc/kallsyms mostly has less than; files in /proc do not tell.
const kallsymsBytes = 8 << 20

func readKallsyms(path string) (*table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("kernel symbols: %w", err)
	}
	defer f.Close()
	size := int64(kallsymsBytes)
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		size = info.Size()
	}
	data := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := data.ReadFrom(f); err != nil {
		return nil, fmt.Errorf("kernel symbols: %w", err)
	}
	return parseKallsyms(data.Bytes(), path)
}

// parseKallsyms reads lines of address, type, name and perhaps [module]. It keeps data, and
// writes to it.
func parseKallsyms(data []byte, file string) (*table, error) {
	t := &table{names: data, syms: make([]sym, 0, bytes.Count(data, []byte{'\n'})+1)}
	shown := false
	for line, rest := 1, data; len(rest) > 0; line++ {
		text, next, _ := bytes.Cut(rest, []byte{'\n'})
		rest = next
		text = bytes.TrimSuffix(text, []byte{'\r'})
		digits, words := field(text)
		kind, words := field(words)
		symbol, _ := field(words)
		if len(symbol) == 0 {
			return nil, fmt.Errorf("%s:%d: want an address, a type and a name as in /proc/kallsyms, not %q", file, line, text)
		}
		addr, ok := parseHex(digits)
		if !ok {
			return nil, fmt.Errorf("%s:%d: bad address %q", file, line, digits)
		}
		if c := kind[0] | 0x20; len(kind) != 1 || c != 't' && c != 'w' {
			continue
		}
		shown = shown || addr != 0
		begin := cap(data) - cap(symbol)
		if end := begin + len(symbol); end < len(data) {
			data[end] = 0 // a blank or the end of the line
		}
		t.add(addr, 0, uint32(begin))
	}
	if !shown {
		return nil, nil // kptr_restrict hides the addresses
	}
	t.settle()
	return t, nil
}

// field cuts off the first of the words that blanks separate.
func field(b []byte) (first, rest []byte) {
	from := 0
	for from < len(b) && (b[from] == ' ' || b[from] == '\t') {
		from++
	}
	to := from
	for to < len(b) && b[to] != ' ' && b[to] != '\t' {
		to++
	}
	return b[from:to], b[to:]
}

func parseHex(digits []byte) (v uint64, ok bool) {
	for _, c := range digits {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		v = v<<4 | uint64(c)
	}
	return v, len(digits) > 0 && len(digits) <= 16
}

// runningBuildID is the build id of this machine's kernel in hex, "" if unknown.
func runningBuildID() string {
	b, err := os.ReadFile(runningNotes)
	if err != nil {
		return ""
	}
	return buildIDNote(b)
}

// noteGNUBuildID is NT_GNU_BUILD_ID.
const noteGNUBuildID = 3

// buildIDNote finds the build id among ELF notes.
func buildIDNote(b []byte) string {
	for len(b) >= 12 {
		le := binary.LittleEndian
		nameLen, descLen, kind := uint64(le.Uint32(b)), uint64(le.Uint32(b[4:])), le.Uint32(b[8:])
		desc := 12 + (nameLen+3)&^3
		end := desc + (descLen+3)&^3
		if desc+descLen > uint64(len(b)) {
			return ""
		}
		if kind == noteGNUBuildID && string(b[12:12+min(nameLen, 4)]) == "GNU\x00" {
			return hex.EncodeToString(b[desc : desc+descLen])
		}
		b = b[min(end, uint64(len(b))):]
	}
	return ""
}
