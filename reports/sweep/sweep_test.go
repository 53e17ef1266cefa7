package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/pprof/profile"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/reports"
	"github.com/replay/replay/traces"
)

const corpus = "../../traces/corpus/"

// begin is the first rows of a trace of the corpus, for what is replayed often.
func begin(t testing.TB, name string) string {
	t.Helper()
	f, err := traces.Open(corpus + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stream, err := f.Events(traces.AllColumns)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	path := filepath.Join(t.TempDir(), name)
	w, err := traces.Create(path, traces.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for range 8000 {
		var ev traces.Event
		if err := stream.Next(&ev); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(&ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(f.Meta()); err != nil {
		t.Fatal(err)
	}
	return path
}

// grid is a small one.
func grid(paths ...string) *Grid {
	return &Grid{
		Schema: GridSchema, Traces: paths, Machines: []string{"generic"}, CPUs: []int{0, 4}, Timings: []string{"original"}, SpeedsPPM: []int64{1_000_000}, Clones: []int{1},
		Placements: []string{"recorded"}, Layouts: []string{""}, Seeds: []uint64{1}, WhatIfs: [][]string{{}, {"munmap: drop"}}, Resolvers: []string{"locked", "speculative"},
	}
}

func cellsOf(t testing.TB, g *Grid) []Cell {
	t.Helper()
	cells, err := g.Cells(machines.Load)
	if err != nil {
		t.Fatal(err)
	}
	return cells
}

// files is a Source of the corpus. opened counts what was read.
type files struct {
	opened atomic.Int64
	limit  func(name string) error // may refuse
}

func (f *files) SHA256(_ context.Context, name string) (string, error) {
	if _, err := os.Stat(name); err != nil {
		return "", err
	}
	return "sha of " + filepath.Base(name), nil
}

func (f *files) Open(_ context.Context, name string) (timeline.Trace, int64, func(), error) {
	f.opened.Add(1)
	if f.limit != nil {
		if err := f.limit(name); err != nil {
			return nil, 0, nil, err
		}
	}
	t, err := traces.Open(name)
	if err != nil {
		return nil, 0, nil, err
	}
	return &Stored{t, name, "sha of " + filepath.Base(name)}, t.NumRows(), func() { t.Close() }, nil
}

func run(t testing.TB, dir string, f *files, g *Grid) []*Record {
	t.Helper()
	store, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	records, err := (&Runner{Source: f, Store: store}).Run(t.Context(), g.Traces, cellsOf(t, g))
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// outputs are all files of a sweep.
func outputs(t testing.TB, g *Grid, records []*Record) map[string]string {
	t.Helper()
	d, err := NewDocument(g, records)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, o := range d.Outputs() {
		var b bytes.Buffer
		if err := o.Write(&b); err != nil {
			t.Fatal(err)
		}
		all[o.Name] = b.String()
	}
	return all
}

// A cell of a sweep has the figures of the run that its command makes.
func TestCellIsItsRun(t *testing.T) {
	g := grid(corpus + "churn-1x1.parquet")
	records := run(t, t.TempDir(), &files{}, g)
	cells := cellsOf(t, g)
	if len(records) != 8 || len(cells) != 8 {
		t.Fatalf("%d records of %d cells", len(records), len(cells))
	}
	f := &files{}
	for i, r := range records {
		trace, _, release, err := f.Open(t.Context(), g.Traces[0])
		if err != nil {
			t.Fatal(err)
		}
		res, err := replay.Play(t.Context(), trace, cells[i].Profile, cells[i].Options, nil)
		release()
		if err != nil {
			t.Fatal(err)
		}
		want := reports.NewEntry(reports.NewDocument(res)).Runs[0]
		if diff := cmp.Diff(want.Metrics, r.Metrics); diff != "" || want.Digest != r.Digest || r.CPUs != res.Machine.CPUs {
			t.Errorf("cell %s: digest %s, want %s; (-run +cell):\n%s", cells[i], r.Digest, want.Digest, diff)
		}
		p, err := profile.ParseData(r.Profile)
		if err != nil {
			t.Fatal(err)
		}
		var hits int64
		for _, s := range p.Sample {
			hits += s.Value[0]
		}
		var inHist int64
		for _, bin := range r.Hist {
			inHist += bin[2]
		}
		if n := r.Metrics["hits"].Milli / 1000; hits != n || inHist != n {
			t.Errorf("cell %s: %d hits, %d in the profile and %d in the histogram", cells[i], n, hits, inHist)
		}
	}
	if records[0].Digest == records[4].Digest && records[1].Digest == records[3].Digest {
		t.Error("vacuous: cells do not differ")
	}
}

// One core, several, a sweep that was cut and gone on with, and one that grew give the
// same bytes.
func TestSameBytes(t *testing.T) {
	g := grid(begin(t, "churn-1x1.parquet"), begin(t, "nop5.parquet"), begin(t, "stress-malloc-z.parquet"))
	old := runtime.GOMAXPROCS(1)
	want := outputs(t, g, run(t, t.TempDir(), &files{}, g))
	runtime.GOMAXPROCS(max(old, 4))
	got := outputs(t, g, run(t, t.TempDir(), &files{}, g))
	runtime.GOMAXPROCS(old)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("on one core (-) and on several (+):\n%.2000s", diff)
	}
	if len(want) != 3+8 {
		t.Errorf("%d files", len(want))
	}

	dir := t.TempDir()
	store, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f := &files{limit: func(name string) error { // in the middle: one trace is done
		if strings.Contains(name, "nop5") {
			cancel()
		}
		return nil
	}}
	runtime.GOMAXPROCS(1)
	_, err = (&Runner{Source: f, Store: store}).Run(ctx, g.Traces, cellsOf(t, g))
	runtime.GOMAXPROCS(old)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cut: %v", err)
	}
	rest := &files{}
	if diff := cmp.Diff(want, outputs(t, g, run(t, dir, rest, g))); diff != "" {
		t.Errorf("at once (-) and in two parts (+):\n%.2000s", diff)
	}
	if n := rest.opened.Load(); n == 0 || n >= 3 {
		t.Errorf("the second part read %d traces of 3", n)
	}
	none := &files{}
	run(t, dir, none, g)
	if n := none.opened.Load(); n != 0 {
		t.Errorf("a sweep that is done reads %d traces", n)
	}

	small := grid(g.Traces[:2]...)
	small.CPUs = []int{4}
	dir = t.TempDir()
	run(t, dir, &files{}, small)
	if diff := cmp.Diff(want, outputs(t, g, run(t, dir, &files{}, g))); diff != "" {
		t.Errorf("at once (-) and grown (+):\n%.2000s", diff)
	}
}

// A sweep that is cut keeps the cells of a trace that are done, where not all of them share
// a reconstruction, and replays the others alone when it goes on.
func TestCutWithinTrace(t *testing.T) {
	g := grid(begin(t, "churn-1x1.parquet"))
	cells := cellsOf(t, g)
	other := cells[0].Profile.Clone()
	other.Name, other.Recorder.HitLag = "other", other.Recorder.HitLag+40
	for _, c := range cellsOf(t, g) {
		cells = append(cells, Cell{other, c.Options})
	}
	play := func(ctx context.Context, dir string, progress func(done, total int64)) ([]*Record, error) {
		store, err := OpenStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		return (&Runner{Source: &files{}, Store: store, Progress: progress}).Run(ctx, g.Traces, cells)
	}
	stored := func(dir string) []string {
		names, err := filepath.Glob(dir + "/*/*.json")
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	want, err := play(t.Context(), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	_, err = play(ctx, dir, func(int64, int64) {
		if len(stored(dir)) > 0 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("not cut: %v", err)
	}
	kept := stored(dir)
	if len(kept) != 8 {
		t.Fatalf("%d cells are kept, want the first 8 of 16", len(kept))
	}
	for _, name := range kept { // what is replayed again is written again
		if err := os.Chtimes(name, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := play(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("at once (-) and in two parts (+):\n%.2000s", diff)
	}
	for _, name := range kept {
		if info, err := os.Stat(name); err != nil || info.ModTime().Unix() != 1 {
			t.Errorf("%s was replayed twice (%v)", name, err)
		}
	}
}

// A record that cannot be kept ends the sweep: it is no failure of the trace.
func TestStoreFails(t *testing.T) {
	g := grid(corpus + "churn-1x1.parquet")
	dir := t.TempDir()
	store, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	cells := cellsOf(t, g)
	blocked := store.path(cells[0].Key("sha of churn-1x1.parquet"))
	f := &files{limit: func(string) error { // a file is where the folder should be
		return os.WriteFile(filepath.Dir(blocked), nil, 0o666)
	}}
	if _, err := (&Runner{Source: f, Store: store}).Run(t.Context(), g.Traces, cells); err == nil || !strings.Contains(err.Error(), "store of cells") {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(filepath.Dir(blocked)); err != nil {
		t.Fatal(err)
	}
	for i := range cells {
		if r, err := store.Get(cells[i].Key("sha of churn-1x1.parquet")); err != nil || r != nil && r.Error != "" {
			t.Errorf("%s is said to have failed: %+v, %v", cells[i], r, err)
		}
	}
}

// tearing is a trace that cannot be read any more at some time.
type tearing struct {
	timeline.Trace
	torn func() bool
}

func (t tearing) Stream(c traces.Columns) (traces.Stream, error) {
	if t.torn() {
		return nil, errors.New("torn")
	}
	return t.Trace.Stream(c)
}

// Cells that are done stay so when their trace fails the others.
func TestTraceFailsLater(t *testing.T) {
	g := grid(corpus + "churn-1x1.parquet")
	cells := cellsOf(t, g)
	other := cells[0].Profile.Clone()
	other.Name, other.Recorder.HitLag = "other", other.Recorder.HitLag+40
	for _, c := range cellsOf(t, g) {
		cells = append(cells, Cell{other, c.Options})
	}
	store, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	torn := func() bool {
		names, err := filepath.Glob(store.dir + "/*/*.json")
		return err != nil || len(names) > 0
	}
	records, err := (&Runner{Source: tornFiles{&files{}, torn}, Store: store}).Run(t.Context(), g.Traces, cells)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		if failed := strings.Contains(r.Error, "torn"); failed != (i >= 8) {
			t.Errorf("cell %d: %q", i, r.Error)
		}
	}
}

// tornFiles is files, of traces that tear.
type tornFiles struct {
	*files
	torn func() bool
}

func (f tornFiles) Open(ctx context.Context, name string) (timeline.Trace, int64, func(), error) {
	trace, rows, release, err := f.files.Open(ctx, name)
	return tearing{trace, f.torn}, rows, release, err
}

// A trace that cannot be read, and a cell that cannot be replayed, do not sink the rest,
// say how to see it again, and are tried again the next time.
func TestFailures(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.parquet")
	if err := os.WriteFile(bad, []byte("PAR1 nothing"), 0o666); err != nil {
		t.Fatal(err)
	}
	g := grid(corpus+"churn-1x1.parquet", bad, "missing.parquet")
	dir := t.TempDir()
	f := &files{}
	records := run(t, dir, f, g)
	d, err := NewDocument(g, records)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Failed) != 16 || d.Merged[0].Traces != 1 || d.Merged[0].Failed != 2 {
		t.Errorf("%d failed, merged %+v", len(d.Failed), d.Merged[0])
	}
	for _, x := range d.Failed {
		if x.Error == "" || len(x.Repeat) < 10 || x.Repeat[1] != "run" || !strings.HasSuffix(x.Repeat[len(x.Repeat)-1], x.Trace) {
			t.Errorf("%+v", x)
		}
	}
	if slices.Index(d.Failed[2].Repeat, "--what-if") < 0 {
		t.Errorf("the command lacks what was otherwise: %v", d.Failed[2].Repeat)
	}
	opened := f.opened.Load()
	run(t, dir, f, g)
	if f.opened.Load() != opened+1 {
		t.Errorf("%d more traces were read, want the bad one", f.opened.Load()-opened)
	}
	for name, text := range outputs(t, g, records) {
		if name == "sweep.html" && !strings.Contains(text, "was not replayed") {
			t.Error("the page does not tell of failures")
		}
	}
}

// All dimensions, the profile's figures and the trace are in the key; names of files are not.
func TestKeys(t *testing.T) {
	base := grid("x")
	base.CPUs, base.WhatIfs, base.Resolvers = []int{2}, [][]string{{}}, []string{"speculative"}
	key := func(change func(*Grid), sha string) string {
		g := *base
		change(&g)
		cells := cellsOf(t, &g)
		if len(cells) != 1 {
			t.Fatalf("%d cells", len(cells))
		}
		return cells[0].Key(sha)
	}
	seen := map[string]string{}
	for name, change := range map[string]func(*Grid){
		"nothing": func(*Grid) {}, "machine": func(g *Grid) { g.Machines = []string{"xeon-6138x2"} }, "cpus": func(g *Grid) { g.CPUs = []int{3} },
		"timing": func(g *Grid) { g.Timings = []string{"think"} }, "speed": func(g *Grid) { g.SpeedsPPM = []int64{2_000_000} }, "clone": func(g *Grid) { g.Clones = []int{2} },
		"placement": func(g *Grid) { g.Placements = []string{"pack"} }, "layout": func(g *Grid) { g.Layouts = []string{"seq-apart"} }, "seed": func(g *Grid) { g.Seeds = []uint64{2} },
		"what if": func(g *Grid) { g.WhatIfs = [][]string{{"munmap: drop"}} }, "resolver": func(g *Grid) { g.Resolvers = []string{"ideal"} },
	} {
		for _, sha := range []string{"a", "b"} {
			k := key(change, sha)
			if was := seen[k]; was != "" || len(k) != 32 {
				t.Errorf("%s and %s have the same key %s", name, was, k)
			}
			seen[k] = name + " " + sha
		}
	}
	a, b := *base, *base
	a.Traces, b.Traces = []string{"/here/x"}, []string{"/there/x"}
	if cellsOf(t, &a)[0].Key("a") != cellsOf(t, &b)[0].Key("a") {
		t.Error("the place of the file is in the key")
	}
	profile, err := machines.Load("generic")
	if err != nil {
		t.Fatal(err)
	}
	mine := profile.Clone()
	mine.Line.RMWCycles++
	if (&Cell{profile, cellsOf(t, base)[0].Options}).Key("a") == (&Cell{mine, cellsOf(t, base)[0].Options}).Key("a") {
		t.Error("a figure of the machine is not in the key")
	}
}

func TestGridRefuses(t *testing.T) {
	for want, change := range map[string]func(*Grid){
		"no cpus":           func(g *Grid) { g.CPUs = nil },
		"no what_ifs":       func(g *Grid) { g.WhatIfs = nil },
		"CPUs, not 5000":    func(g *Grid) { g.CPUs = []int{5000} },
		"unknown timing":    func(g *Grid) { g.Timings = []string{"never"} },
		"unknown placement": func(g *Grid) { g.Placements = []string{"up"} },
		"unknown layout":    func(g *Grid) { g.Layouts = []string{"flat"} },
		"speed 0 ppm":       func(g *Grid) { g.SpeedsPPM = []int64{0} },
		"0 clones":          func(g *Grid) { g.Clones = []int{0} },
		"no operation":      func(g *Grid) { g.WhatIfs = [][]string{{"x: drop"}} },
		"is in it twice":    func(g *Grid) { g.Seeds = []uint64{1, 1} },
		"more than 100000":  func(g *Grid) { g.Seeds = make([]uint64, 90_000) },
		"nosuch":            func(g *Grid) { g.Resolvers = []string{"nosuch"} },
	} {
		g := grid("x")
		change(g)
		if cells, err := g.Cells(machines.Load); err == nil || cells != nil || !strings.Contains(err.Error(), want) || !errors.Is(err, ErrGrid) {
			t.Errorf("%s: got %d cells, %v", want, len(cells), err)
		}
	}
	g := grid("x")
	g.Machines = []string{"nosuch"}
	if _, err := g.Cells(machines.Load); !errors.Is(err, machines.ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

func FuzzReadGrid(f *testing.F) {
	data, err := json.Marshal(grid("a.parquet"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"schema":"replay.grid/1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := ReadGrid(data, "m")
		if (g == nil) != (err != nil) {
			t.Fatalf("got %v and %v", g, err)
		}
		if g == nil || len(g.Machines) > 2 {
			return
		}
		g.Machines = []string{"generic"}
		if cells, err := g.Cells(machines.Load); (len(cells) == 0) != (err != nil) {
			t.Fatalf("%d cells and %v", len(cells), err)
		}
	})
}

// Records merge to the same whatever the order and grouping.
func TestMergeInAnyOrder(t *testing.T) {
	g := grid(corpus+"churn-1x1.parquet", corpus+"nop5.parquet", corpus+"stress-malloc-z.parquet", corpus+"javac.parquet")
	g.CPUs, g.WhatIfs, g.Resolvers = []int{4}, [][]string{{}}, []string{"speculative"}
	records := run(t, t.TempDir(), &files{}, g)
	failed := newRecord("x", "x", &cellsOf(t, g)[0])
	failed.fail(errors.New("no"), &cellsOf(t, g)[0], "x")
	records = append(records, failed)
	var want []byte
	rapid.Check(t, func(rt *rapid.T) {
		order := rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(rt, "order")
		var parts []*Merged
		for _, i := range order {
			parts = append(parts, NewMerged(records[i]))
		}
		for len(parts) > 1 {
			i := rapid.IntRange(0, len(parts)-2).Draw(rt, "pair")
			m, err := Merge(parts[i], parts[i+1])
			if err != nil {
				rt.Fatal(err)
			}
			parts = slices.Replace(parts, i, i+2, m)
		}
		got, err := json.Marshal(struct {
			*Merged
			Profile []byte
		}{parts[0], parts[0].Profile})
		if err != nil {
			rt.Fatal(err)
		}
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) {
			rt.Fatalf("order %v gives another sum", order)
		}
	})
	var hits int64
	for _, r := range records {
		hits += r.Metrics["hits"].Milli
	}
	d, err := NewDocument(g, records)
	if err != nil {
		t.Fatal(err)
	}
	if m := d.Merged[0]; m.Metrics["hits"].Milli != hits || m.Traces != 4 || m.Failed != 1 {
		t.Errorf("%d traces, %d failed, %s hits of %d", m.Traces, m.Failed, m.Metrics["hits"], hits/1000)
	}
	if _, err := Merge(NewMerged(records[0]), &Merged{Key: "other"}); err == nil {
		t.Error("two configurations are added up")
	}
}

// A profile is the same bytes however its samples are ordered.
// What is unknown of one trace is unknown of the sum, whichever comes first.
func TestMergeKeepsUnknown(t *testing.T) {
	merged := func(metrics map[string]reports.Figure) *Merged {
		return &Merged{Key: "k", Traces: 1, Metrics: metrics}
	}
	a := merged(map[string]reports.Figure{"both": {Milli: 1000, Known: true}, "one": {Milli: 1000, Known: true}, "none": {}, "a": {Milli: 1000, Known: true}})
	b := merged(map[string]reports.Figure{"both": {Milli: 2000, Known: true}, "one": {}, "none": {}, "b": {Milli: 1000, Known: true}})
	want := map[string]reports.Figure{"both": {Milli: 3000, Known: true}, "one": {}, "none": {}, "a": {}, "b": {}}
	for _, pair := range [][2]*Merged{{a, b}, {b, a}} {
		sum, err := Merge(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, sum.Metrics); diff != "" {
			t.Errorf("sum (-want +got):\n%s", diff)
		}
	}
}

func TestCanonicalProfile(t *testing.T) {
	g := grid(corpus + "churn-1x1.parquet")
	r := run(t, t.TempDir(), &files{}, g)[1]
	p, err := profile.ParseData(r.Profile)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Sample) < 4 {
		t.Fatalf("vacuous: %d samples", len(p.Sample))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(p.Sample), func(i, j int) { p.Sample[i], p.Sample[j] = p.Sample[j], p.Sample[i] })
	again, err := canonical(p)
	if err != nil || !bytes.Equal(again, r.Profile) {
		t.Errorf("other bytes in another order: %v", err)
	}
	twice, err := MergeProfiles(r.Profile, r.Profile)
	if err != nil {
		t.Fatal(err)
	}
	q, err := profile.ParseData(twice)
	if err != nil || len(q.Sample) != len(p.Sample) {
		t.Errorf("%d samples of %d, %v", len(q.Sample), len(p.Sample), err)
	}
	counts, err := canonical(firstColumn(p))
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2][]byte{{counts, r.Profile}, {r.Profile, counts}, {nil, counts}, {counts, nil}} {
		if _, err := MergeProfiles(pair[0], pair[1]); err != nil {
			t.Error(err)
		}
	}
}

// A record reads back as it was; what is no record counts as none.
func TestStore(t *testing.T) {
	g := grid(corpus + "churn-1x1.parquet")
	dir := t.TempDir()
	records := run(t, dir, &files{}, g)
	store, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		got, err := store.Get(r.Key)
		if err != nil || cmp.Diff(r, got) != "" {
			t.Errorf("%v\n%s", err, cmp.Diff(r, got))
		}
	}
	path := store.path(records[0].Key)
	for _, text := range []string{"", "{}", `{"key":"other"}`, "null", "[1]"} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Get(records[0].Key); got != nil || err != nil {
			t.Errorf("%q is the record %+v, %v", text, got, err)
		}
	}
	if diff := cmp.Diff(outputs(t, g, records), outputs(t, g, run(t, dir, &files{}, g))); diff != "" {
		t.Errorf("a broken record is not replayed again:\n%.1000s", diff)
	}
	if left, err := filepath.Glob(dir + "/*/*.tmp*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The Parquet file has the columns that the package's documentation lists, and the figures of
// the records.
func TestParquet(t *testing.T) {
	g := grid(corpus+"churn-1x1.parquet", "missing.parquet")
	records := run(t, t.TempDir(), &files{}, g)
	data := outputs(t, g, records)["sweep.parquet"]
	f, err := parquet.OpenFile(strings.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(regexp.MustCompile(`(?m)^//`).ReplaceAllString(string(doc), "")), " ")
	var names []string
	for _, c := range f.Schema().Columns() {
		names = append(names, c[0])
	}
	var wanted []string
	for _, c := range columns() {
		wanted = append(wanted, c.name)
	}
	if diff := cmp.Diff(wanted, names); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	at := 0
	for _, name := range names[:len(names)-len(reports.MetricNames())] {
		i := regexp.MustCompile(`\b` + name + `\b`).FindStringIndex(text[at:])
		if i == nil {
			t.Errorf("column %s is not in the documentation, or out of order", name)
			continue
		}
		at += i[1]
	}
	rows := parquet.NewReader(f)
	index := slices.Index(names, "fallbacks")
	for i := range records {
		row := make([]parquet.Row, 1)
		if n, _ := rows.ReadRows(row); n != 1 {
			t.Fatalf("row %d is missing", i)
		}
		v := row[0][index]
		if want := records[i].Metrics["fallbacks"]; v.IsNull() == want.Known || want.Known && v.Int64() != want.Milli/1000 {
			t.Errorf("row %d has %v fallbacks, want %s", i, v, want)
		}
	}
}

// The page works offline, and draws along what has several values.
func TestPage(t *testing.T) {
	g := grid(corpus + "churn-1x1.parquet")
	page := outputs(t, g, run(t, t.TempDir(), &files{}, g))["sweep.html"]
	if regexp.MustCompile(`(src|href)="[^"d]`).MatchString(page) || strings.Contains(page, "@import") {
		t.Error("the page loads something")
	}
	for _, want := range []string{"Hits that took mmap_lock, churn-1x1.parquet", `"X":"CPUs"`, `"At":[2,4]`, "as recorded, locked", "munmap: drop, speculative"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	g.CPUs, g.Clones = []int{4}, []int{1, 2, 3}
	if page := outputs(t, g, run(t, t.TempDir(), &files{}, g))["sweep.html"]; !strings.Contains(page, `"X":"clones"`) {
		t.Error("clones are not drawn along")
	}
}

// What a run warns of, the table and the page of a sweep tell, too: of which trace, and of
// how many of its cells.
func TestNotes(t *testing.T) {
	g := grid(corpus+"stress-malloc-z.parquet", corpus+"churn-1x1.parquet")
	g.CPUs, g.WhatIfs, g.Placements = []int{0}, [][]string{{}, {"mmap by comm=nosuch: drop"}}, []string{"recorded", "spread"}
	records := run(t, t.TempDir(), &files{}, g)
	d, err := NewDocument(g, records)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := d.Text(&b); err != nil {
		t.Fatal(err)
	}
	page := outputs(t, g, records)["sweep.html"]
	const unmatched = ".parquet: what if mmap by comm=nosuch: drop: nothing in the trace is a case of that"
	for _, want := range []string{"stress-malloc-z" + unmatched, "churn-1x1" + unmatched, "stress-malloc-z.parquet: writers waited "} {
		if want = "4 of 8 cells of " + want; strings.Count(b.String(), "\nnote: "+want) != 1 || strings.Count(page, want) != 1 {
			t.Errorf("the text or the page lacks %q, or repeats it:\n%s", want, b.String())
		}
	}
	for i := range d.Cells {
		for n := range 30 {
			d.Cells[i].Warnings = append(d.Cells[i].Warnings, fmt.Sprint("warning ", n))
		}
	}
	b.Reset()
	if err := d.Text(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\nnote: "); n != notesShown+1 || !strings.HasSuffix(b.String(), "more; sweep.json has all\n") || !strings.Contains(b.String(), "note: stress-malloc-z.parquet: warning 0\n") {
		t.Errorf("%d notes:\n%s", n, b.String())
	}
}

// Progress goes up to its end, over several traces.
func TestProgress(t *testing.T) {
	g := grid(corpus+"churn-1x1.parquet", corpus+"nop5.parquet")
	store, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var last, of int64
	var seen []string
	r := &Runner{Source: &files{}, Store: store, Progress: func(done, total int64) {
		if done < last || done > total {
			seen = append(seen, fmt.Sprint(last, " to ", done, " of ", total))
		}
		last, of = done, total
	}}
	if _, err := r.Run(t.Context(), g.Traces, cellsOf(t, g)); err != nil {
		t.Fatal(err)
	}
	if last != of || of == 0 || len(seen) > 0 {
		t.Errorf("ended at %d of %d; %v", last, of, seen)
	}
}
