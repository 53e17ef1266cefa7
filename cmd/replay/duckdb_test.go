package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/reports"
	"github.com/replay/replay/traces/tracetest"
)

// duckScript answers the queries on its standard input, one JSON list of rows
// for each. Numbers come as text: JSON's would be rounded.
const duckScript = `
const { DuckDBConnection } = require('@duckdb/node-api');
(async () => {
  const queries = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const db = await DuckDBConnection.create();
  const answers = [];
  for (const q of queries) {
    const result = await db.runAndReadAll(q);
    answers.push(result.getRowsJson().map(row => row.map(v => v === null ? 'null' : String(v))));
  }
  console.log(JSON.stringify(answers));
})().catch(err => { console.error(String(err)); process.exit(1); });
`

// duck runs queries in DuckDB, in the current folder. It skips the test where
// there is no DuckDB.
func duck(t *testing.T, queries ...string) [][][]string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node to run DuckDB in")
	}
	modules := filepath.Join(os.Getenv("REPLAY_DUCKDB"), "node_modules")
	if _, err := os.Stat(filepath.Join(modules, "@duckdb")); err != nil {
		t.Skip("REPLAY_DUCKDB names no folder in which npm install @duckdb/node-api was run")
	}
	asked, err := json.Marshal(queries)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "-e", duckScript)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	cmd.Stdin = strings.NewReader(string(asked))
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		t.Fatalf("DuckDB: %s", failed.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	var answers [][][]string
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return answers
}

// traceNames are the traces that DuckDB is asked about: the small one, and each
// of the corpus.
func traceNames(t *testing.T) []string {
	corpus, err := filepath.Glob(filepath.Join(testdata, "../../../traces/corpus/*.parquet"))
	if err != nil || len(corpus) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	return append(corpus, "app.parquet", "lossy.parquet")
}

func TestDuckDBAgreesWithInfo(t *testing.T) {
	inFolder(t)
	var queries []string
	var want [][][]string
	for _, name := range traceNames(t) {
		var info reports.Info
		if err := json.Unmarshal([]byte(succeed(t, "info", "--json", name)), &info); err != nil {
			t.Fatal(err)
		}
		from := " FROM '" + name + "' "
		queries = append(queries,
			"SELECT count(*)"+from,
			"SELECT kind, count(*)"+from+"GROUP BY kind ORDER BY kind",
			"SELECT coalesce(probe, ''), count(*)"+from+"WHERE kind = 'hit' GROUP BY probe ORDER BY 2 DESC, 1",
			"SELECT pid, count(*)"+from+"WHERE pid IS NOT NULL GROUP BY pid ORDER BY 2 DESC, 1",
			"SELECT max(time_ns) - min(time_ns)"+from+"WHERE kind <> 'map'",
			"SELECT decode(value) FROM parquet_kv_metadata('"+name+"') WHERE decode(key) = 'replay.schema'",
		)
		kinds, probes, processes := [][]string{}, [][]string{}, [][]string{}
		for _, kind := range sortedKeys(info.Kinds) {
			kinds = append(kinds, []string{kind, fmt.Sprint(info.Kinds[kind])})
		}
		for _, p := range info.Probes {
			probes = append(probes, []string{p.Probe, fmt.Sprint(p.Hits)})
		}
		for _, p := range info.Processes {
			processes = append(processes, []string{fmt.Sprint(p.PID), fmt.Sprint(p.Events)})
		}
		want = append(want,
			[][]string{{fmt.Sprint(info.Events)}}, kinds, probes, processes, [][]string{{fmt.Sprint(info.DurationNs)}}, [][]string{{"1"}},
		)
	}
	answers := duck(t, queries...)
	for i, name := range traceNames(t) {
		n := len(queries) / len(traceNames(t))
		if d := cmp.Diff(want[n*i:n*(i+1)], answers[n*i:n*(i+1)]); d != "" {
			t.Errorf("%s (-info +DuckDB):\n%s", name, d)
		}
	}
}

