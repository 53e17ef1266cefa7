package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"
	"github.com/google/pprof/profile"

	"github.com/replay/replay/reports"
)

// aRun is the folder of a run, read back in all its forms.
type aRun struct {
	name, dir  string
	doc        *reports.Document
	text, page string
}

// corpusRuns replays the recordings with lock events that the corpus has.
func corpusRuns(t *testing.T, names ...string) []aRun {
	t.Helper()
	var all []aRun
	for _, name := range names {
		dir := filepath.Join(t.TempDir(), name+".run")
		r := aRun{name: name, dir: dir, text: succeed(t, "run", "-q", "-o", dir, filepath.Join(testdata, "../../../traces/corpus", name+".parquet"))}
		page, err := os.ReadFile(filepath.Join(dir, "report.html"))
		if err != nil {
			t.Fatal(err)
		}
		r.page = string(page)
		if r.doc, err = readReport(dir); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// sums are the columns of a profile, added up over the samples of a root frame or of all.
func (r *aRun) sums(t *testing.T, name string) map[string]int64 {
	t.Helper()
	f, err := os.Open(filepath.Join(r.dir, name+".pb.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]int64{}
	for _, s := range p.Sample {
		for i, v := range s.Value {
			sums[p.SampleType[i].Type] += v
		}
	}
	return sums
}

// bar is a bar of a timeline.
type timelineBar struct {
	Phase string      `json:"ph"`
	PID   int64       `json:"pid"`
	Cat   string      `json:"cat"`
	Dur   json.Number `json:"dur"` // µs
	Name  string      `json:"name"`
	Args  struct {
		Name string `json:"name"`
	} `json:"args"`
}

// bars are the number and the length in ns of a timeline's bars, by their process's name
// up to its number and by their category.
func (r *aRun) bars(t *testing.T) (count, ns map[string]int64) {
	t.Helper()
	var doc struct{ TraceEvents []timelineBar }
	if err := json.Unmarshal([]byte(succeed(t, "export", "--to", "perfetto", r.dir)), &doc); err != nil {
		t.Fatal(err)
	}
	process := map[int64]string{}
	count, ns = map[string]int64{}, map[string]int64{}
	for _, e := range doc.TraceEvents {
		if e.Phase == "M" && e.Name == "process_name" {
			process[e.PID], _, _ = strings.Cut(e.Args.Name, ":")
		}
	}
	for _, e := range doc.TraceEvents {
		if e.Phase == "X" {
			key := process[e.PID] + " " + e.Cat
			length, err := strconv.ParseInt(strings.Replace(e.Dur.String(), ".", "", 1), 10, 64) // three decimals
			if err != nil {
				t.Fatal(err)
			}
			count[key]++
			ns[key] += length
		}
	}
	return count, ns
}

// table is a table of a report in CSV: its rows by the names of the header.
func (r *aRun) table(t *testing.T, name string) []map[string]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(succeed(t, "export", "--to", "csv", "--table", name, r.dir))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, row := range rows[1:] {
		named := map[string]string{}
		for i, key := range rows[0] {
			named[key] = row[i]
		}
		all = append(all, named)
	}
	return all
}

// rowsAgree holds that the rows of a run's tables add up to it, in JSON and in CSV: its
// probes, processes, threads, CPUs, slices of time, and those that fight for lines.
func (r *aRun) rowsAgree(t *testing.T, agree func(what string, got, want any)) {
	t.Helper()
	for i := range r.doc.Runs {
		run := &r.doc.Runs[i]
		name := run.Resolver
		each := func(what string, rows func(yield func(hits, fallbacks int64, each *reports.Each))) {
			var hits, fallbacks int64
			var resolve, wait reports.Nanos
			var longest reports.Nanos
			rows(func(n, f int64, e *reports.Each) {
				hits, fallbacks = hits+n, fallbacks+f
				resolve, wait = resolve+e.ResolveEachNs.Total, wait+e.LockWaitEachNs.Total
				if e.ResolveEachNs.Max != nil {
					longest = max(longest, *e.ResolveEachNs.Max)
				}
			})
			agree(name+" hits by "+what, hits, *run.Hits)
			agree(name+" fallbacks by "+what, fallbacks, *run.Fallbacks)
			agree(name+" resolve ns by "+what, resolve, run.ResolveNs.Total)
			agree(name+" wait ns by "+what, wait, run.LockWaitNs.Total)
			agree(name+" longest by "+what, longest, *run.ResolveNs.Max)
		}
		each("probe", func(yield func(int64, int64, *reports.Each)) {
			for i := range r.doc.Probes {
				if p := &r.doc.Probes[i]; p.Resolver == name {
					yield(*p.Hits, *p.Fallbacks, &p.Each)
				}
			}
		})
		each("process", func(yield func(int64, int64, *reports.Each)) {
			for i := range *r.doc.Mms {
				if m := &(*r.doc.Mms)[i]; m.Resolver == name {
					yield(m.Hits, m.Fallbacks, &m.Each)
				}
			}
		})
		each("thread", func(yield func(int64, int64, *reports.Each)) {
			for i := range *r.doc.Threads {
				if x := &(*r.doc.Threads)[i]; x.Resolver == name {
					yield(x.Hits, x.Fallbacks, &x.Each)
				}
			}
		})
		each("CPU", func(yield func(int64, int64, *reports.Each)) {
			for i := range *r.doc.CPUs {
				if c := &(*r.doc.CPUs)[i]; c.Resolver == name {
					yield(c.Hits, c.Fallbacks, &c.Each)
				}
			}
		})
		var hits, fallbacks int64
		var resolve, wait reports.Nanos
		over := run.OverTime
		for i := range over.Hits {
			hits, fallbacks = hits+over.Hits[i], fallbacks+over.Fallbacks[i]
			resolve, wait = resolve+over.ResolveNs[i], wait+over.LockWaitNs[i]
		}
		agree(name+" hits over time", hits, *run.Hits)
		agree(name+" fallbacks over time", fallbacks, *run.Fallbacks)
		agree(name+" resolve ns over time", resolve, run.ResolveNs.Total)
		agree(name+" wait ns over time", wait, run.LockWaitNs.Total)
	}
	for _, table := range []struct {
		name  string
		hits  int
		total string
	}{{"threads", len(*r.doc.Threads), "resolve_each_ns.total"}, {"cpus", len(*r.doc.CPUs), "lock_wait_each_ns.p99"}, {"pairs", len(*r.doc.Pairs), "stall_ns"}} {
		rows := r.table(t, table.name)
		agree("rows of "+table.name+" in CSV", len(rows), table.hits)
		if _, there := rows[0][table.total]; !there {
			t.Errorf("%s: %s in CSV has no %s: %v", r.name, table.name, table.total, rows[0])
		}
	}
	type line struct{ resolver, line string }
	transfers, stall := map[line]int64{}, map[line]reports.Nanos{}
	for _, p := range *r.doc.Pairs {
		transfers[line{p.Resolver, p.Line}] += p.Transfers
		stall[line{p.Resolver, p.Line}] += p.StallNs
	}
	for _, l := range *r.doc.Lines {
		agree(l.Resolver+" transfers of "+l.Line+" by pair", transfers[line{l.Resolver, l.Line}], l.Transfers)
		agree(l.Resolver+" stall of "+l.Line+" by pair", stall[line{l.Resolver, l.Line}], l.StallNs)
	}
}

// TestFormsAgree holds that a figure is the same wherever it stands: in text, JSON, page,
// profiles, timeline and exports. That report.json has what SQL counts in the trace is
// TestDuckDBAgreesWithRecorded.
func TestFormsAgree(t *testing.T) {
	if testing.Short() {
		t.Skip("it replays whole recordings")
	}
	for _, r := range corpusRuns(t, "churn-1x1", "javac", "stress-malloc-z") {
		agree := func(what string, got, want any) {
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %s is %v, report.json has %v", r.name, what, got, want)
			}
		}
		said := func(what string) {
			for form, text := range map[string]string{"text": strings.Join(strings.Fields(r.text), " "), "page": r.page} {
				if !strings.Contains(text, what) {
					t.Errorf("%s: the %s does not say %q", r.name, form, what)
				}
			}
		}
		metrics := succeed(t, "export", "--to", "openmetrics", r.dir)
		benchfmt := succeed(t, "export", "--to", "benchfmt", r.dir)
		bars, barNs := r.bars(t)
		runs := r.table(t, "runs")
		for i := range r.doc.Runs {
			run := &r.doc.Runs[i]
			name := run.Resolver
			hits := r.sums(t, name)
			agree(name+" hits of the profile", hits["hits"], *run.Hits)
			agree(name+" fallbacks of the profile", hits["fallbacks"], *run.Fallbacks)
			agree(name+" transfers of the profile", hits["line_transfers"], *run.LineTransfers)
			agree(name+" resolve ns of the profile", hits["resolve"], int64(run.ResolveNs.Total)/1000)
			agree(name+" wait ns of the profile", hits["lock_wait"], int64(run.LockWaitNs.Total)/1000)
			blame := r.sums(t, name+".blame")
			var sections, fallbacks int64
			var wait reports.Nanos
			for _, b := range *r.doc.Blame {
				if b.Resolver == name {
					sections += b.Sections
					fallbacks += b.Fallbacks
					wait += b.WaitNs
				}
			}
			agree(name+" sections of the blame profile", blame["sections"], sections)
			agree(name+" sections, all", sections, *r.doc.Trace.Writers)
			agree(name+" fallbacks of the blame profile", blame["fallbacks"], fallbacks)
			agree(name+" wait ns of the blame profile", blame["lock_wait"], int64(wait)/1000)
			agree(name+" fallbacks in CSV", runs[i]["fallbacks"], *run.Fallbacks)
			agree(name+" wait ns in CSV", runs[i]["lock_wait_ns.total"], run.LockWaitNs.Total)
			if want := fmt.Sprintf(`resolver="%s"} %d.0`+"\n", name, *run.Lockless); !strings.Contains(metrics, want) {
				t.Errorf("%s: OpenMetrics has no %s", r.name, want)
			}
			if want := fmt.Sprintf("resolver=%s-%d %d %d fallbacks", name, r.doc.Machine.CPUs, *run.Hits, *run.Fallbacks); !strings.Contains(benchfmt, want) {
				t.Errorf("%s: benchfmt has no %s", r.name, want)
			}
			if name == "speculative" {
				agree("fallbacks of the timeline", bars[name+" fallback"], *run.Fallbacks)
				said(fmt.Sprintf("%s of %s hits resolved without mmap_lock", humanize.Comma(*run.Lockless), humanize.Comma(*run.Hits)))
				said(humanize.Comma(*run.Fallbacks) + " fell back")
			}
			agree("sections of the timeline", bars[name+" section"], *r.doc.Trace.Writers)
		}
		r.rowsAgree(t, agree)
		rec := r.doc.Recorded
		total := int64(rec.WriterWaitNs.Total+rec.ReaderWaitNs.Total+rec.LockWaitNs.Total) / 1000
		recorded := r.sums(t, "recorded.blame")
		agree("recorded waits of the profile", recorded["wait"], total)
		var waits, holds int64
		var blocked, waited reports.Nanos
		for _, w := range rec.Waiters {
			waits += w.Waits
		}
		for _, h := range rec.Holders {
			holds += h.Holds
			blocked += h.BlockedNs
		}
		agree("number of recorded waits of the profile", recorded["waits"], waits)
		agree("recorded holds of the profile", recorded["holds"], holds)
		agree("blocked time of the profile", recorded["blocked"], int64(blocked)/1000)
		over := rec.OverTime
		for i := range over.WriteWaitNs {
			waited += over.LookupWaitNs[i] + over.ReadWaitNs[i] + over.WriteWaitNs[i]
		}
		agree("recorded waits over time", int64(waited)/1000, total)
		if bars["recorded wait"] == waits { // else it has not room for all
			agree("recorded waits of the timeline", barNs["recorded wait"], total)
		} else if bars["recorded wait"] < 4000 {
			t.Errorf("%s: %d of %d recorded waits in the timeline", r.name, bars["recorded wait"], waits)
		}
		said(fmt.Sprintf("%s of %s lookups took mmap_lock", humanize.Comma(*rec.Fallbacks), humanize.Comma(*rec.Lookups)))
	}
}
