package symbols

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

const (
	runningKallsyms = "/proc/kallsyms"
	runningNotes    = "/sys/kernel/notes"
)

// kernelTable reads the symbols of the kernel with the build id: from the file
// given, else from the running kernel if it is the same. A nil table means that
// there are none.
func kernelTable(buildID, kallsyms string) (*table, error) {
	path := kallsyms
	if path == "" {
		if buildID == "" || runningBuildID() != buildID {
			return nil, nil
		}
		path = runningKallsyms
	}
	f, err := os.Open(path)
	if err != nil {
		if kallsyms == "" {
			return nil, nil
		}
		return nil, fmt.Errorf("kernel symbols: %w", err)
	}
	defer f.Close()
	return parseKallsyms(f, path)
}

// parseKallsyms reads lines of address, type, name and perhaps [module].
func parseKallsyms(r io.Reader, name string) (*table, error) {
	t := &table{}
	in := bufio.NewScanner(r)
	shown := false
	for line := 1; in.Scan(); line++ {
		fields := strings.Fields(in.Text())
		if len(fields) < 3 {
			return nil, fmt.Errorf("%s:%d: want an address, a type and a name as in /proc/kallsyms, not %q", name, line, in.Text())
		}
		addr, err := strconv.ParseUint(fields[0], 16, 64)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: bad address %q", name, line, fields[0])
		}
		if c := fields[1]; c != "t" && c != "T" && c != "w" && c != "W" {
			continue
		}
		shown = shown || addr != 0
		t.addNamed(addr, 0, fields[2])
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if !shown {
		return nil, nil // kptr_restrict hides the addresses
	}
	t.settle()
	return t, nil
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
