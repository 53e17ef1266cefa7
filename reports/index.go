package reports

import (
	"html/template"
	"io"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// IndexRun is a run as the index of several shows it.
type IndexRun struct {
	Name    string    // its folder, from the index
	Report  *Document // nil where it could not be read
	Problem string    // why not
	Files   []string  // that it has, by name
}

var indexTemplate = sync.OnceValue(func() *template.Template { return parsePage(indexHTML) })

// Index writes a page of several runs: what each found, the way to its files, and their
// figures side by side. Links are relative, to NAME/FILE; a slash behind that of a profile
// is pprof's view of it (package web).
func Index(w io.Writer, runs []IndexRun) error {
	return indexTemplate().Execute(w, newIndex(runs))
}

type indexPage struct {
	dress
	Runs   []indexEntry
	Tables []pageTable
}

// indexEntry is a run on the index.
type indexEntry struct {
	Name, Href, Problem string
	Sentences           []string
	Files, Profiles     []pageLink
	Changes             []pageLink // profiles against others
}

type pageLink struct{ Text, Href string }

func newIndex(runs []IndexRun) *indexPage {
	p := &indexPage{dress: plainDress("Runs")}
	for i := range runs {
		p.Runs = append(p.Runs, newIndexEntry(runs, i))
	}
	for _, t := range []*pageTable{recordedIndex(runs), simulatedIndex(runs)} {
		if len(t.Rows) > 0 {
			p.Tables = append(p.Tables, *t)
		}
	}
	return p
}

// runName is what the folder of a run is called for people.
func runName(name string) string { return strings.TrimSuffix(name, ".run") }

func newIndexEntry(runs []IndexRun, i int) indexEntry {
	r := &runs[i]
	e := indexEntry{Name: printable(r.Name), Href: url.PathEscape(r.Name) + "/", Problem: printable(r.Problem)}
	if r.Report == nil {
		return e
	}
	e.Sentences = indexSentences(r.Report)
	for _, f := range r.Files {
		switch {
		case strings.HasSuffix(f, ".pb.gz"):
			e.Profiles = append(e.Profiles, pageLink{profileName(f), e.Href + url.PathEscape(f) + "/"})
			e.Changes = append(e.Changes, changes(runs, i, f)...)
		case f == "report.html":
			e.Files = append([]pageLink{{"report", e.Href}}, e.Files...)
		default:
			e.Files = append(e.Files, pageLink{f, e.Href + url.PathEscape(f)})
		}
	}
	return e
}

// profileName is a profile for people, such as "speculative, blame".
func profileName(file string) string {
	return strings.Join(strings.Split(strings.TrimSuffix(file, ".pb.gz"), "."), ", ")
}

// changes are the differences of a profile that are worth a look: to that of the run's
// first resolver, and to the one of the same name of the first run.
func changes(runs []IndexRun, i int, file string) []pageLink {
	r := &runs[i]
	var all []pageLink
	against := func(base *IndexRun, baseFile, text string) {
		if slices.Contains(base.Files, baseFile) {
			href := path.Join(url.PathEscape(r.Name), url.PathEscape(file), "vs", url.PathEscape(base.Name), url.PathEscape(baseFile)) + "/"
			all = append(all, pageLink{text, href})
		}
	}
	resolver, kind, _ := strings.Cut(file, ".")
	if len(r.Report.Runs) > 0 {
		if first := r.Report.Runs[0].Resolver; resolver != first && slices.ContainsFunc(r.Report.Runs, func(r Run) bool { return r.Resolver == resolver }) {
			against(r, first+"."+kind, profileName(file)+" against "+first)
		}
	}
	if i > 0 {
		against(&runs[0], file, profileName(file)+" against "+runName(runs[0].Name))
	}
	return all
}

// indexSentences say what a run found, recorded and simulated.
func indexSentences(d *Document) []string {
	var all []string
	if d.Answer != nil {
		all = append(all, d.Answer.Problem)
	}
	for i := range d.Runs {
		if r := &d.Runs[i]; r.Hits != nil && r.Lockless != nil {
			all = append(all, r.Resolver+": "+share(*r.Lockless, *r.Hits)+" of "+plural(*r.Hits, "hit")+" resolved without mmap_lock.")
		} else {
			all = append(all, r.Resolver+": what became of hits is unknown.")
		}
	}
	if d.Answer != nil {
		all = append(all, d.Answer.Confidence)
	}
	return all
}

func spanOf(n *Nanos) string {
	if n == nil {
		return "–"
	}
	return span(sim.Time(*n))
}

// recordedIndex is what was recorded, a row for each run.
func recordedIndex(runs []IndexRun) *pageTable {
	t := &pageTable{
		Title: "Recorded, side by side", Hint: "From the lock events of each trace, without a model.",
		Columns: []pageColumn{
			words("run"), number("lookups"), number("took the lock"), number("lookups waited"), number("writers waited"), number("at worst"), number("other readers waited"),
		},
	}
	for i := range runs {
		d := runs[i].Report
		if d == nil || d.Recorded == nil {
			continue
		}
		r := d.Recorded
		row := []string{runName(runs[i].Name), counted(r.Lookups), counted(r.Fallbacks), totalOf(r.LockWaitNs), totalOf(r.WriterWaitNs), maxOf(r.WriterWaitNs), totalOf(r.ReaderWaitNs)}
		t.add(nil, row...)
	}
	return t
}

func counted(n *int64) string {
	if n == nil {
		return "unknown"
	}
	return count(*n)
}

func totalOf(d *Dist) string {
	if d == nil {
		return "unknown"
	}
	return span(sim.Time(d.Total))
}

// maxOf is the longest of a distribution, or that it is unknown.
func maxOf(d *Dist) string {
	if d == nil {
		return "unknown"
	}
	return spanOf(d.Max)
}

// simulatedIndex is the comparison of all runs of which all is known.
func simulatedIndex(runs []IndexRun) *pageTable {
	t := &pageTable{Title: "Simulated, side by side", Fixed: true, Columns: []pageColumn{words("")}}
	var docs []Run
	for i := range runs {
		d := runs[i].Report
		if d == nil || len(replay.Unanswered(d.unknown())) > 0 {
			continue
		}
		for j := range d.Runs {
			if complete(&d.Runs[j]) {
				docs = append(docs, d.Runs[j])
				t.Columns = append(t.Columns, number(runName(runs[i].Name)+": "+d.Runs[j].Resolver))
			}
		}
	}
	if len(docs) == 0 {
		return t
	}
	for _, row := range compare(docs) {
		t.add(nil, row...)
	}
	return t
}

// complete reports whether a run has all figures that the comparison shows; one of an
// older version may lack some.
func complete(r *Run) bool {
	return r.Hits != nil && r.Lockless != nil && r.Fallbacks != nil && r.Reasons != nil && r.PartsNs != nil && r.LineTransfers != nil
}
