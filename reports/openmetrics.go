package reports

import (
	"fmt"
	"io"
	"path"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/replay/replay/sim"
)

// OpenMetrics writes the figures of a report as gauges, for a collector of text files or
// a push gateway. Times are seconds. Each sample has the trace's name and the machine's as
// labels; what is unknown is not there.
func OpenMetrics(w io.Writer, d *Document) error {
	m := &openMetrics{common: []*dto.LabelPair{pair("machine", d.Machine.Name), pair("trace", path.Base(d.Trace.Path))}}
	m.trace(d)
	if d.Recorded != nil {
		m.recorded(d.Recorded)
	}
	for i := range d.Runs {
		m.run(&d.Runs[i])
	}
	for _, b := range deref(d.Blame) {
		labels := []string{"resolver", b.Resolver, "comm", b.Comm}
		if b.TID != nil {
			labels = append(labels, "tid", fmt.Sprint(*b.TID))
		}
		labels = append(labels, "kind", b.Kind)
		m.sum("replay_blame_fallbacks", "Hits that fell back because of a thread's sections.", float64(b.Fallbacks), labels...)
		m.sum("replay_blame_wait_seconds", "That hits then waited for mmap_lock.", seconds(b.WaitNs), labels...)
	}
	for _, l := range deref(d.Lines) {
		m.sum("replay_line_transfers", "Times that a cache line came from another core.", float64(l.Transfers), "resolver", l.Resolver, "line", l.Line)
		m.sum("replay_line_stall_seconds", "That was waited for it.", seconds(l.StallNs), "resolver", l.Resolver, "line", l.Line)
	}
	for _, p := range deref(d.Pairs) {
		labels := []string{"resolver", p.Resolver, "line", p.Line, "had", p.Had, "took", p.Took}
		m.sum("replay_line_pair_transfers", "Times that a cache line came from another core, by whose operation had it and whose took it.", float64(p.Transfers), labels...)
		m.sum("replay_line_pair_stall_seconds", "That was waited for it.", seconds(p.StallNs), labels...)
	}
	for _, f := range m.families {
		if _, err := expfmt.MetricFamilyToOpenMetrics(w, f); err != nil {
			return err
		}
	}
	_, err := expfmt.FinalizeOpenMetrics(w)
	return err
}

// openMetrics is the families so far.
type openMetrics struct {
	common   []*dto.LabelPair
	families []*dto.MetricFamily
	byName   map[string]*dto.MetricFamily
	samples  map[string]*dto.Metric
}

func pair(name, value string) *dto.LabelPair {
	value = validUTF8(value)
	return &dto.LabelPair{Name: &name, Value: &value}
}

func seconds(n Nanos) float64 { return float64(n) / float64(sim.Second) }

// sum adds to a sample with the given labels, names and values in turn.
func (m *openMetrics) sum(name, help string, value float64, labels ...string) {
	if m.byName == nil {
		m.byName, m.samples = map[string]*dto.MetricFamily{}, map[string]*dto.Metric{}
	}
	f := m.byName[name]
	if f == nil {
		f = &dto.MetricFamily{Name: &name, Help: &help, Type: dto.MetricType_GAUGE.Enum()}
		m.byName[name] = f
		m.families = append(m.families, f)
	}
	key := fmt.Sprintf("%s %q", name, labels)
	s := m.samples[key]
	if s == nil {
		s = &dto.Metric{Label: m.common[:len(m.common):len(m.common)], Gauge: &dto.Gauge{Value: new(float64)}}
		for i := 0; i < len(labels); i += 2 {
			s.Label = append(s.Label, pair(labels[i], labels[i+1]))
		}
		m.samples[key] = s
		f.Metric = append(f.Metric, s)
	}
	*s.Gauge.Value += value
}

func (m *openMetrics) count(name, help string, n *int64, labels ...string) {
	if n != nil {
		m.sum(name, help, float64(*n), labels...)
	}
}

