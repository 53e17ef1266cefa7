package reports

import (
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
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
// METRIC is of the whole run, or of a part of it:
//
//	fallbacks of probe libc:malloc=+5%
//	lock_wait_ns.total of process postgres<=1000000
//	fallbacks of writer "munmap by jemalloc_bg"=+0
//
// A name with one of < > = , # in it, or in double quotes, is quoted as in Go.
type Limit struct {
	Resolver string // empty: every resolver
	Metric   string
	Part     Part // of which the metric is; zero: the whole run
	op       limitOp
	amount   int64 // thousandths, of a unit or of a percent
	percent  bool
	text     string
	at       Position
}

// Position is where something stands in a file that the user keeps. The zero
// value is nowhere.
type Position struct {
	File string `json:"file"`
	Line int    `json:"line"` // from 1
}

// String is file:line.
func (p Position) String() string {
	if p == (Position{}) {
		return ""
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
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

// limitsBytesMax bounds a file of limits.
const limitsBytesMax = 1 << 20

// ReadLimits reads a file of limits, one to a line; # begins a comment, at the
// start of a line or after a space. name is for messages and positions.
func ReadLimits(r io.Reader, name string) ([]Limit, error) {
	text, err := io.ReadAll(io.LimitReader(r, limitsBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > limitsBytesMax {
		return nil, fmt.Errorf("%s: longer than the limit of %d bytes (limitsBytesMax)", name, limitsBytesMax)
	}
	var limits []Limit
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(cutComment(line))
		if line == "" {
			continue
		}
		l, err := ParseLimit(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		l.at = Position{name, n}
		limits = append(limits, l)
	}
	return limits, nil
}

// cutComment takes a comment off a line, but not out of a quoted name.
func cutComment(line string) string {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '"':
			if quoted, err := strconv.QuotedPrefix(line[i:]); err == nil {
				i += len(quoted) - 1
			}
		case '#':
			if i == 0 || line[i-1] == ' ' || line[i-1] == '\t' {
				return line[:i]
			}
		}
	}
	return line
}

// SplitLimits takes a list of limits apart at its commas, but for those in quoted
// names.
func SplitLimits(list string) []string {
	var all []string
	start := 0
	for i := 0; i <= len(list); i++ {
		switch {
		case i == len(list) || list[i] == ',':
			if s := strings.TrimSpace(list[start:i]); s != "" {
				all = append(all, s)
			}
			start = i + 1
		case list[i] == '"':
			if quoted, err := strconv.QuotedPrefix(list[i:]); err == nil {
				i += len(quoted) - 1
			}
		}
	}
	return all
}

// ParseLimit reads a limit as above.
func ParseLimit(s string) (Limit, error) {
	fail := func(why string) (Limit, error) {
		return Limit{}, fmt.Errorf("limit %q: %s; want [RESOLVER:]METRIC[ of probe|process|writer NAME]=[+|-|+-]N[%%], METRIC<=N, METRIC>=N or METRIC=any", s, why)
	}
	part, rest, err := cutPart(s)
	if err != nil {
		return fail(err.Error())
	}
	name, op, value, ok := cutOperator(rest)
	if !ok {
		return fail("no = in it")
	}
	l := Limit{Metric: name, Part: part, op: op, text: s}
	if resolver, rest, found := strings.Cut(name, ":"); found {
		l.Resolver, l.Metric = strings.TrimSpace(resolver), strings.TrimSpace(rest)
	}
	m, err := findMetric(l.Metric)
	if err == nil {
		err = part.has(m)
	}
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

// cutPart takes " of KIND NAME" out of s.
func cutPart(s string) (Part, string, error) {
	metric, after, found := strings.Cut(s, " of ")
	if !found || strings.ContainsAny(metric, "<>=") {
		return Part{}, s, nil
	}
	kind, after, _ := strings.Cut(strings.TrimLeft(after, " "), " ")
	after = strings.TrimLeft(after, " ")
	p := Part{Kind: PartKind(kind)}
	if !slices.Contains(partKinds[:], p.Kind) {
		return Part{}, "", fmt.Errorf("%q is no kind of part", kind)
	}
	if strings.HasPrefix(after, `"`) {
		quoted, err := strconv.QuotedPrefix(after)
		if err != nil {
			return Part{}, "", fmt.Errorf("the name after %s has no end", kind)
		}
		if p.Name, err = strconv.Unquote(quoted); err != nil {
			return Part{}, "", fmt.Errorf("the name after %s is no string of Go", kind)
		}
		after = after[len(quoted):]
	} else {
		end := strings.IndexAny(after, "<>=")
		if end < 0 {
			end = len(after)
		}
		p.Name, after = strings.TrimSpace(after[:end]), after[end:]
	}
	if p.Name == "" {
		return Part{}, "", fmt.Errorf("no name after %s", kind)
	}
	return p, metric + after, nil
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

// limitsFor picks what applies to a metric of a resolver, of a part of its run: the
// last limit for that resolver, else the last for all; and so for changes, maximum
// and minimum each.
func limitsFor(limits []Limit, resolver string, part Part, metric string) []Limit {
	picked := map[limitOp]*Limit{}
	for i := range limits {
		l := &limits[i]
		if l.Metric != metric || l.Part != part || l.Resolver != "" && l.Resolver != resolver {
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
