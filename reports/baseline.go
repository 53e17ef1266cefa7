package reports

import (
	"fmt"
	"io"
	"slices"
)

// BaselineSchema names the shape of a baseline file.
const BaselineSchema = "replay.baseline/1"

// Baseline is the file that a CI gate compares with. It lives in a repository,
// one figure to a line, so that a change of it can be reviewed.
type Baseline struct {
	Schema  string   `json:"schema"`
	Limits  []string `json:"limits"` // as ParseLimit reads them; edit at will
	Entries []Entry  `json:"entries"`
}

// NewBaseline records reports, and limits but for those of files, which stay there. Two
// reports of one trace must differ in their model.
func NewBaseline(docs []*Document, limits []Limit) (*Baseline, error) {
	b := &Baseline{Schema: BaselineSchema, Limits: []string{}, Entries: []Entry{}}
	b.SetLimits(limits)
	if err := b.Replace("", docs, limits); err != nil {
		return nil, err
	}
	return b, nil
}

// SetLimits puts the limits in place of the baseline's, but for those of files, which
// stay there; the baseline's own are kept where none are left.
func (b *Baseline) SetLimits(limits []Limit) {
	var own []string
	for _, l := range limits {
		if l.at == (Position{}) {
			own = append(own, l.String())
		}
	}
	if len(own) > 0 {
		b.Limits = own
	}
}

// Replace puts reports in the place of the entries of a set, the captures of one thing
// that are compared as samples; without a name, of those that are of themselves alone.
// The limits say which parts of the runs are recorded.
func (b *Baseline) Replace(set string, docs []*Document, limits []Limit) error {
	own, err := b.ParseLimits()
	if err != nil {
		return err
	}
	limits = append(own, limits...)
	b.Entries = slices.DeleteFunc(b.Entries, func(e Entry) bool { return e.Set == set })
	for _, d := range docs {
		e := NewEntry(d).record(limits)
		e.Set = set
		for i := range b.Entries {
			o := &b.Entries[i]
			switch {
			case o.Set != set:
			case set == "" && o.Trace.Name == e.Trace.Name && o.Model == e.Model:
				return fmt.Errorf("two reports of trace %s on the same model: a baseline holds one; several captures of one thing are a set, see --as", e.Trace.Name)
			case set != "" && o.Model != e.Model:
				return fmt.Errorf("trace %s: %s: the captures of set %s have to be replayed alike", e.Trace.Name, o.Model.explain(&e.Model), set)
			case set != "" && o.Trace.same(&e.Trace):
				return fmt.Errorf("traces %s and %s are the same: the captures of set %s have to be recorded each for itself", o.Trace.Name, e.Trace.Name, set)
			}
		}
		b.Entries = append(b.Entries, e)
	}
	return nil
}

// Write writes the baseline file.
func (b *Baseline) Write(w io.Writer) error { return writeJSON(w, b) }

// ReadBaseline reads a baseline file; name is for messages.
func ReadBaseline(r io.Reader, name string) (*Baseline, error) {
	data, err := readAll(r, name, MaxDocumentBytes)
	if err != nil {
		return nil, err
	}
	b := new(Baseline)
	if err := decode(data, name, BaselineSchema, b); err != nil {
		return nil, err
	}
	if _, err := b.ParseLimits(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// ParseLimits returns the limits of the file.
func (b *Baseline) ParseLimits() ([]Limit, error) {
	var limits []Limit
	for _, s := range b.Limits {
		l, err := ParseLimit(s)
		if err != nil {
			return nil, err
		}
		limits = append(limits, l)
	}
	return limits, nil
}
