package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replay/replay/reports"
)

// rankingWindow is how much of each recording is replayed with up to 40 clones: its
// busiest, of hits and changes.
const rankingWindow = 2_000_000 // ns

// TestRanking replays the table of resolvers in sim/README.md: each row of it is that of
// the command above it.
func TestRanking(t *testing.T) {
	if testing.Short() {
		t.Skip("it replays 40 clones of seven recordings")
	}
	data, err := os.ReadFile("../../sim/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(data), "| recording | from |")
	if !found {
		t.Fatal("no table of resolvers")
	}
	head, rows, _ := strings.Cut(table, "\n")
	resolvers := strings.Split(strings.Trim(head, "| "), " | ")[1:]
	cut := filepath.Join(t.TempDir(), "cut.parquet")
	n := 0
	// Of a mean over a hit: who loses to whom where, as the text below the table says.
	loses := map[string]bool{}
	for row := range strings.Lines(rows) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(row), "| "), " | ")
		if len(cells) != len(resolvers)+3 {
			if n == 0 {
				continue // the line below the head
			}
			break
		}
		n++
		name, from := cells[0], cells[1]
		var start float64
		var cpus int
		if _, err := fmt.Sscanf(from+" "+cells[2], "%f ms %d", &start, &cpus); err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		ns := int64(start * 1e6)
		succeed(t, "slice", "-q", "-f", "--time", fmt.Sprintf("%dns,%dns", ns, ns+rankingWindow), "-o", cut, filepath.Join("../../traces/corpus", name+".parquet"))
		var doc reports.Document
		out := succeed(t, "run", "-q", "-f", "--json", "-o", filepath.Join(t.TempDir(), "x.run"), "--resolver", strings.Join(resolvers, ","),
			"--machine", "xeon-6138x2", "--cpus", fmt.Sprint(cpus), "--clone", fmt.Sprint(cpus/2), cut)
		if err := json.Unmarshal([]byte(out), &doc); err != nil {
			t.Fatal(err)
		}
		mean := map[string]reports.Nanos{}
		want := fmt.Sprintf("| %s | %s | %d |", name, from, cpus)
		for i, r := range doc.Runs {
			if r.Resolver != resolvers[i] {
				t.Fatalf("run %d is of %s, want %s", i, r.Resolver, resolvers[i])
			}
			mean[r.Resolver] = *r.ResolveNs.Mean
			if r.Resolver == "pervma" && *r.Fallbacks != 0 {
				t.Errorf("%s on %d CPUs: %d lookups met the lock of their VMA", name, cpus, *r.Fallbacks)
			}
			want += fmt.Sprintf(" %d |", *r.ResolveNs.Mean/1000)
		}
		if want != strings.TrimSpace(row) {
			t.Errorf("sim/README.md has\n%s\nand a replay gives\n%s", strings.TrimSpace(row), want)
		}
		if mean["speculative"] > mean["locked"] {
			loses[fmt.Sprintf("%s on %d", name, cpus)] = true
		}
		if slower := mean["pervma"] >= mean["speculative"]; slower != (cpus == 2 && strings.HasSuffix(name, "-jem")) {
			t.Errorf("%s on %d CPUs: pervma %v, speculative %v", name, cpus, mean["pervma"], mean["speculative"])
		}
	}
	if n != 28 {
		t.Errorf("%d rows, want 28", n)
	}
	text := strings.Join(strings.Fields(string(data)), " ")
	if want := "Speculation loses to the lock in " + strings.Join(sortedKeys(loses), ", ") + "."; !strings.Contains(text, want) {
		t.Errorf("sim/README.md does not say: %s", want)
	}
}
