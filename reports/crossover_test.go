package reports

import (
	"strings"
	"testing"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// crossing is a map in which speculation loses from the third rate of writers on.
func crossing() *replay.Crossover {
	c := &replay.Crossover{Locked: "locked", Speculative: "speculative"}
	for i, w := range []replay.CrossFactor{{Times: 1, Nth: 4}, {Times: 1, Nth: 1}, {Times: 16, Nth: 1}} {
		for j, h := range []replay.CrossFactor{{Times: 1, Nth: 1}, {Times: 4, Nth: 1}} {
			c.Cells = append(c.Cells, replay.CrossCell{
				Hits: h, Writers: w, HitsPerS: int64(1000 * (1 + 3*j)), WritersPerS: []int64{250, 1000, 16_000}[i],
				Locked: 200 * sim.Nanosecond, Speculative: []sim.Time{100, 150, 210}[i] * sim.Nanosecond,
			})
		}
	}
	return c
}

func TestCrossover(t *testing.T) {
	res := fixture()
	res.Crossover = crossing()
	text := textOf(t, res, TextOptions{})
	for line := range strings.Lines(text) {
		if columns(strings.TrimSuffix(line, "\n")) > defaultWidth {
			t.Errorf("wider than %d: %s", defaultWidth, line)
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	for _, want := range []string{
		"At 1,000 changes of address spaces a second, as recorded, a hit takes 150 ns with speculative lookups and 200 ns with locked ones.",
		"Speculation loses somewhere between 1,000 and 16,000 a second.",
		"changes/s 1,000 hits/s 4,000 hits/s 16,000 +5 % +5 % 1,000 here: -25 % -25 % 250 -50 % -50 %",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the text does not say %q:\n%s", want, text)
		}
	}
	page := htmlOf(t, res)
	for _, want := range []string{"<b>you are here</b> -25 %", `class="n loses" title="locked: 200 ns, speculative: 210 ns a hit">&#43;5 %`, `class="n wins"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	d := NewDocument(res).Crossover
	if len(d.Cells) != 6 || *d.NotBelow != 1000 || *d.LosesAbove != 16_000 || d.Cells[0].Writers != "1/4" || d.Cells[5].SpeculativeNs != 210_000 {
		t.Errorf("report.json has %+v", d)
	}
	never, always := crossing(), crossing()
	for i := range never.Cells {
		never.Cells[i].Speculative = sim.Nanosecond
		always.Cells[i].Speculative = sim.Microsecond
	}
	if s := crossoverSentence(never); !strings.HasSuffix(s, "Speculation does not lose up to 16,000 a second.") || newCrossover(never).LosesAbove != nil {
		t.Error(s)
	}
	if s := crossoverSentence(always); !strings.HasSuffix(s, "Speculation loses from 250 a second on, or below.") || newCrossover(always).NotBelow != nil {
		t.Error(s)
	}
	if strings.Contains(textOf(t, fixture(), TextOptions{}), crossoverTitle) || strings.Contains(htmlOf(t, fixture()), crossoverTitle) || NewDocument(fixture()).Crossover != nil {
		t.Error("a crossover that nobody asked for")
	}
}
