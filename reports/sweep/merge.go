package sweep

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
	"github.com/klauspost/compress/gzip"

	"github.com/replay/replay/reports"
)

// Merged adds up the records of one configuration over all traces.
type Merged struct {
	Key     string                    `json:"key"` // of the configuration
	Config  config                    `json:"config"`
	Traces  int64                     `json:"traces"`  // that were replayed
	Failed  int64                     `json:"failed"`  // that were not
	Metrics map[string]reports.Figure `json:"metrics"` // sums of those that grow with a run; null where one is unknown
	Hist    [][3]int64                `json:"resolve_hist"`

	Profile []byte `json:"-"`
}

// NewMerged is a record as the only one of its configuration.
func NewMerged(r *Record) *Merged {
	m := &Merged{Key: r.Config.key(""), Config: r.Config, Metrics: map[string]reports.Figure{}, Hist: [][3]int64{}}
	if r.Error != "" {
		m.Failed = 1
		return m
	}
	m.Traces, m.Hist, m.Profile = 1, slices.Clone(r.Hist), r.Profile
	for name, f := range r.Metrics {
		if reports.GrowsWithRun(name) {
			m.Metrics[name] = f
		}
	}
	return m
}

// Merge adds up two. It does not matter in which order and grouping: all is whole numbers.
func Merge(a, b *Merged) (*Merged, error) {
	if a.Key != b.Key {
		return nil, fmt.Errorf("merge of configurations %s and %s", a.Key, b.Key)
	}
	sum := &Merged{Key: a.Key, Config: a.Config, Traces: a.Traces + b.Traces, Failed: a.Failed + b.Failed, Metrics: map[string]reports.Figure{}}
	switch {
	case a.Traces == 0:
		sum.Metrics, sum.Hist, sum.Profile = b.Metrics, b.Hist, b.Profile
		return sum, nil
	case b.Traces == 0:
		sum.Metrics, sum.Hist, sum.Profile = a.Metrics, a.Hist, a.Profile
		return sum, nil
	}
	for name := range b.Metrics {
		sum.Metrics[name] = reports.Figure{}
	}
	for name, f := range a.Metrics {
		sum.Metrics[name] = reports.Figure{}
		if g := b.Metrics[name]; f.Known && g.Known {
			sum.Metrics[name] = reports.Figure{Milli: f.Milli + g.Milli, Known: true}
		}
	}
	sum.Hist = mergeHist(a.Hist, b.Hist)
	var err error
	sum.Profile, err = MergeProfiles(a.Profile, b.Profile)
	return sum, err
}

// mergeHist adds two histograms, whose bins are the same.
func mergeHist(a, b [][3]int64) [][3]int64 {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y [3]int64) int { return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1])) })
	sum := [][3]int64{}
	for _, bin := range all {
		if n := len(sum); n > 0 && sum[n-1][0] == bin[0] && sum[n-1][1] == bin[1] {
			sum[n-1][2] += bin[2]
		} else {
			sum = append(sum, bin)
		}
	}
	return sum
}

// MergeProfiles adds two profiles as canonical makes them. Either may be nil.
func MergeProfiles(a, b []byte) ([]byte, error) {
	if a == nil {
		return b, nil
	}
	if b == nil {
		return a, nil
	}
	p, err := profile.ParseData(a)
	if err != nil {
		return nil, err
	}
	q, err := profile.ParseData(b)
	if err != nil {
		return nil, err
	}
	if len(p.SampleType) != len(q.SampleType) { // one of a trace that tells only how many hits there were
		p, q = firstColumn(p), firstColumn(q)
	}
	both, err := profile.Merge([]*profile.Profile{p, q})
	if err != nil {
		return nil, err
	}
	return canonical(both)
}

// firstColumn counts hits alone.
func firstColumn(p *profile.Profile) *profile.Profile {
	p.SampleType = p.SampleType[:1]
	for _, s := range p.Sample {
		s.Value = s.Value[:1]
	}
	p.DefaultSampleType = p.SampleType[0].Type
	return p
}

