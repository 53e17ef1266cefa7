package reports

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces/tracetest"
)

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := JSON(&b, fixture()); err != nil {
		t.Fatal(err)
	}
	tracetest.Golden(t, "report.json", b.String())

	b.Reset()
	if err := JSON(&b, emptyResult()); err != nil {
		t.Fatal(err)
	}
	tracetest.Golden(t, "empty.json", b.String())

	b.Reset()
	if err := JSON(&b, untoldResult()); err != nil {
		t.Fatal(err)
	}
	tracetest.Golden(t, "untold.json", b.String())
	if _, err := ReadJSON(&b, "untold.json"); err != nil {
		t.Error(err)
	}
}

func TestReadJSON(t *testing.T) {
	for _, name := range []string{"testdata/report.json", "testdata/empty.json"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := ReadJSON(bytes.NewReader(data), name)
		if err != nil {
			t.Fatal(err)
		}
		want := NewDocument(fixture())
		if name == "testdata/empty.json" {
			want = NewDocument(emptyResult())
		}
		if diff := cmp.Diff(want, doc); diff != "" {
			t.Errorf("%s does not read back as it was written (-want +got):\n%s", name, diff)
		}
	}
}

func TestReadJSONRefuses(t *testing.T) {
	good := new(bytes.Buffer)
	if err := JSON(good, fixture()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"other schema", "replay.report/1", "replay.info/1", `r.json: not a replay.report/1 document; want "schema": "replay.report/1" at its top`},
		{"not JSON", "{", "[", "r.json:2: not a replay.report/1 document, which replay writes as JSON: invalid character ':' after array element"},
		{"wrong type", `"hits": 2000`, `"hits": "2000"`, "r.json:7: json: cannot unmarshal string into Go struct field"},
		{"missing figure", `"line_transfers"`, `"line_transfer"`, "r.json: runs[0].line_transfers is missing or null; write the file anew with this version of replay"},
		{"null figure", `"wasted_ns": 0,`, `"wasted_ns": null,`, "r.json: runs[0].wasted_ns is missing or null"},
		{"missing table", `"runs"`, `"run"`, "r.json: runs is missing or null"},
		{"ledger", `"lockless": 0`, `"lockless": 1`, "r.json: runs[0]: 2000 hits, but 1 lockless, 2000 fallbacks and 2000 reasons: the ledger does not add up"},
		{"twins", `"resolver": "speculative"`, `"resolver": "locked"`, `r.json: runs[1].resolver is "locked": want a name that no other run has`},
		{"exponent", `"wasted_ns": 0`, `"wasted_ns": 1e99`, "r.json: nanoseconds 1e99: want a plain decimal number within 64 bits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := strings.Replace(good.String(), c.old, c.new, 1)
			if bad == good.String() {
				t.Fatalf("nothing to replace: %s", c.old)
			}
			doc, err := ReadJSON(strings.NewReader(bad), "r.json")
			if err == nil || doc != nil {
				t.Fatalf("got %v, %v; want an error and no document", doc, err)
			}
			if !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got  %q\nwant %q", err, c.want)
			}
		})
	}
}

func FuzzReadJSON(f *testing.F) {
	var b bytes.Buffer
	if err := JSON(&b, emptyResult()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte(`{"schema":"replay.report/1","runs":[{"resolver":"a","wasted_ns":1.5}]}`))
	f.Add([]byte(`{"schema":"replay.report/1"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := ReadJSON(bytes.NewReader(data), "f")
		if (doc == nil) != (err != nil) {
			t.Fatalf("got %v and %v", doc, err)
		}
		if err != nil {
			return
		}
		first, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ReadJSON(bytes.NewReader(first), "again")
		if err != nil {
			t.Fatal(err)
		}
		if second, _ := json.Marshal(again); !bytes.Equal(first, second) {
			t.Fatalf("not stable:\n%s\n%s", first, second)
		}
	})
}

func TestNanos(t *testing.T) {
	for n, want := range map[Nanos]string{
		0: "0", 1: "0.001", -1: "-0.001", 1500: "1.5", 283_412: "283.412", -2_000: "-2",
		math.MaxInt64: "9223372036854775.807", math.MinInt64: "-9223372036854775.808",
	} {
		if got := n.String(); got != want {
			t.Errorf("%d ps: got %s, want %s", int64(n), got, want)
		}
	}
	for _, bad := range []string{"", "-", "1.", ".", "1.2345", "1.+12", "1e3", `"1"`, "99999999999999999", "0x10", "1_0"} {
		if ps, err := parseMilli(bad); err == nil {
			t.Errorf("%q was read as %d", bad, ps)
		}
	}
}

func TestNanosRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Nanos(rapid.Int64().Draw(t, "ps"))
		var got Nanos
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &got); err != nil || got != want {
			t.Fatalf("%d became %s became %d: %v", int64(want), b, int64(got), err)
		}
	})
}

func TestSpan(t *testing.T) {
	for ps, want := range map[sim.Time]string{
		0: "0 ns", 4: "0.00 ns", 412: "0.41 ns", 9_994: "9.99 ns", 9_996: "10.0 ns", 99_960: "100 ns",
		999_499: "999 ns", 999_600: "1.00 µs", 1_250_000: "1.25 µs", 2_500 * sim.Second: "2500 s",
	} {
		if got := span(ps); got != want {
			t.Errorf("%d ps: got %s, want %s", int64(ps), got, want)
		}
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct {
		part, whole int64
		want        string
	}{
		{0, 0, "–"}, {0, 5, "0 %"}, {5, 5, "100 %"}, {1, 1_000_000, "<0.01 %"}, {999_999, 1_000_000, ">99.99 %"}, {1, 3, "33.33 %"},
	} {
		if got := share(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d: got %s, want %s", c.part, c.whole, got, c.want)
		}
	}
}
