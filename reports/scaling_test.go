package reports

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/sim"
)

// curved is a result with a curve, and what was measured where the machine is known.
func curved(machine string) *replay.Result {
	res := fixture()
	res.Curve = &replay.Curve{Timing: replay.Think, Points: []replay.CurvePoint{
		{Resolver: "locked", CPUs: 1, Clone: 1, Hits: 2000, Makespan: sim.Second, Resolve: 60 * sim.Nanosecond, Hit: 300 * sim.Nanosecond},
		{Resolver: "locked", CPUs: 8, Clone: 4, Hits: 8000, Makespan: 2 * sim.Second, Resolve: 760 * sim.Nanosecond, Hit: sim.Microsecond},
		{Resolver: "speculative", CPUs: 1, Clone: 1, Hits: 2000, Makespan: sim.Second, Resolve: 50 * sim.Nanosecond, Hit: 290 * sim.Nanosecond},
		{Resolver: "speculative", CPUs: 8, Clone: 4, Hits: 8000, Makespan: sim.Second, Resolve: 70 * sim.Nanosecond, Hit: 310 * sim.Nanosecond},
	}}
	for _, p := range fit.Published(machine) {
		res.Curve.Published = append(res.Curve.Published, replay.PublishedPoint(p))
	}
	return res
}

// A curve stands in text, JSON and page with the same figures, and beside what was
// measured on the machine, where something was.
func TestCurve(t *testing.T) {
	for _, machine := range []string{"xeon-6138x2", "generic"} {
		res := curved(machine)
		text := strings.Join(strings.Fields(textOf(t, res, TextOptions{})), " ")
		var page bytes.Buffer
		if err := HTML(&page, res); err != nil {
			t.Fatal(err)
		}
		// 8 CPUs of that Xeon had 10.021 million hits a second with the lock: 798 ns each.
		measured := "locked 8 4 1.00 µs 760 ns 4,000 798 ns"
		if machine == "generic" {
			measured = "locked 8 4 1.00 µs 760 ns 4,000 speculative"
		}
		if !strings.Contains(text, "How it scales resolver CPUs copies a hit takes of it resolving hits/s") || !strings.Contains(text, measured) {
			t.Errorf("%s: %s", machine, text)
		}
		doc := NewDocument(res).Curve
		if p := doc.Points[1]; p.HitNs != Nanos(sim.Microsecond) || *p.HitsPerS != 4000 || p.Clone != 4 {
			t.Errorf("%+v", p)
		}
		var charts []chart
		for _, c := range newPage(res).Data {
			if c.Kind == "curve" {
				charts = append(charts, c)
			}
		}
		if len(charts) != 1 {
			t.Fatalf("%d curves on the page", len(charts))
		}
		lines := map[string]float64{}
		for _, r := range charts[0].Runs {
			for i, x := range charts[0].X {
				if x == 8 {
					lines[r.Name] = r.Share[i]
				}
			}
		}
		want := map[string]float64{"locked": 1000, "speculative": 310}
		if machine != "generic" {
			ns := 8000.0
			want["locked, measured"], want["speculative, measured"] = ns/10.021, ns/24.534
		}
		if len(lines) != len(want) || len(doc.Published) > 0 != (machine != "generic") {
			t.Errorf("%s: %v, want %v", machine, lines, want)
		}
		for name, ns := range want {
			if lines[name] != ns {
				t.Errorf("%s: %s at 8 CPUs is %v, want %v", machine, name, lines[name], ns)
			}
		}
		data, err := json.Marshal(NewDocument(res))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ReadJSON(bytes.NewReader(data), "curve"); err != nil || len(back.Curve.Points) != 4 {
			t.Errorf("%v", err)
		}
	}
}
