package reports

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/replay/replay/sim"
)

// Nanos is a time in report.json: nanoseconds with up to three decimals, which
// hold picoseconds exactly.
type Nanos sim.Time

// String formats n as in JSON, such as "283.4".
func (n Nanos) String() string {
	sign, ps := "", uint64(n)
	if n < 0 {
		sign, ps = "-", -ps
	}
	s := sign + strconv.FormatUint(ps/1000, 10)
	if frac := ps % 1000; frac != 0 {
		s += strings.TrimRight(fmt.Sprintf(".%03d", frac), "0")
	}
	return s
}

// MarshalJSON writes n as a JSON number.
func (n Nanos) MarshalJSON() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalJSON reads what MarshalJSON writes, and refuses more decimals.
func (n *Nanos) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil // as encoding/json has it; decode reports what is missing
	}
	ps, err := parseMilli(string(b))
	if err != nil {
		return fmt.Errorf("nanoseconds %s: %w", b, err)
	}
	*n = Nanos(ps)
	return nil
}

// parseMilli reads a plain decimal number of up to three decimals as thousandths.
func parseMilli(s string) (int64, error) {
	digits, frac, point := strings.Cut(s, ".")
	if point && frac == "" || len(frac) > 3 {
		return 0, fmt.Errorf("want a number with at most three decimals")
	}
	if strings.Trim(digits, "-") == "" || strings.ContainsAny(frac, "+-") {
		return 0, fmt.Errorf("want a plain decimal number")
	}
	n, err := strconv.ParseInt(digits+frac+"000"[len(frac):], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("want a plain decimal number within 64 bits")
	}
	return n, nil
}

// Span formats n for people, to three digits, such as "1.25 µs".
func (n Nanos) Span() string { return span(sim.Time(n)) }
