package sweep

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/reports"
)

// Schema names the shape of sweep.json.
const Schema = "replay.sweep/1"

// Document is sweep.json.
type Document struct {
	Schema       string    `json:"schema"`
	ModelVersion int       `json:"model_version"`
	Grid         *Grid     `json:"grid"`
	Cells        []*Record `json:"cells"`  // in the order of the grid, trace by trace
	Merged       []*Merged `json:"merged"` // of each configuration over all traces
	Failed       []Failure `json:"failed"`
}

// Failure is a cell that was not replayed, and how to see that again.
type Failure struct {
	Key    string   `json:"key"`
	Trace  string   `json:"trace"`
	Config config   `json:"config"`
	Error  string   `json:"error"`
	Repeat []string `json:"repeat"`
}

// NewDocument puts the records in order and adds them up.
func NewDocument(g *Grid, records []*Record) (*Document, error) {
	d := &Document{Schema: Schema, ModelVersion: replay.ModelVersion, Grid: g, Cells: records, Merged: []*Merged{}, Failed: []Failure{}}
	at := map[string]int{}
	var parts [][]*Merged
	for _, r := range records {
		d.fail(r)
		m := NewMerged(r)
		i, there := at[m.Key]
		if !there {
			i, at[m.Key] = len(parts), len(parts)
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], m)
	}
	d.Merged = make([]*Merged, len(parts))
	return d, each(len(parts), func(i int) error {
		d.Merged[i] = parts[i][0]
		for _, m := range parts[i][1:] {
			var err error
			if d.Merged[i], err = Merge(d.Merged[i], m); err != nil {
				return err
			}
		}
		return nil
	})
}

// Assemble puts records and sums together that were made elsewhere; merged are by the keys
// of configurations.
func Assemble(g *Grid, records []*Record, merged map[string]*Merged) (*Document, error) {
	d := &Document{Schema: Schema, ModelVersion: replay.ModelVersion, Grid: g, Cells: records, Merged: []*Merged{}, Failed: []Failure{}}
	seen := map[string]bool{}
	for _, r := range records {
		d.fail(r)
		key := r.Config.key("")
		if seen[key] {
			continue
		}
		seen[key] = true
		m := merged[key]
		if m == nil {
			return nil, fmt.Errorf("configuration %s has no sum", key)
		}
		d.Merged = append(d.Merged, m)
	}
	return d, nil
}

// fail notes a record of a cell that was not replayed.
func (d *Document) fail(r *Record) {
	if r.Error != "" {
		d.Failed = append(d.Failed, Failure{r.Key, r.Trace, r.Config, r.Error, r.Repeat})
	}
}

// Outputs are the files of a sweep, by name. A folder in a name is made.
func (d *Document) Outputs() []Output {
	out := []Output{
		{"sweep.parquet", d.Parquet},
		{"sweep.json", d.JSON},
		{"sweep.html", d.HTML},
	}
	for _, m := range d.Merged {
		if m.Profile != nil {
			out = append(out, Output{"profiles/" + m.Key + ".pb.gz", func(w io.Writer) error {
				_, err := w.Write(m.Profile)
				return err
			}})
		}
	}
	return out
}

// Output is a file.
type Output struct {
	Name  string
	Write func(io.Writer) error
}

