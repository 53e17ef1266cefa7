package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
	for _, name := range traceNames(t) {
		var info infoReport
		if err := json.Unmarshal([]byte(succeed(t, "info", "--json", name)), &info); err != nil {
			t.Fatal(err)
		}
		from := " FROM '" + name + "' "
		answers := duck(t,
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
		want := [][][]string{
			{{fmt.Sprint(info.Events)}}, kinds, probes, processes, {{fmt.Sprint(info.DurationNs)}}, {{"1"}},
		}
		if d := cmp.Diff(want, answers); d != "" {
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
