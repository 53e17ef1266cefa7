package reports

import (
	"fmt"
	"math/big"
	"strings"
)

// Limit is how far a metric may be from its baseline, or from what it may be at
// all. It is written as
//
//	METRIC=+N    may rise by N at most
//	METRIC=-N    may fall by N at most
//	METRIC=+-N   may be off by N at most, either way
//	METRIC=N     may get worse by N at most
//	METRIC<=N    may be N at most, whatever the baseline says
//	METRIC>=N    must be N at least
//	METRIC=any   is not looked at
//
// where N% is relative to the baseline, and RESOLVER: may stand before METRIC
// for one resolver alone. N has up to three decimals; times are in nanoseconds.
type Limit struct {
	Resolver string // empty: every resolver
	Metric   string
	op       limitOp
	amount   int64 // thousandths, of a unit or of a percent
	percent  bool
	text     string
}

type limitOp uint8

const (
	mayRise limitOp = iota
	mayFall
	mayDiffer
	atMost
	atLeast
	anything
)

// DefaultLimits are those of a new baseline. A replay has no noise, so nothing
// that matters may get worse at all; loosen them in the baseline file where the
// trace is recorded anew each time.
func DefaultLimits() []Limit {
	var limits []Limit
	for _, s := range []string{
		"fallbacks=+0", "resolve_ns.total=+0", "resolve_ns.p99=+0", "lock_wait_ns.total=+0",
		"writer_wait_ns.total=+0", "wasted_ns=+0", "line_transfers=+0", "hits_per_s=-0",
	} {
		l, err := ParseLimit(s)
		if err != nil {
			panic(err)
		}
		limits = append(limits, l)
	}
	return limits
}

// String is the text that ParseLimit read.
func (l Limit) String() string { return l.text }

// ParseLimit reads a limit as above.
func ParseLimit(s string) (Limit, error) {
	fail := func(why string) (Limit, error) {
		return Limit{}, fmt.Errorf("limit %q: %s; want [RESOLVER:]METRIC=[+|-|+-]N[%%], METRIC<=N, METRIC>=N or METRIC=any", s, why)
	}
	name, op, value, ok := cutOperator(s)
	if !ok {
		return fail("no = in it")
	}
	l := Limit{Metric: name, op: op, text: s}
	if resolver, rest, found := strings.Cut(name, ":"); found {
		l.Resolver, l.Metric = resolver, rest
	}
	m, err := findMetric(l.Metric)
	if err != nil {
		return Limit{}, fmt.Errorf("limit %q: %w", s, err)
	}
	if op == mayDiffer {
		l.op, value = changeOp(m, value)
	}
	if l.op == anything {
		return l, nil
	}
	value, l.percent = strings.CutSuffix(value, "%")
	if l.percent && (l.op == atMost || l.op == atLeast) {
		return fail("a bound has no baseline to take a percentage of")
	}
	l.amount, err = parseMilli(value)
	if err != nil || l.amount < 0 {
		return fail(fmt.Sprintf("%q is no number of at most three decimals", value))
	}
	return l, nil
}

// cutOperator takes s apart at its operator; = is mayDiffer until the value says
// more.
func cutOperator(s string) (name string, op limitOp, value string, ok bool) {
	i := strings.Index(s, "=")
	if i <= 0 {
		return "", 0, "", false
	}
	name, value = s[:i], strings.TrimSpace(s[i+1:])
	switch s[i-1] {
	case '<':
		name, op = s[:i-1], atMost
	case '>':
		name, op = s[:i-1], atLeast
	default:
		op = mayDiffer
	}
	return strings.TrimSpace(name), op, value, true
}

// changeOp reads the sign of a change; without one it is the metric's bad way.
func changeOp(m *metric, value string) (limitOp, string) {
	switch {
	case value == "any":
		return anything, ""
	case strings.HasPrefix(value, "+-"):
		return mayDiffer, value[2:]
	case strings.HasPrefix(value, "+"):
		return mayRise, value[1:]
	case strings.HasPrefix(value, "-"):
		return mayFall, value[1:]
	}
	return [...]limitOp{lower: mayRise, higher: mayFall, either: mayDiffer}[m.better], value
}

// holds reports whether now keeps to the limit, given the baseline.
func (l *Limit) holds(base, now Figure) bool {
	switch l.op {
	case anything:
		return true
	case atMost:
		return now.Milli <= l.amount
	case atLeast:
		return now.Milli >= l.amount
	}
	change := new(big.Int).Sub(big.NewInt(now.Milli), big.NewInt(base.Milli))
	switch {
	case l.op == mayFall:
		change.Neg(change)
	case l.op == mayDiffer:
		change.Abs(change)
	}
	if !l.percent {
		return change.Cmp(big.NewInt(l.amount)) <= 0
	}
	// change / |base| <= amount/1000 percent, without a division
	change.Mul(change, big.NewInt(100_000))
	room := new(big.Int).Abs(big.NewInt(base.Milli))
	return change.Cmp(room.Mul(room, big.NewInt(l.amount))) <= 0
}

// relative reports whether the limit needs a baseline.
func (l *Limit) relative() bool { return l.op == mayRise || l.op == mayFall || l.op == mayDiffer }

// limitsFor picks what applies to a metric of a resolver: the last limit for
// that resolver, else the last for all; and so for changes, maximum and minimum
// each.
func limitsFor(limits []Limit, resolver, metric string) []Limit {
	picked := map[limitOp]*Limit{}
	for i := range limits {
		l := &limits[i]
		if l.Metric != metric || l.Resolver != "" && l.Resolver != resolver {
			continue
		}
		slot := l.op
		if l.op != atMost && l.op != atLeast {
			slot = anything
		}
		if p := picked[slot]; p == nil || p.Resolver == "" || l.Resolver != "" {
			picked[slot] = l
		}
	}
	var out []Limit
	for _, slot := range []limitOp{anything, atMost, atLeast} {
		if l := picked[slot]; l != nil {
			out = append(out, *l)
		}
	}
	return out
}
