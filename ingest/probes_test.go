package ingest

import (
	"os"
	"testing"

	"github.com/replay/replay/traces"
)

// Two probes on one address, a return probe beside them and a USDT probe with a
// semaphore each have their own hits, from a compressed pipe on standard input, with
// records of namespaces between.
func TestKindsOfProbes(t *testing.T) {
	f, err := os.Open("testdata/probes/kinds-z-pipe.perf.data")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	events, meta := read(t, "-", Options{Stdin: f})
	checkOrder(t, events)
	got := map[string]int{}
	addr := map[string]uint64{}
	for i := range events {
		if ev := &events[i]; ev.Kind == traces.Hit || ev.Kind == traces.Ret {
			got[ev.Kind.String()+" "+ev.Probe]++
			addr[ev.Probe] = ev.Addr
		}
	}
	for _, name := range []string{"hit probe_textq:site", "hit probe_textq:first", "hit probe_textq:again", "ret probe_textq:twice_ret"} {
		if got[name] != 100 {
			t.Errorf("%d of %s, want 100", got[name], name)
		}
	}
	if a := addr["probe_textq:first"]; a == 0 || a != addr["probe_textq:again"] || a != addr["probe_textq:twice_ret"] {
		t.Errorf("addresses %x: want one for all of twice", addr)
	}
	if len(got) != 4 || meta.Clock != "monotonic" {
		t.Errorf("probes %v, clock %s", got, meta.Clock)
	}
}
