package machines

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// unit is a suffix and its size in the base unit.
type unit struct {
	suffix string
	size   uint64
}

// The units of times, in picoseconds, and of frequencies, in kHz. The larger ones
// come first.
var (
	timeUnits      = []unit{{"s", 1e12}, {"ms", 1e9}, {"us", 1e6}, {"ns", 1e3}, {"ps", 1}}
	frequencyUnits = []unit{{"GHz", 1e6}, {"MHz", 1e3}, {"kHz", 1}}
)

// parseQuantity reads a decimal number with a unit, such as "7.4 ns", as an exact
// number of base units.
func parseQuantity(s string, units []unit) (int64, error) {
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	suffix := s[len(digits):]
	for _, u := range units {
		if u.suffix == suffix {
			return parseDecimal(strings.TrimRight(digits, " "), u)
		}
	}
	var names []string
	for _, u := range units {
		names = append(names, u.suffix)
	}
	return 0, fmt.Errorf("%q has no unit: want a number with one of %s", s, strings.Join(names, ", "))
}

// parseDecimal multiplies without rounding.
func parseDecimal(s string, u unit) (int64, error) {
	whole, fraction, _ := strings.Cut(s, ".")
	size := u.size
	for range fraction {
		if size%10 != 0 {
			return 0, fmt.Errorf("%q %s is finer than %s can tell", s, u.suffix, u.suffix)
		}
		size /= 10
	}
	n, err := strconv.ParseUint(whole+fraction, 10, 64)
	if err != nil || whole == "" || strings.HasSuffix(s, ".") {
		return 0, fmt.Errorf("%q is not a decimal number", s)
	}
	high, product := bits.Mul64(n, size)
	if high != 0 || product > 1<<62 {
		return 0, fmt.Errorf("%s %s is too much", s, u.suffix)
	}
	return int64(product), nil
}

// formatQuantity is the inverse of parseQuantity, in the largest unit that gives
// at least 1.
func formatQuantity(n int64, units []unit) string {
	u := units[len(units)-1]
	for _, larger := range units {
		if uint64(n) >= larger.size {
			u = larger
			break
		}
	}
	whole, rest := uint64(n)/u.size, uint64(n)%u.size
	s := strconv.FormatUint(whole, 10)
	if rest != 0 {
		fraction := strconv.FormatUint(rest+u.size, 10)[1:]
		s += "." + strings.TrimRight(fraction, "0")
	}
	return s + " " + u.suffix
}
