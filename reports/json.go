package reports

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// MaxDocumentBytes is how long a report.json or a baseline may be.
const MaxDocumentBytes = 256 << 20

// JSON writes res as report.json.
func JSON(w io.Writer, res *replay.Result) error { return writeJSON(w, NewDocument(res)) }

// writeJSON writes v indented, since people diff these files, and without HTML
// escapes, since symbols are full of "<".
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// ReadJSON reads a report.json; name is for messages. A report in which a figure
// is missing is refused, so that a missing figure never passes for zero.
func ReadJSON(r io.Reader, name string) (*Document, error) {
	data, err := readAll(r, name, MaxDocumentBytes)
	if err != nil {
		return nil, err
	}
	doc := new(Document)
	if err := decode(data, name, Schema, doc); err != nil {
		return nil, err
	}
	if err := doc.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return doc, nil
}

func readAll(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: longer than the limit of %d bytes (MaxDocumentBytes)", name, limit)
	}
	return data, nil
}

// decode reads one JSON document of the given schema into v, a pointer to a
// struct, all of whose non-pointer fields must be there.
func decode(data []byte, name, schema string, v any) error {
	var head struct {
		Schema *string `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("%s: not a %s document, which replay writes as JSON: %w", position(name, data, err), schema, err)
	}
	if head.Schema == nil || *head.Schema != schema {
		return fmt.Errorf("%s: not a %s document; want \"schema\": %q at its top", name, schema, schema)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", position(name, data, err), err)
	}
	var raw any
	if err := json.Unmarshal(data, &raw); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	top, _ := raw.(map[string]any)
	unknown, _ := top["unknown"].([]any)
	r := reader{allKnown: len(unknown) == 0}
	if path := r.missing(raw, reflect.TypeOf(v).Elem(), ""); path != "" {
		return fmt.Errorf("%s: %s is missing or null; write the file anew with this version of replay", name, strings.TrimPrefix(path, "."))
	}
	return nil
}

// position is name:line where err says so.
func position(name string, data []byte, err error) string {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	offset := int64(-1)
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &typ):
		offset = typ.Offset
	}
	if offset < 0 || offset > int64(len(data)) {
		return name
	}
	return fmt.Sprintf("%s:%d", name, 1+bytes.Count(data[:offset], []byte("\n")))
}

// reader looks for what a document lacks.
type reader struct {
	allKnown bool // nothing is unknown, so that fields of the tag null:"unknown" are there
}

// missing is the path of the first field of t that raw lacks, or "". Pointers
// may be null or absent; so may slices below the top, where null is unknown.
func (r reader) missing(raw any, t reflect.Type, path string) string {
	switch t.Kind() {
	case reflect.Pointer:
		if raw == nil {
			return ""
		}
		return r.missing(raw, t.Elem(), path)
	case reflect.Slice:
		return r.missingElement(raw, t, path)
	case reflect.Struct:
		return r.missingField(raw, t, path)
	}
	if raw == nil {
		return path
	}
	return ""
}

func (r reader) missingElement(raw any, t reflect.Type, path string) string {
	elements, ok := raw.([]any)
	if !ok {
		if t.Elem().Kind() == reflect.String {
			return ""
		}
		return path
	}
	for i, e := range elements {
		if p := r.missing(e, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); p != "" {
			return p
		}
	}
	return ""
}

func (r reader) missingField(raw any, t reflect.Type, path string) string {
	object, ok := raw.(map[string]any)
	if !ok {
		return path
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous { // its fields are those of t
			if p := r.missingField(raw, f.Type, path); p != "" {
				return p
			}
			continue
		}
		key, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if key == "-" || option == "omitempty" && object[key] == nil {
			continue
		}
		if r.allKnown && f.Tag.Get("null") == "unknown" && object[key] == nil {
			return path + "." + key
		}
		if p := r.missing(object[key], f.Type, path+"."+key); p != "" {
			return p
		}
	}
	return ""
}

// check holds what every report.json that JSON wrote keeps.
func (d *Document) check() error {
	seen := map[string]bool{}
	for i := range d.Runs {
		r := &d.Runs[i]
		if r.Resolver == "" || seen[r.Resolver] {
			return fmt.Errorf("runs[%d].resolver is %q: want a name that no other run has", i, r.Resolver)
		}
		seen[r.Resolver] = true
		if r.Hits == nil || r.Lockless == nil || r.Fallbacks == nil || r.Reasons == nil {
			continue
		}
		if sum := r.Reasons.sum(); *r.Lockless+*r.Fallbacks != *r.Hits || sum != *r.Fallbacks {
			return fmt.Errorf("runs[%d]: %d hits, but %d lockless, %d fallbacks and %d reasons: the ledger does not add up",
				i, *r.Hits, *r.Lockless, *r.Fallbacks, sum)
		}
	}
	return nil
}

// of is how many hits fell back for a reason.
func (r *Reasons) of(o sim.Outcome) int64 {
	return [sim.NumOutcomes]int64{
		sim.WriterActive: r.WriterActive, sim.SeqChanged: r.SeqChanged, sim.NoVMA: r.NoVMA,
		sim.NoFile: r.NoFile, sim.NoUprobe: r.NoUprobe, sim.Unconfigured: r.Unconfigured,
	}[o]
}

func (r *Reasons) sum() (n int64) {
	for o := range sim.NumOutcomes {
		n += r.of(o)
	}
	return n
}
