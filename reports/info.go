package reports

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/replay/replay/traces"
	"github.com/replay/replay/traces/recent"
)

// InfoSchema names the shape of an Info in JSON.
const InfoSchema = "replay.info/1"

// Info is what is in a trace.
type Info struct {
	Schema     string           `json:"schema"`
	Events     int64            `json:"events"`
	Kinds      map[string]int64 `json:"kinds"` // encoding/json sorts the keys
	Probes     []InfoProbe      `json:"probes"`
	Processes  []InfoProcess    `json:"processes"`
	DurationNs int64            `json:"duration_ns"`
	Traps      int64            `json:"traps"`  // hits, those of one trap once
	Lost       *int64           `json:"lost"`   // null where the source does not tell
	Losses     []InfoLoss       `json:"losses"` // by CPU
	Unknown    []traces.Unknown `json:"unknown"`
	Warnings   []string         `json:"warnings"`

	meta traces.Meta
	lost int64
}

// InfoLoss is what one CPU's buffer lost.
type InfoLoss struct {
	CPU    *int32 `json:"cpu"` // null where that is unknown
	Events int64  `json:"events"`
	Gaps   int64  `json:"gaps"`
	GapsNs int64  `json:"gaps_ns"` // in which they were lost, all together
}

// InfoProbe is how often a probe was hit.
type InfoProbe struct {
	Probe string `json:"probe"`
	Hits  int64  `json:"hits"`
}

// InfoProcess is how many events are of a process.
type InfoProcess struct {
	PID    int32  `json:"pid"`
	Comm   string `json:"comm"`
	Events int64  `json:"events"`

	named bool // by the first thread
}

// InfoColumns are those that an InfoCounter looks at.
const InfoColumns = traces.ColCPU | traces.ColPID | traces.ColTID | traces.ColComm | traces.ColProbe | traces.ColDur | traces.ColRet | traces.CoverageColumns

// InfoCounter counts what is in a trace, event by event.
type InfoCounter struct {
	events    int64
	kinds     [math.MaxUint8 + 1]int64 // by kind
	traps     int64
	probes    map[string]*InfoProbe
	processes recent.Map[int32, InfoProcess]
	probe     *InfoProbe // of the hit before: mostly the next is of the same
	timed     bool
	from, to  int64               // ns, once timed; mappings known beforehand have no time that counts
	losses    map[int32]*InfoLoss // -1 for an unknown CPU
	lost      int64
	coverage  traces.Coverage
}

// NewInfoCounter returns a counter of a trace of which nothing was read.
func NewInfoCounter() *InfoCounter {
	return &InfoCounter{probes: map[string]*InfoProbe{}, losses: map[int32]*InfoLoss{}}
}

// Add counts an event.
func (n *InfoCounter) Add(ev *traces.Event) error {
	n.events++
	n.coverage.Add(ev)
	n.kinds[ev.Kind]++
	switch ev.Kind {
	case traces.Hit:
		n.hit(ev)
	case traces.Lost:
		n.lose(ev)
	}
	if ev.Kind != traces.Map {
		if !n.timed {
			n.timed, n.from = true, ev.Time
		}
		n.to = ev.Time
	}
	if ev.Got(traces.ColPID) {
		n.addTo(ev)
	}
	return nil
}

func (n *InfoCounter) hit(ev *traces.Event) {
	p := n.probe
	if p == nil || p.Probe != ev.Probe {
		if p = n.probes[ev.Probe]; p == nil {
			p = &InfoProbe{Probe: ev.Probe}
			n.probes[ev.Probe] = p
		}
		n.probe = p
	}
	p.Hits++
	if !ev.Joined() {
		n.traps++
	}
}

func (n *InfoCounter) lose(ev *traces.Event) {
	n.lost += ev.Ret
	cpu := int32(-1)
	if ev.Got(traces.ColCPU) {
		cpu = ev.CPU
	}
	l := n.losses[cpu]
	if l == nil {
		l = &InfoLoss{}
		if cpu >= 0 {
			l.CPU = &cpu
		}
		n.losses[cpu] = l
	}
	l.Events += ev.Ret
	l.Gaps++
	l.GapsNs += ev.Dur
}

// addTo counts the event to its process, which is called what its first thread
// is; that one may be missing in a trace.
func (n *InfoCounter) addTo(ev *traces.Event) {
	p := n.processes.Get(ev.PID)
	if p == nil {
		p = &InfoProcess{PID: ev.PID}
		n.processes.Set(ev.PID, p)
	}
	p.Events++
	main := ev.Got(traces.ColTID) && ev.TID == ev.PID
	if ev.Comm != "" && (main || !p.named) {
		p.Comm, p.named = ev.Comm, p.named || main
	}
}

