package reports

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/replay/replay/sim"
)

// count formats a number of things, such as "21,034".
func count(n int64) string { return humanize.Comma(n) }

// spanUnits are the units of span, smallest first.
var spanUnits = []struct {
	unit sim.Time
	name string
}{
	{sim.Nanosecond, "ns"}, {sim.Microsecond, "µs"}, {sim.Millisecond, "ms"}, {sim.Second, "s"},
}

// span formats a time to three digits, such as "1.25 µs".
func span(t sim.Time) string {
	if t == 0 {
		return "0 ns"
	}
	for i, u := range spanUnits {
		x := float64(t) / float64(u.unit)
		last := i == len(spanUnits)-1
		switch {
		case x < 9.995:
			return fmt.Sprintf("%.2f %s", x, u.name)
		case x < 99.95:
			return fmt.Sprintf("%.1f %s", x, u.name)
		case x < 999.5 || last:
			return fmt.Sprintf("%.0f %s", x, u.name)
		}
	}
	return "" // not reached: the last unit takes any value
}

// share formats part of whole as a percentage that says 0 % or 100 % only when
// that is exact.
func share(part, whole int64) string {
	switch {
	case whole == 0:
		return "–"
	case part == 0 || part == whole:
		return fmt.Sprintf("%d %%", 100*(part/whole))
	}
	p := 100 * float64(part) / float64(whole)
	switch {
	case p < 0.01:
		return "<0.01 %"
	case p > 99.99:
		return ">99.99 %"
	}
	return fmt.Sprintf("%.2f %%", p)
}

// change says in brackets how b compares with a, such as " (46 % less)"; it is
// empty where that says nothing.
func change(a, b sim.Time) string {
	if a == 0 || a == b {
		return ""
	}
	percent, word := 100*float64(b-a)/float64(a), "more"
	if percent < 0 {
		percent, word = -percent, "less"
	}
	switch {
	case percent < 0.5:
		return " (about the same)"
	case percent > 900:
		return fmt.Sprintf(" (%.0f times as much)", float64(b)/float64(a))
	}
	return fmt.Sprintf(" (%.0f %% %s)", percent, word)
}

// plural is "1 hit" or "2 hits".
func plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(n) + " " + thing + "s"
}