// TestPrintedSQLRuns pastes what info prints.
func TestPrintedSQLRuns(t *testing.T) {
	inFolder(t)
	if err := os.Rename("app.parquet", "it's mine.parquet"); err != nil {
		t.Fatal(err)
	}
	_, sql, found := strings.Cut(succeed(t, "info", "it's mine.parquet"), "DuckDB:\n")
	if !found {
		t.Fatal("info prints no SQL")
	}
	var queries []string
	for q := range strings.SplitSeq(sql, ";") {
		if q = strings.TrimSpace(q); q != "" {
			queries = append(queries, q)
		}
	}
	answers := duck(t, queries...)
	if len(answers) < 2 {
		t.Fatalf("%d queries", len(answers))
	}
	for i, rows := range answers {
		if len(rows) == 0 {
			t.Errorf("no answer to %s", queries[i])
		}
	}
}

// TestDuckDBSeesTheSchema holds names and types of the columns, and that what is
// absent is null.
func TestDuckDBSeesTheSchema(t *testing.T) {
	inFolder(t)
	answers := duck(t,
		"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM 'app.parquet')",
		"SELECT count(*) FROM 'app.parquet' WHERE kind = 'hit' AND (dur_ns IS NOT NULL OR ret IS NOT NULL OR stack IS NOT NULL OR write IS NOT NULL)",
		"SELECT count(*) FROM 'app.parquet' WHERE kind = 'mmap' AND (dur_ns IS NULL OR addr IS NULL OR prot <> 3)",
		"SELECT count(*) FROM (SELECT seq, row_number() OVER (ORDER BY time_ns, cpu, seq) - 1 AS n FROM 'app.parquet') WHERE seq <> n",
	)
	var schema strings.Builder
	for _, column := range answers[0] {
		fmt.Fprintln(&schema, column[0], column[1])
	}
	tracetest.Golden(t, filepath.Join(testdata, "columns.golden"), schema.String())
	for i, rows := range answers[1:] {
		if rows[0][0] != "0" {
			t.Errorf("query %d: %s rows that must not be there", i+1, rows[0][0])
		}
	}
}

