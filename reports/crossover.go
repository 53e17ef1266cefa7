package reports

import (
	"fmt"

	"github.com/replay/replay/replay"
)

// Crossover is what hits cost where they, or changes of address spaces, come more or less
// often than they did.
type Crossover struct {
	Locked      string      `json:"locked"` // the resolvers
	Speculative string      `json:"speculative"`
	Cells       []CrossCell `json:"cells"` // by writers, then hits
	// LosesAbove and NotBelow are writers per second between which speculation begins to
	// cost more, at the recorded rate of hits; null where none of those tried is so.
	LosesAbove *int64 `json:"loses_above_writers_per_s"`
	NotBelow   *int64 `json:"wins_up_to_writers_per_s"`
}

// CrossCell is one pair of rates.
type CrossCell struct {
	Hits          string `json:"hits"`    // times as often as recorded, such as 4 or 1/4
	Writers       string `json:"writers"` // likewise
	HitsPerS      int64  `json:"hits_per_s"`
	WritersPerS   int64  `json:"writers_per_s"`
	LockedNs      Nanos  `json:"locked_ns"` // resolving a hit, on average
	SpeculativeNs Nanos  `json:"speculative_ns"`
}

func newCrossover(c *replay.Crossover) *Crossover {
	doc := &Crossover{Locked: c.Locked, Speculative: c.Speculative, Cells: []CrossCell{}}
	for i := range c.Cells {
		x := &c.Cells[i]
		doc.Cells = append(doc.Cells, CrossCell{x.Hits.String(), x.Writers.String(), x.HitsPerS, x.WritersPerS, Nanos(x.Locked), Nanos(x.Speculative)})
	}
	below, above := c.Loses()
	if below != nil {
		doc.NotBelow = &below.WritersPerS
	}
	if above != nil {
		doc.LosesAbove = &above.WritersPerS
	}
	return doc
}

// crossoverSentence says where the workload is, and from where on speculation loses.
func crossoverSentence(c *replay.Crossover) string {
	here := c.Here()
	s := fmt.Sprintf("At %s changes of address spaces a second, as recorded, a hit takes %s with %s lookups and %s with %s ones. ",
		count(here.WritersPerS), span(here.Speculative), c.Speculative, span(here.Locked), c.Locked)
	below, above := c.Loses()
	switch {
	case above == nil:
		return s + fmt.Sprintf("Speculation does not lose up to %s a second.", count(below.WritersPerS))
	case below == nil:
		return s + fmt.Sprintf("Speculation loses from %s a second on, or below.", count(above.WritersPerS))
	}
	return s + fmt.Sprintf("Speculation loses somewhere between %s and %s a second.", count(below.WritersPerS), count(above.WritersPerS))
}

const crossoverTitle = "From where on speculation loses"

// crossMap is the map on the page: a row for each rate of writers, the highest first, a
// column for each rate of hits.
type crossMap struct {
	Title, Sentence string
	Columns         []string
	Rows            []crossRow
}

type crossRow struct {
	Name  string
	Cells []crossPoint
}

type crossPoint struct {
	Text, Title, Class string
	Here               bool
}

func newCrossMap(c *replay.Crossover) *crossMap {
	m := &crossMap{Title: crossoverTitle, Sentence: crossoverSentence(c)}
	here := c.Here()
	for i := range c.Cells {
		x := &c.Cells[i]
		if x.Writers == c.Cells[0].Writers {
			m.Columns = append(m.Columns, count(x.HitsPerS))
		}
		if i == 0 || x.Writers != c.Cells[i-1].Writers {
			m.Rows = append([]crossRow{{Name: count(x.WritersPerS)}}, m.Rows...)
		}
		p := crossPoint{
			Text:  crossText(x),
			Title: fmt.Sprintf("%s: %s, %s: %s a hit", c.Locked, span(x.Locked), c.Speculative, span(x.Speculative)),
			Class: "wins", Here: x == here,
		}
		if x.Speculative > x.Locked {
			p.Class = "loses"
		}
		m.Rows[0].Cells = append(m.Rows[0].Cells, p)
	}
	return m
}

// crossText is how much less or more a speculative lookup takes, in words as well as by
// colour.
func crossText(x *replay.CrossCell) string {
	if x.Locked == 0 {
		return "–"
	}
	return fmt.Sprintf("%+.0f %%", 100*float64(x.Speculative-x.Locked)/float64(x.Locked))
}

// crossover writes the map as text.
func (t *textReport) crossover(c *replay.Crossover) {
	t.title(crossoverTitle)
	t.para(strong, "  ", crossoverSentence(c))
	m := newCrossMap(c)
	cols := []column{{name: "changes/s", figure: true}}
	for _, name := range m.Columns {
		cols = append(cols, column{name: name + " hits/s", figure: true})
	}
	var rows [][]string
	for _, r := range m.Rows {
		row := []string{r.Name}
		for _, p := range r.Cells {
			text := p.Text
			if p.Here {
				text = "here: " + text
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	t.table(cols, rows)
}