// dist adds the figures of a distribution, told apart by a label.
func (m *openMetrics) dist(name, help string, d *Dist, labels ...string) {
	if d == nil {
		return
	}
	for _, f := range []struct {
		stat string
		n    *Nanos
	}{{"total", &d.Total}, {"mean", d.Mean}, {"p50", d.P50}, {"p90", d.P90}, {"p99", d.P99}, {"max", d.Max}} {
		if f.n != nil {
			m.sum(name, help, seconds(*f.n), append(labels[:len(labels):len(labels)], "stat", f.stat)...)
		}
	}
}

func (m *openMetrics) trace(d *Document) {
	sha := ""
	if d.Trace.SHA256 != nil {
		sha = *d.Trace.SHA256
	}
	m.sum("replay_info", "What was replayed, and how.", 1, "sha256", sha, "timing", d.Timing, "placement", d.Placement,
		"cpus", fmt.Sprint(d.Machine.CPUs), "clone", fmt.Sprint(d.Clone), "speed", fmt.Sprint(d.Speed), "seed", fmt.Sprint(d.Seed))
	m.count("replay_trace_events", "Events of the trace.", &d.Trace.Events)
	m.count("replay_trace_hits", "Hits of uprobes.", d.Trace.Hits)
	m.count("replay_trace_write_sections", "Write sections of mmap_lock.", d.Trace.Writers)
	m.count("replay_trace_lost_events", "Events that the recorder dropped.", d.Trace.Lost)
	m.sum("replay_trace_duration_seconds", "From the first event to the last.", float64(d.Trace.DurationNs)/1e9)
}

func (m *openMetrics) recorded(r *Recorded) {
	m.count("replay_recorded_lookups", "Lookups of uprobes on the recorded kernel.", r.Lookups)
	m.count("replay_recorded_fallbacks", "Of those, the ones that took mmap_lock.", r.Fallbacks)
	for _, w := range []struct {
		who string
		d   *Dist
	}{{"lookup", r.LockWaitNs}, {"read", r.ReaderWaitNs}, {"write", r.WriterWaitNs}} {
		m.dist("replay_recorded_wait_seconds", "Recorded waits for mmap_lock, by access.", w.d, "access", w.who)
	}
	for _, h := range r.Holders {
		labels := []string{"comm", h.Comm, "tid", fmt.Sprint(h.TID), "kind", h.Kind, "mode", h.Mode}
		m.sum("replay_recorded_blocked_seconds", "That others waited while a thread had mmap_lock.", seconds(h.BlockedNs), labels...)
	}
}

func (m *openMetrics) run(r *Run) {
	by := []string{"resolver", r.Resolver}
	m.count("replay_hits", "Hits that were replayed.", r.Hits, by...)
	m.count("replay_lookups", "Lookups that these made.", r.Lookups, by...)
	m.count("replay_lockless", "Hits resolved without mmap_lock.", r.Lockless, by...)
	if r.Reasons != nil {
		for o := sim.WriterActive; o < sim.NumOutcomes; o++ {
			m.sum("replay_fallbacks", "Hits that took mmap_lock, by reason.", float64(r.Reasons.of(o)), append(by[:2:2], "reason", o.String())...)
		}
	}
	m.count("replay_fallbacks_low", "The fewest fallbacks that the full trace can have had.", r.FallbacksLow, by...)
	m.count("replay_fallbacks_high", "The most.", r.FallbacksHigh, by...)
	m.dist("replay_resolve_seconds", "Resolving hits.", r.ResolveNs, by...)
	m.dist("replay_lock_wait_seconds", "Waiting of hits for mmap_lock.", r.LockWaitNs, by...)
	m.dist("replay_writer_wait_seconds", "Waiting of writers for mmap_lock.", r.WriterWaitNs, by...)
	for _, t := range []struct {
		name, help string
		n          *Nanos
	}{
		{"replay_wasted_seconds", "Speculations that failed.", r.WastedNs}, {"replay_makespan_seconds", "Simulated time of the run.", r.MakespanNs},
	} {
		if t.n != nil {
			m.sum(t.name, t.help, seconds(*t.n), by...)
		}
	}
	if r.HitsPerS != nil {
		m.sum("replay_hits_per_second", "Hits in the simulated time.", *r.HitsPerS, by...)
	}
}
