package traces

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestJSONHoldsTheColumns holds that the document has each event's columns, those
// and no others, with the values that the text twin shows.
func TestJSONHoldsTheColumns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(anyEvent, 0, 3).Draw(t, "events")
		for i := range events {
			events[i].Seq = int64(i)
		}
		meta := Meta{Clock: "perf", CPUs: 2, Sources: []Source{{Path: "a \"b\"", Format: "text"}}, Lost: 7, Warnings: []string{"<w>"}, Recorded: []string{"hit"}, Unknown: []Unknown{{UnknownHits, "<sampled>", "record each"}}}
		var b bytes.Buffer
		w := NewJSONWriter(&b)
		if err := w.WriteMeta(meta); err != nil {
			t.Fatal(err)
		}
		for i := range events {
			if err := w.Write(&events[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Schema string
			Meta   Meta
			Events []map[string]any
		}
		d := json.NewDecoder(&b)
		d.UseNumber()
		if err := d.Decode(&doc); err != nil {
			t.Fatal(err)
		}
		if doc.Schema != "replay.dump/1" || cmp.Diff(meta, doc.Meta) != "" || len(doc.Events) != len(events) {
			t.Fatalf("schema %q, meta %+v, %d events of %d", doc.Schema, doc.Meta, len(doc.Events), len(events))
		}
		for i := range events {
			if d := cmp.Diff(jsonValues(&events[i]), doc.Events[i]); d != "" {
				t.Errorf("event %d (-want +got):\n%s", i, d)
			}
		}
	})
}

// jsonValues is what a reader of JSON sees of an event.
func jsonValues(ev *Event) map[string]any {
	valid := func(s string) string {
		return strings.Join(strings.Split(strings.ToValidUTF8(s, "\uFFFD"), "\uFFFD"), "\uFFFD")
	}
	values := map[string]any{}
	for i := range columns {
		c := &columns[i]
		if c.bit != 0 && !ev.Got(c.bit) {
			continue
		}
		switch {
		case c.kind != nil:
			values[c.name] = ev.Kind.String()
		case c.u64 != nil:
			values[c.name] = string(c.appendText(nil, ev))
		case c.flag != nil:
			values[c.name] = *c.flag(ev)
		case c.text != nil:
			values[c.name] = valid(*c.text(ev))
		case c.stack != nil:
			frames := []any{}
			for _, f := range *c.stack(ev) {
				frames = append(frames, valid(f))
			}
			values[c.name] = frames
		case c.i32 != nil:
			values[c.name] = json.Number(strconv.Itoa(int(*c.i32(ev))))
		default:
			values[c.name] = json.Number(strconv.FormatInt(*c.i64(ev), 10))
		}
	}
	return values
}
