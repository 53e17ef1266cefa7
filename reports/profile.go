package reports

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/google/pprof/profile"
	"github.com/klauspost/compress/gzip"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// WriteProfile writes p as a .pb.gz file, after a check of its structure.
func WriteProfile(w io.Writer, p *profile.Profile) error {
	if err := p.CheckValid(); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	z := gzip.NewWriter(w)
	if err := p.WriteUncompressed(z); err != nil {
		return err
	}
	return z.Close()
}

// profileBuilder numbers functions, locations and mappings by first appearance,
// so that equal samples give equal bytes.
type profileBuilder struct {
	p         *profile.Profile
	locations map[frame]*profile.Location
	mappings  map[string]*profile.Mapping
	buildIDs  map[string]string // by path
}

// newProfile returns a builder for one run, or for the recording where r is nil. The
// first type is what it counts; defaultType is what a viewer shows first.
func newProfile(res *replay.Result, r *replay.Run, types []profile.ValueType, defaultType string) *profileBuilder {
	own := make([]*profile.ValueType, len(types)) // encoding writes into them
	for i := range types {
		own[i] = &profile.ValueType{Type: types[i].Type, Unit: types[i].Unit}
	}
	duration := res.Trace.DurationNs
	if r != nil {
		duration = r.Makespan.Nanos()
	}
	b := &profileBuilder{
		p: &profile.Profile{
			SampleType: own, DefaultSampleType: defaultType, PeriodType: own[0], Period: 1,
			DurationNanos: duration, Comments: comments(res, r),
		},
		locations: map[frame]*profile.Location{},
		mappings:  map[string]*profile.Mapping{},
		buildIDs:  res.Trace.BuildIDs,
	}
	b.mapping(path.Base(res.Trace.Path)) // viewers take the first for the program's name
	return b
}

// comments say what the profile was made from; pprof -comments prints them.
func comments(res *replay.Result, r *replay.Run) []string {
	t, m, o := &res.Trace, &res.Machine, &res.Options
	all := []string{
		"trace: " + validUTF8(t.Path),
		"sha256: " + t.SHA256,
		fmt.Sprintf("events: %d, hits: %d, lost: %s", t.Events, t.Hits, lostText(res)),
	}
	if r != nil {
		all = append(all,
			fmt.Sprintf("machine: %s, %d CPUs, %d sockets, SMT %d", m.Name, m.CPUs, m.Sockets, m.SMT),
			fmt.Sprintf("timing: %s, speed: %gx, clone: %d, placement: %s", o.Timing, float64(o.SpeedPPM)/1e6, o.Clone, o.Placement),
			fmt.Sprintf("seed: %d, digest: %016x", o.Seed, r.Digest),
			"resolver: "+r.Resolver,
		)
		if r.Fault != nil {
			all = append(all, "without "+strings.Join(r.Fault.Rules, ", "))
		}
		for _, rule := range o.WhatIf {
			all = append(all, "what if "+validUTF8(rule.String()))
		}
		if t.Lost > 0 {
			all = append(all, fmt.Sprintf("undecided hits: %d, fallbacks: %d to %d", r.Undecided, r.Low, r.High))
		}
	} else if w := res.Recorded.Longest; w != nil {
		all = append(all, "recorded by the kernel's lock events, without a model", validUTF8(longestSentence(w)))
	}
	for _, u := range res.Unknown {
		all = append(all, validUTF8(u.String()))
	}
	for _, w := range res.Warnings {
		all = append(all, "warning: "+validUTF8(w))
	}
	return all
}

// lostText is how many events were lost.
func lostText(res *replay.Result) string {
	if !res.Knows(replay.UnknownLosses) {
		return "unknown"
	}
	return fmt.Sprint(res.Trace.Lost)
}

// location returns the one location of f. Offsets within a function are left
// out: they would split its row in every view and say nothing about locks.
func (b *profileBuilder) location(f frame) *profile.Location {
	if l := b.locations[f]; l != nil {
		return l
	}
	fn := &profile.Function{
		ID: uint64(len(b.p.Function) + 1), Name: validUTF8(f.symbol), SystemName: validUTF8(f.symbol), Filename: validUTF8(f.module),
	}
	b.p.Function = append(b.p.Function, fn)
	l := &profile.Location{ID: uint64(len(b.p.Location) + 1), Mapping: b.mapping(f.module), Line: []profile.Line{{Function: fn}}}
	b.p.Location = append(b.p.Location, l)
	b.locations[f] = l
	return l
}

func (b *profileBuilder) mapping(module string) *profile.Mapping {
	if module == "" {
		return nil
	}
	if m := b.mappings[module]; m != nil {
		return m
	}
	m := &profile.Mapping{ID: uint64(len(b.p.Mapping) + 1), File: validUTF8(module), BuildID: b.buildIDs[module], HasFunctions: true}
	b.p.Mapping = append(b.p.Mapping, m)
	b.mappings[module] = m
	return m
}

// add appends a sample, unless it counts nothing. The stack is leaf first.
func (b *profileBuilder) add(stack []frame, values []int64, labels labels) {
	empty := true
	for _, v := range values {
		empty = empty && v == 0
	}
	if empty {
		return
	}
	s := &profile.Sample{Value: values, Label: labels.text, NumLabel: labels.number, NumUnit: labels.unit}
	for _, f := range stack {
		s.Location = append(s.Location, b.location(f))
	}
	b.p.Sample = append(b.p.Sample, s)
}

// labels are the tags of a sample.
type labels struct {
	text   map[string][]string
	number map[string][]int64
	unit   map[string][]string
}

func (l *labels) set(key, value string) {
	if l.text == nil {
		l.text = map[string][]string{}
	}
	l.text[key] = []string{validUTF8(value)}
}

// setNumber gives the number a unit, since a label that is 0 without one gets
// lost in the file format (profile.postDecode). Viewers do not print this one.
func (l *labels) setNumber(key string, value int64) {
	if l.number == nil {
		l.number, l.unit = map[string][]int64{}, map[string][]string{}
	}
	l.number[key] = []int64{value}
	l.unit[key] = []string{"count"}
}

// nanos turns the times of one column into whole nanoseconds. It carries what it
// cuts off to the next, so that the column adds up to the total, rounded down.
type nanos struct{ rest sim.Time }

func (n *nanos) next(t sim.Time) int64 {
	n.rest += t
	whole := n.rest.Nanos()
	n.rest -= sim.Time(whole) * sim.Nanosecond
	return whole
}

// validUTF8 makes any bytes fit for a protobuf string.
func validUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