// TestDuckDBAgreesWithRecorded asks SQL for what the recorded kernel did: how often and
// how long who waited, of writers behind whom.
func TestDuckDBAgreesWithRecorded(t *testing.T) {
	inFolder(t)
	unknown, untimed := 0, 0
	var names, queries []string
	var want [][][]string
	for _, name := range traceNames(t) {
		var report reports.Document
		if err := json.Unmarshal([]byte(succeed(t, "run", "--json", "-f", "--resolver", "ideal", "-o", "out.run", name)), &report); err != nil {
			t.Fatal(err)
		}
		r := report.Recorded
		if r == nil {
			continue
		}
		// Where it is unknown which are of lookups, no figure of lookups or readers is told,
		// and the waiters are all readers.
		known, timed, lookups, reads, fallbacks := r.Fallbacks != nil, r.WriterWaitNs != nil, "0", "0", "0"
		if known {
			fallbacks = fmt.Sprint(*r.Fallbacks)
		} else {
			unknown++
		}
		switch {
		case !timed: // of lock_starts alone no wait is told
			untimed++
			if r.LockWaitNs != nil || r.ReaderWaitNs != nil || len(r.Waiters) > 0 || r.LongestWait != nil {
				t.Errorf("%s: nobody knows how long anybody waited: %+v", name, r)
			}
		case known:
			lookups, reads = r.LockWaitNs.Total.String(), r.ReaderWaitNs.Total.String()
		default:
			if r.Fallbacks != nil || r.ReaderWaitNs != nil {
				t.Errorf("%s: which lock events are of lookups is unknown: %v fallbacks, readers %v", name, r.Fallbacks, r.ReaderWaitNs)
			}
			var sum reports.Nanos
			for _, w := range r.Waiters {
				if w.Access != "write" {
					sum += w.WaitNs.Total
				}
			}
			reads = sum.String()
		}
		spans := `WITH l AS (SELECT time_ns AS t, seq, tid, mm, kind, write, in_uprobe,
			lag(kind) OVER w AS k0, lag(time_ns) OVER w AS t0, lag(write) OVER w AS w0, lag(in_uprobe) OVER w AS u0,
			lead(kind) OVER w AS k1, lead(time_ns) OVER w AS t1, lead(time_ns, 2) OVER w AS t2
			FROM '` + name + `' WHERE kind LIKE 'lock_%' AND coalesce(ret, 0) >= 0 WINDOW w AS (PARTITION BY tid, mm ORDER BY seq)),
			waits AS (SELECT tid, mm, w0 AS write, u0 AS lookup, t0 AS a, t AS b FROM l WHERE kind = 'lock_acquired' AND k0 = 'lock_start'),
			-- a downgrade in between is a lock_acquired, too
			holds AS (SELECT tid, mm, t AS a, CASE WHEN k1 = 'lock_acquired' THEN t2 ELSE t1 END AS b FROM l
				WHERE kind = 'lock_acquired' AND coalesce(k0, '') <> 'lock_acquired') `
		names = append(names, name)
		queries = append(queries,
			spans+"SELECT coalesce(sum(b - a), 0), coalesce(max(b - a), 0) FROM waits WHERE write",
			spans+fmt.Sprintf("SELECT coalesce(sum(b - a), 0) FROM waits WHERE lookup AND %v", known),
			spans+fmt.Sprintf("SELECT coalesce(sum(b - a), 0) FROM waits WHERE NOT write AND (NOT lookup OR NOT %v)", known),
			fmt.Sprintf("SELECT count(*) FROM '%s' WHERE in_uprobe AND %v", name, known),
			spans+"SELECT tid, count(*), sum(b - a), max(b - a) FROM waits WHERE write GROUP BY tid ORDER BY tid",
			// A writer that waits is behind whoever has the lock.
			spans+`SELECT coalesce(max(least(w.b, h.b) - greatest(w.a, h.a)), 0) FROM waits w JOIN holds h ON w.mm = h.mm AND h.a < w.b AND w.a < h.b
				WHERE w.write AND w.b - w.a = (SELECT max(b - a) FROM waits)`,
		)
		longest := "0"
		if w := r.LongestWait; w != nil && w.Access == "write" && w.Holder != nil {
			longest = w.Holder.ForNs.String()
		}
		writers := map[int32][]int64{}
		for _, w := range r.Waiters {
			if w.Access == "write" {
				sum := writers[w.TID]
				if sum == nil {
					sum = []int64{0, 0, 0}
				}
				writers[w.TID] = []int64{sum[0] + w.Waits, sum[1] + int64(w.WaitNs.Total)/1000, max(sum[2], int64(*w.WaitNs.Max)/1000)}
			}
		}
		rows := [][]string{}
		for _, tid := range slices.Sorted(maps.Keys(writers)) {
			w := writers[tid]
			rows = append(rows, []string{fmt.Sprint(tid), fmt.Sprint(w[0]), fmt.Sprint(w[1]), fmt.Sprint(w[2])})
		}
		total, worst := "0", "0"
		if timed {
			total = r.WriterWaitNs.Total.String()
		}
		if timed && r.WriterWaitNs.Max != nil {
			worst = r.WriterWaitNs.Max.String()
		}
		want = append(want,
			[][]string{{total, worst}}, [][]string{{lookups}}, [][]string{{reads}},
			[][]string{{fallbacks}}, rows, [][]string{{longest}},
		)
	}
	answers := duck(t, queries...)
	for i, name := range names {
		n := len(queries) / len(names)
		if d := cmp.Diff(want[n*i:n*(i+1)], answers[n*i:n*(i+1)]); d != "" {
			t.Errorf("%s (-report +DuckDB):\n%s", name, d)
		}
	}
	if unknown == 0 {
		t.Error("vacuous: of every trace it is known which lock events are of lookups")
	}
	if untimed == 0 {
		t.Error("vacuous: no trace has lock_starts alone")
	}
}