// Info is what was counted, of a trace that says meta of itself.
func (n *InfoCounter) Info(meta traces.Meta) *Info {
	r := &Info{
		Schema: InfoSchema, Events: n.events, Kinds: map[string]int64{}, DurationNs: n.to - n.from,
		Traps: n.traps,
		lost:  max(n.lost, meta.Lost), Unknown: n.coverage.Unknown(meta), Warnings: append([]string{}, meta.Warnings...), meta: meta,
		Probes: []InfoProbe{}, Processes: []InfoProcess{}, Losses: []InfoLoss{},
	}
	if len(traces.Unknowns(r.Unknown, traces.UnknownLosses)) == 0 {
		r.Lost = &r.lost
	}
	for _, cpu := range slices.Sorted(maps.Keys(n.losses)) {
		r.Losses = append(r.Losses, *n.losses[cpu])
	}
	for k, count := range n.kinds {
		if count > 0 {
			r.Kinds[traces.Kind(k).String()] = count
		}
	}
	for _, p := range n.probes {
		r.Probes = append(r.Probes, *p)
	}
	slices.SortFunc(r.Probes, func(a, b InfoProbe) int { return cmp.Or(-cmp.Compare(a.Hits, b.Hits), cmp.Compare(a.Probe, b.Probe)) })
	for _, p := range n.processes.All() {
		r.Processes = append(r.Processes, *p)
	}
	slices.SortFunc(r.Processes, func(a, b InfoProcess) int {
		return cmp.Or(-cmp.Compare(a.Events, b.Events), cmp.Compare(a.PID, b.PID))
	})
	return r
}

// HitsText is how many hits there are, for people.
func (r *Info) HitsText() string {
	hits := r.Kinds[traces.Hit.String()]
	if hits > r.Traps {
		return fmt.Sprintf("%d hits of %d traps", hits, r.Traps)
	}
	return fmt.Sprintf("%d hits", hits)
}

// infoRows is how many processes and probes the text shows.
const infoRows = 12

// Text writes r for people, and queries of the file at path to begin with.
func (r *Info) Text(w io.Writer, path string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d events over %v\n", path, r.Events, time.Duration(r.DurationNs).Round(time.Microsecond))
	fmt.Fprintf(&b, "recorded on %s, %s, clock %s\n", orUnknown(strings.TrimSpace(r.meta.Kernel+" "+r.meta.Arch)), cpusText(r.meta.CPUs), orUnknown(r.meta.Clock))
	if r.Lost != nil {
		fmt.Fprintf(&b, "lost %d of %d events\n", r.lost, r.lost+r.Events)
	}
	for _, u := range r.Unknown {
		fmt.Fprintln(&b, u)
	}
	for _, l := range r.Losses {
		cpu := "an unknown CPU"
		if l.CPU != nil {
			cpu = fmt.Sprintf("CPU %d", *l.CPU)
		}
		fmt.Fprintf(&b, "  %d on %s, in %d gaps of %v in all\n", l.Events, cpu, l.Gaps, time.Duration(l.GapsNs))
	}
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "\nKIND\tEVENTS\n")
	for _, k := range traces.Kinds() {
		if n := r.Kinds[k.String()]; n > 0 {
			fmt.Fprintf(t, "%s\t%d", k, n)
			if k == traces.Hit && n > r.Traps {
				fmt.Fprintf(t, ", traps: %d", r.Traps)
			}
			fmt.Fprintln(t)
		}
	}
	fmt.Fprintf(t, "\nPROBE\tHITS\n")
	for _, p := range r.Probes[:min(infoRows, len(r.Probes))] {
		fmt.Fprintf(t, "%s\t%d\n", p.Probe, p.Hits)
	}
	fmt.Fprintf(t, "\nPROCESS\tEVENTS\n")
	for _, p := range r.Processes[:min(infoRows, len(r.Processes))] {
		fmt.Fprintf(t, "%s %d\t%d\n", p.Comm, p.PID, p.Events)
	}
	t.Flush()
	if more := len(r.Processes) - infoRows; more > 0 {
		fmt.Fprintf(&b, "and %d more processes\n", more)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "\nwarning: %s\n", warning)
	}
	quoted := strings.ReplaceAll(path, "'", "''")
	fmt.Fprintf(&b, "\nAsk it more, for example in DuckDB:\n\n"+
		"  SELECT kind, count(*) FROM '%s' GROUP BY kind ORDER BY 2 DESC;\n"+
		"  SELECT comm, kind, count(*), sum(dur_ns)/1e6 AS ms FROM '%s'\n"+
		"   WHERE kind IN ('mmap','munmap','mprotect','mremap','brk','madvise') GROUP BY ALL ORDER BY ms DESC;\n", quoted, quoted)
	_, err := io.WriteString(w, b.String())
	return err
}

// LostText is how many events were lost, for people.
func (r *Info) LostText() string {
	if r.Lost == nil {
		return "losses unknown"
	}
	return fmt.Sprintf("%d lost", r.lost)
}

// LostEvents is how many events are known to be lost.
func (r *Info) LostEvents() int64 { return r.lost }

func cpusText(n int) string {
	switch n {
	case 0:
		return "an unknown number of CPUs"
	case 1:
		return "1 CPU"
	}
	return fmt.Sprintf("%d CPUs", n)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
