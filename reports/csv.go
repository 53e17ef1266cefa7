package reports

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/replay/replay/replay"
)

// csvTables are the tables of a report, each a slice of rows. One that is unknown is nil.
var csvTables = []struct {
	name string
	rows func(*Document) any
}{
	{"runs", func(d *Document) any { return d.Runs }},
	{"blame", func(d *Document) any { return deref(d.Blame) }},
	{"probes", func(d *Document) any { return d.Probes }},
	{"mms", func(d *Document) any { return deref(d.Mms) }},
	{"lines", func(d *Document) any { return deref(d.Lines) }},
	{"pairs", func(d *Document) any { return deref(d.Pairs) }},
	{"cpus", func(d *Document) any { return deref(d.CPUs) }},
	{"threads", func(d *Document) any { return deref(d.Threads) }},
	{"waiters", func(d *Document) any { return recordedRowsOf(d, func(r *Recorded) []Waiter { return r.Waiters }) }},
	{"holders", func(d *Document) any { return recordedRowsOf(d, func(r *Recorded) []Holder { return r.Holders }) }},
}

func deref[T any](rows *[]T) []T {
	if rows == nil {
		return nil
	}
	return *rows
}

func recordedRowsOf[T any](d *Document, rows func(*Recorded) []T) []T {
	if d.Recorded == nil {
		return nil
	}
	return rows(d.Recorded)
}

// CSVTables are the names of the tables that CSV writes.
func CSVTables() []string {
	var names []string
	for _, t := range csvTables {
		names = append(names, t.name)
	}
	return names
}

// ErrUnknown is returned for an export of what the trace cannot tell.
var ErrUnknown = errors.New("unknown")

// CSV writes one table of a report, with the names of report.json as header, a dot
// between those of parts: resolve_ns.p50. Times are nanoseconds; what is unknown is
// empty; the frames of a stack are joined by semicolons, leaf first.
func CSV(w io.Writer, d *Document, table string) error {
	i := slices.IndexFunc(csvTables, func(t struct {
		name string
		rows func(*Document) any
	}) bool {
		return t.name == table
	})
	if i < 0 {
		return fmt.Errorf("there is no table %q: want one of %s", table, strings.Join(CSVTables(), ", "))
	}
	rows := reflect.ValueOf(csvTables[i].rows(d))
	if rows.IsNil() {
		return d.unknownTable(table)
	}
	out := csv.NewWriter(w)
	var header []string
	flatten(reflect.New(rows.Type().Elem()).Elem(), "", func(name, _ string) { header = append(header, name) })
	if err := out.Write(header); err != nil {
		return err
	}
	for i := range rows.Len() {
		var row []string
		flatten(rows.Index(i), "", func(_, value string) { row = append(row, value) })
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// unknownTable says why a table is not there.
func (d *Document) unknownTable(table string) error {
	if table == "waiters" || table == "holders" {
		return fmt.Errorf("%s are %w: the trace has no lock events; record them with replay capture, without --no-locks", table, ErrUnknown)
	}
	for _, u := range replay.Unanswered(d.unknown()) {
		return fmt.Errorf("%s are %w: %s; %s", table, ErrUnknown, u.Why, u.Remedy)
	}
	return fmt.Errorf("%s are %w: the report says no more", table, ErrUnknown)
}

// flatten calls put for each figure in v, in order, null ones included.
func flatten(v reflect.Value, name string, put func(name, value string)) {
	t := v.Type()
	if t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct {
		if v.IsNil() {
			flatten(reflect.New(t.Elem()).Elem(), name, func(name, _ string) { put(name, "") })
			return
		}
		v, t = v.Elem(), t.Elem()
	}
	if t.Kind() != reflect.Struct {
		put(name, csvValue(v))
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Tag.Get("csv") == "-":
			continue
		case f.Anonymous:
			key = name
		case name != "":
			key = name + "." + key
		}
		flatten(v.Field(i), key, put)
	}
}

func csvValue(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case string:
		return x
	case []string:
		return strings.Join(x, ";")
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	text, _ := json.Marshal(v.Interface()) // numbers do not fail
	return string(text)
}