// Write writes all files into a folder, each aside and then in its place.
func (d *Document) Write(dir string) error {
	outputs := d.Outputs()
	err := each(len(outputs), func(i int) error {
		name := filepath.Join(dir, filepath.FromSlash(outputs[i].Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			return err
		}
		return reports.WriteFile(name, true, outputs[i].Write)
	})
	if err != nil {
		return err
	}
	return d.tidy(dir, outputs)
}

// tidy removes the profiles of a sweep before.
func (d *Document) tidy(dir string, outputs []Output) error {
	old, err := filepath.Glob(filepath.Join(dir, "profiles", "*.pb.gz"))
	if err != nil {
		return err
	}
	for _, name := range old {
		if !slices.ContainsFunc(outputs, func(o Output) bool { return o.Name == "profiles/"+filepath.Base(name) }) {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// JSON writes sweep.json, a cell on a line.
func (d *Document) JSON(w io.Writer) error {
	var b bytes.Buffer
	list := func(name string, n int, at func(int) any, last bool) error {
		fmt.Fprintf(&b, "%q:[", name)
		for i := range n {
			b.WriteString(map[bool]string{true: "\n", false: ",\n"}[i == 0])
			if err := encode(&b, at(i)); err != nil {
				return err
			}
		}
		b.WriteString(map[bool]string{true: "]}\n", false: "],\n"}[last])
		return nil
	}
	fmt.Fprintf(&b, "{\"schema\":%q,\"model_version\":%d,\n\"grid\":", d.Schema, d.ModelVersion)
	if err := encode(&b, d.Grid); err != nil {
		return err
	}
	b.WriteString(",\n")
	for _, l := range []struct {
		name string
		n    int
		at   func(int) any
	}{
		{"cells", len(d.Cells), func(i int) any { return d.Cells[i] }},
		{"merged", len(d.Merged), func(i int) any { return d.Merged[i] }},
		{"failed", len(d.Failed), func(i int) any { return d.Failed[i] }},
	} {
		if err := list(l.name, l.n, l.at, l.name == "failed"); err != nil {
			return err
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// encode writes v on one line, without HTML escapes.
func encode(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the line feed
	return nil
}

// column is one of sweep.parquet.
type column struct {
	name  string
	value func(*Record) any // a string, int32, int64 or float64, or a pointer to one of the last two
}

// columns are all of them, in order.
func columns() []column {
	all := []column{
		{"key", func(r *Record) any { return r.Key }},
		{"trace", func(r *Record) any { return r.Trace }},
		{"trace_sha256", func(r *Record) any { return r.TraceSHA256 }},
		{"machine", func(r *Record) any { return r.Config.Machine }},
		{"profile", func(r *Record) any { return r.Config.Profile }},
		{"model_version", func(r *Record) any { return int64(r.Config.ModelVersion) }},
		{"cpus", func(r *Record) any { return int64(r.CPUs) }},
		{"timing", func(r *Record) any { return r.Config.Timing }},
		{"speed", func(r *Record) any { return float64(r.Config.SpeedPPM) / 1e6 }},
		{"clone", func(r *Record) any { return int64(r.Config.Clone) }},
		{"placement", func(r *Record) any { return r.Config.Placement }},
		{"layout", func(r *Record) any { return r.Config.Layout }},
		{"seed", func(r *Record) any { return int64(r.Config.Seed) }},
		{"what_if", func(r *Record) any { return strings.Join(r.Config.WhatIf, "; ") }},
		{"resolver", func(r *Record) any { return r.Config.Resolver }},
		{"digest", func(r *Record) any { return r.Digest }},
		{"lost", func(r *Record) any { return r.Lost }},
		{"undecided", func(r *Record) any { return r.Undecided }},
		{"error", func(r *Record) any {
			if r.Error == "" {
				return (*string)(nil)
			}
			return &r.Error
		}},
	}
	for _, name := range reports.MetricNames() {
		all = append(all, column{strings.ReplaceAll(name, ".", "_"), func(r *Record) any {
			f := r.Metrics[name]
			switch {
			case reports.IsCount(name) && f.Known:
				return new(f.Milli / 1000)
			case reports.IsCount(name):
				return (*int64)(nil)
			case f.Known:
				return new(float64(f.Milli) / 1000)
			}
			return (*float64)(nil)
		}})
	}
	return all
}

// Parquet writes sweep.parquet, a cell in a row.
func (d *Document) Parquet(w io.Writer) error {
	cols := columns()
	fields := make([]reflect.StructField, len(cols))
	for i, c := range cols {
		fields[i] = reflect.StructField{Name: fmt.Sprintf("C%d", i), Type: reflect.TypeOf(c.value(&Record{})), Tag: reflect.StructTag(fmt.Sprintf(`parquet:%q`, c.name))}
		if fields[i].Type.Kind() == reflect.Pointer {
			fields[i].Tag = reflect.StructTag(fmt.Sprintf(`parquet:"%s,optional"`, c.name))
		}
	}
	row := reflect.New(reflect.StructOf(fields))
	out := parquet.NewGenericWriter[any](w, parquet.SchemaOf(row.Interface()), parquet.CreatedBy("replay", "", ""), parquet.Compression(&parquet.Zstd))
	for _, r := range d.Cells {
		for i, c := range cols {
			row.Elem().Field(i).Set(reflect.ValueOf(c.value(r)))
		}
		if _, err := out.Write([]any{row.Interface()}); err != nil {
			return err
		}
	}
	return out.Close()
}
