package ingest

import (
	"testing"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// A hit names the mapping of code that it is in, never one that can only be read.
func TestHitNamesCodeAlone(t *testing.T) {
	for _, test := range []struct {
		prot  int32
		named int
	}{{1, 0}, {3, 0}, {protExec, 1}, {protCode, 1}} {
		a := assemble.New(assemble.Options{})
		m := a.Record()
		m.Kind, m.Time, m.PID, m.TID, m.Addr, m.Len, m.Ret, m.Prot, m.Flags = traces.Mmap, 1, 7, 7, 0x1000, 0x1000, 0x1000, test.prot, 2
		m.Has = traces.ColPID | traces.ColTID | traces.ColAddr | traces.ColLen | traces.ColRet | traces.ColProt | traces.ColFlags
		a.Place(m)
		h := a.Record()
		h.Kind, h.Time, h.PID, h.TID, h.Addr, h.Path, h.Probe = traces.Hit, 2, 7, 7, 0x1010, "/bin/x", "g:f"
		h.Has = traces.ColPID | traces.ColTID | traces.ColAddr | traces.ColPath | traces.ColProbe
		a.Place(h)
		a.Flush()
		var f files
		var ev traces.Event
		named := 0
		for f.next(a, &ev) {
			if ev.Kind == traces.Map {
				named++
			}
		}
		if named != test.named {
			t.Errorf("prot %d: %d mappings named, want %d", test.prot, named, test.named)
		}
	}
}
