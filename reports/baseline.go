package reports

import (
	"fmt"
	"io"
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

// NewBaseline records reports. Two of one trace must differ in their model.
func NewBaseline(docs []*Document, limits []Limit) (*Baseline, error) {
	b := &Baseline{Schema: BaselineSchema, Limits: []string{}, Entries: []Entry{}}
	for _, l := range limits {
		b.Limits = append(b.Limits, l.String())
	}
	for _, d := range docs {
		e := NewEntry(d)
		for i := range b.Entries {
			if o := &b.Entries[i]; o.Trace.Name == e.Trace.Name && o.Model == e.Model {
				return nil, fmt.Errorf("two reports of trace %s on the same model: a baseline holds one", e.Trace.Name)
			}
		}
		b.Entries = append(b.Entries, *e)
	}
	return b, nil
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
