package traces

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/traces/tracetest"
)

// duckdb runs a script of SQL statements, one to a line, and returns the rows of
// the last one.
func duckdb(t *testing.T, sql ...string) [][]any {
	t.Helper()
	folder := os.Getenv("REPLAY_DUCKDB")
	if folder == "" {
		t.Skip("REPLAY_DUCKDB does not name a folder where npm installed @duckdb/node-api")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node, which DuckDB runs in here, is not installed")
	}
	const script = `
const { DuckDBInstance } = require('@duckdb/node-api');
(async () => {
	const db = await (await DuckDBInstance.create()).connect();
	let rows;
	for (const sql of JSON.parse(process.argv[1])) rows = (await db.runAndReadAll(sql)).getRowsJson();
	console.log(JSON.stringify(rows));
})().catch(e => { console.error(e); process.exit(1); });`
	args, err := json.Marshal(sql)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "-e", script, string(args))
	cmd.Dir = folder
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("DuckDB: %v\n%s", err, stderr.String())
	}
	var rows [][]any
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatalf("DuckDB: %v in %q", err, out)
	}
	return rows
}

// everything returns rows of each kind with each column set in some and null in
// others.
func everything() []Event {
	events := synthetic(3000)
	for i := range events {
		e := &events[i]
		e.Kind = Kinds()[i%len(Kinds())]
		e.Has = Columns(i*2654435761>>3) & AllColumns
		e.Comm, e.Path, e.BuildID, e.Probe = fmt.Sprintf("c%d", i%7), "/lib/a b.so", "00ff", "g:n"
		e.Ret, e.NewAddr, e.Mm, e.Write, e.InUprobe = -12, 1<<63, ^uint64(0), i%3 == 0, i%5 == 0
		if i%4 == 0 {
			e.Stack = []string{"leaf+0x1 (x)", "main+0x2 (x)"}[:i%3]
		}
		e.Prot, e.Flags, e.Advice, e.DevMajor, e.DevMinor = 7, 34, 4, 8, 1
		e.Pgoff, e.NewLen, e.Inode, e.InodeGen = 4096, 8192, 99, 3
		for j := range columns {
			columns[j].zero(e)
		}
	}
	return inOrder(events)
}

// zero clears the column's field where it is null, as readers leave it.
func (c *column) zero(e *Event) {
	if c.bit == 0 || e.Got(c.bit) && (c.stack == nil || len(e.Stack) > 0) {
		return
	}
	switch {
	case c.i32 != nil:
		*c.i32(e) = 0
	case c.i64 != nil:
		*c.i64(e) = 0
	case c.u64 != nil:
		*c.u64(e) = 0
	case c.flag != nil:
		*c.flag(e) = false
	case c.text != nil:
		*c.text(e) = ""
	case c.stack != nil:
		e.Stack = nil
	}
}

func TestDuckDBAgreesOnTheRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	events := everything()
	store(t, path, events, someMeta)
	from := fmt.Sprintf("FROM '%s'", path)

	counts := map[string]string{}
	for _, row := range duckdb(t, "SELECT kind, count(*) "+from+" GROUP BY kind") {
		counts[row[0].(string)] = fmt.Sprint(row[1])
	}
	want := map[Kind]int{}
	for i := range events {
		want[events[i].Kind]++
	}
	for k, n := range want {
		if counts[k.String()] != fmt.Sprint(n) {
			t.Errorf("%s: DuckDB counts %s, there are %d", k, counts[k.String()], n)
		}
	}
	if len(counts) != len(want) {
		t.Errorf("DuckDB finds kinds %v", counts)
	}

	var query, values []string
	for i := range columns {
		n := 0
		for j := range events {
			if events[j].Got(columns[i].bit) {
				n++
			}
		}
		query = append(query, fmt.Sprintf("count(%s)", columns[i].name))
		values = append(values, fmt.Sprint(n))
	}
	got := duckdb(t, "SELECT "+strings.Join(query, ", ")+" "+from)[0]
	for i := range columns {
		if fmt.Sprint(got[i]) != values[i] {
			t.Errorf("%s: DuckDB finds %v values, there are %s", columns[i].name, got[i], values[i])
		}
	}
}

func TestDuckDBSeesTheSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	store(t, path, everything(), someMeta)
	var got bytes.Buffer
	for _, row := range duckdb(t, fmt.Sprintf("SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '%s')", path)) {
		fmt.Fprintln(&got, row...)
	}
	for _, row := range duckdb(t, fmt.Sprintf("SELECT decode(key), decode(value) FROM parquet_kv_metadata('%s') ORDER BY 1", path)) {
		fmt.Fprintln(&got, row...)
	}
	tracetest.Golden(t, "duckdb.golden", got.String())
}

// TestDuckDBWritesBack reads a trace that DuckDB has rewritten.
func TestDuckDBWritesBack(t *testing.T) {
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "t.parquet"), filepath.Join(dir, "copy.parquet")
	events := everything()
	store(t, path, events, someMeta)
	for _, options := range []string{"", ", COMPRESSION uncompressed", ", COMPRESSION gzip, DICTIONARY_SIZE_LIMIT 1", ", COMPRESSION zstd, PARQUET_VERSION v2", ", PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 1", ", ROW_GROUP_SIZE 2048"} {
		os.Remove(copied)
		duckdb(t, fmt.Sprintf("COPY (SELECT *, 1 AS extra FROM '%s') TO '%s' (FORMAT parquet, KV_METADATA {'replay.schema': '1'}%s)", path, copied, options))
		got, meta := readAll(t, copied, AllColumns)
		if d := cmp.Diff(events, got); d != "" {
			t.Errorf("%q (-written +read):\n%.2000s", options, d)
		}
		if meta.Schema != Schema {
			t.Errorf("%q: meta is %+v", options, meta)
		}
	}
}