// canonical is a profile as the same bytes for the same samples, in whatever order they
// came together: equal ones are one, all are in order, numbers are by first appearance,
// and nothing tells where they came from.
func canonical(p *profile.Profile) ([]byte, error) {
	rows := map[string]*profile.Sample{}
	var keys []string
	for _, s := range p.Sample {
		key := sampleKey(s)
		if row := rows[key]; row != nil {
			for i, v := range s.Value {
				row.Value[i] += v
			}
			continue
		}
		own := *s
		own.Value = slices.Clone(s.Value)
		rows[key] = &own
		keys = append(keys, key)
	}
	slices.Sort(keys)
	out := &profile.Profile{DefaultSampleType: p.DefaultSampleType}
	for _, t := range p.SampleType {
		out.SampleType = append(out.SampleType, &profile.ValueType{Type: t.Type, Unit: t.Unit})
	}
	b := canonicalBuilder{p: out, functions: map[string]*profile.Function{}, mappings: map[string]*profile.Mapping{}, locations: map[string]*profile.Location{}}
	b.mapping("sweep") // viewers take the first for the program's name
	for _, key := range keys {
		s := rows[key]
		own := &profile.Sample{Value: s.Value, Label: s.Label, NumLabel: s.NumLabel, NumUnit: s.NumUnit}
		for _, l := range s.Location {
			own.Location = append(own.Location, b.location(l))
		}
		out.Sample = append(out.Sample, own)
	}
	if err := out.CheckValid(); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if err := out.WriteUncompressed(z); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// sampleKey is all of a sample but its values.
func sampleKey(s *profile.Sample) string {
	var b strings.Builder
	for _, l := range s.Location {
		b.WriteString(locationKey(l))
		b.WriteByte(1)
	}
	b.WriteByte(2)
	for _, k := range sortedKeys(s.Label) {
		fmt.Fprintf(&b, "%q=%q,", k, s.Label[k])
	}
	b.WriteByte(2)
	for _, k := range sortedKeys(s.NumLabel) {
		fmt.Fprintf(&b, "%q=%v%q,", k, s.NumLabel[k], s.NumUnit[k])
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func locationKey(l *profile.Location) string {
	var b strings.Builder
	for _, line := range l.Line {
		fmt.Fprintf(&b, "%q %q,", line.Function.Name, line.Function.Filename)
	}
	if l.Mapping != nil {
		fmt.Fprintf(&b, "%q %q", l.Mapping.File, l.Mapping.BuildID)
	}
	return b.String()
}

type canonicalBuilder struct {
	p         *profile.Profile
	functions map[string]*profile.Function
	mappings  map[string]*profile.Mapping
	locations map[string]*profile.Location
}

func (b *canonicalBuilder) mapping(file string) *profile.Mapping { return b.mappingOf(file, "") }

func (b *canonicalBuilder) mappingOf(file, buildID string) *profile.Mapping {
	key := file + "\x00" + buildID
	m := b.mappings[key]
	if m == nil {
		m = &profile.Mapping{ID: uint64(len(b.p.Mapping) + 1), File: file, BuildID: buildID, HasFunctions: true}
		b.mappings[key] = m
		b.p.Mapping = append(b.p.Mapping, m)
	}
	return m
}

func (b *canonicalBuilder) location(l *profile.Location) *profile.Location {
	key := locationKey(l)
	if own := b.locations[key]; own != nil {
		return own
	}
	own := &profile.Location{ID: uint64(len(b.p.Location) + 1)}
	if l.Mapping != nil {
		own.Mapping = b.mappingOf(l.Mapping.File, l.Mapping.BuildID)
	}
	for _, line := range l.Line {
		name := line.Function.Name + "\x00" + line.Function.Filename
		f := b.functions[name]
		if f == nil {
			f = &profile.Function{ID: uint64(len(b.p.Function) + 1), Name: line.Function.Name, SystemName: line.Function.SystemName, Filename: line.Function.Filename}
			b.functions[name] = f
			b.p.Function = append(b.p.Function, f)
		}
		own.Line = append(own.Line, profile.Line{Function: f})
	}
	b.locations[key] = own
	b.p.Location = append(b.p.Location, own)
	return own
}
