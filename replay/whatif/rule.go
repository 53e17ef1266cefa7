package whatif

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/replay/replay/replay/timeline"
)

// Rule says which operations are changed, and how. Its String reads back as itself.
type Rule struct {
	What   string // hit, write, read, or one of Kinds
	By     []Condition
	Action Action

	N     int           // of Sample, Batch and Repeat
	Delay time.Duration // of Delay
	Scale int64         // of Scale: millionths
	Name  string        // of Move and Also: a thread's, or a probe's
	TID   int32         // of Move: a recorded thread, in place of Name; 0 for none
}

// Condition is a field of an operation and what it has to be.
type Condition struct{ Field, Value string }

// Action is what becomes of an operation.
type Action string

// Actions.
const (
	Drop   Action = "drop"
	Sample Action = "sample"
	Batch  Action = "batch"
	Delay  Action = "delay"
	Scale  Action = "scale"
	Repeat Action = "repeat"
	Move   Action = "move"
	Also   Action = "also"
)

// Limits of rules: more is hardly meant.
const (
	maxSample = 1_000_000
	maxBatch  = 10_000
	maxRepeat = 100
	maxDelay  = time.Second
	maxScale  = 1000
)

const (
	hits   = "hit"
	writes = "write"
	reads  = "read"
)

// actions say of each Action what it is of, and how it is written.
var actions = []struct {
	action            Action
	ofHits, ofSection bool
	usage             string
}{
	{Drop, true, true, "drop"},
	{Sample, true, true, "sample N"},
	{Batch, false, true, "batch N"},
	{Delay, false, true, "delay TIME"},
	{Scale, false, true, "scale X"},
	{Repeat, true, true, "repeat N"},
	{Move, false, true, "move to NAME|tid=N"},
	{Also, true, false, "also PROBE"},
}

var fields = []string{"comm", "probe", "pid", "tid", "stack"}

// Kinds are what a rule may be of, beside hit, write and read.
func Kinds() []string { return timeline.SectionKinds() }

// Parse reads a rule.
func Parse(text string) (Rule, error) {
	text = strings.TrimRight(text, " ")
	r, rest, err := parse(text)
	if err != nil {
		return Rule{}, fmt.Errorf("what-if %q, column %d: %w", text, len(text)-len(rest)+1, err)
	}
	return r, nil
}

// parse also returns the text from where it makes no sense on.
func parse(text string) (r Rule, rest string, err error) {
	what, action, ok := cut(text, ": ")
	if !ok {
		return r, "", errors.New("no colon with a blank after it; want WHAT [by FIELD=VALUE, ...]: ACTION, such as munmap by comm=gc: batch 10")
	}
	text = strings.TrimLeft(text, " ")
	kind, by, conditional := strings.Cut(strings.TrimSpace(what), " ")
	r.What = kind
	if kind != hits && kind != writes && kind != reads && !slices.Contains(Kinds(), kind) {
		return r, text, fmt.Errorf("%q is no operation: want hit, write, read, or one of %s", kind, strings.Join(Kinds(), ", "))
	}
	if conditional {
		text = strings.TrimLeft(text[len(kind):], " ")
		by, ok = strings.CutPrefix(strings.TrimSpace(by), "by ")
		if !ok {
			return r, text, fmt.Errorf("after %s want: by FIELD=VALUE", kind)
		}
		if rest, err = r.parseConditions(by); err != nil {
			return r, rest + text[len("by ")+len(by):], err
		}
	}
	action = strings.TrimLeft(action, " ")
	return r, action, r.parseAction(action)
}

// cut is strings.Cut at a separator that is in no quoted value.
func cut(s, sep string) (before, after string, found bool) {
	for i := 0; i < len(s); i++ {
		if s[i] == '"' {
			if quoted, err := strconv.QuotedPrefix(s[i:]); err == nil {
				i += len(quoted) - 1
				continue
			}
		}
		if strings.HasPrefix(s[i:], sep) {
			return s[:i], s[i+len(sep):], true
		}
	}
	return s, "", false
}

// parseConditions returns the text from the one on that makes no sense.
func (r *Rule) parseConditions(text string) (rest string, err error) {
	for more := true; more; {
		rest = strings.TrimLeft(text, " ")
		var one string
		one, text, more = cut(text, ",")
		field, value, ok := strings.Cut(strings.TrimSpace(one), "=")
		if !ok || !slices.Contains(fields, field) {
			return rest, fmt.Errorf("%q is no condition: want FIELD=VALUE with one of %s", strings.TrimSpace(one), strings.Join(fields, ", "))
		}
		if field == "probe" && r.What != hits {
			return rest, fmt.Errorf("only hits have a probe, and %s is none", r.What)
		}
		if !strings.Contains(value, `"`) && strings.Contains(value, "=") {
			return rest, fmt.Errorf("%q has two =: want a comma between conditions, and a value with a = in quotes", strings.TrimSpace(one))
		}
		value, err := unquoted(value)
		if err != nil {
			return rest, err
		}
		if value == "" {
			return rest, fmt.Errorf("no value after %s=", field)
		}
		if field == "pid" || field == "tid" {
			if n, err := strconv.ParseInt(value, 10, 32); err != nil || n < 0 || strconv.FormatInt(n, 10) != value {
				return rest, fmt.Errorf("%s=%s: want a number", field, value)
			}
		}
		r.By = append(r.By, Condition{field, value})
	}
	return "", nil
}

// unquoted is a value, quoted or not.
func unquoted(s string) (string, error) {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, `"`) {
		return s, nil
	}
	plain, err := strconv.Unquote(s)
	if err != nil || !strings.HasPrefix(s, `"`) {
		return "", fmt.Errorf("%s is no quoted string of Go", s)
	}
	return plain, nil
}

// quoted is a value as parseConditions reads it.
func quoted(s string) string {
	if strings.ContainsAny(s, "\", :=") || strings.TrimSpace(s) != s || strconv.Quote(s) != `"`+s+`"` || strings.HasPrefix(s, "tid=") {
		// ": " ends a rule and "=" a field, wherever they are
		return strconv.Quote(s)
	}
	return s
}

func (r *Rule) parseAction(text string) error {
	name, value, _ := strings.Cut(text, " ")
	value = strings.TrimSpace(value)
	i := slices.IndexFunc(actions, func(a struct {
		action            Action
		ofHits, ofSection bool
		usage             string
	}) bool {
		return string(a.action) == name
	})
	if i < 0 {
		var usages []string
		for _, a := range actions {
			usages = append(usages, a.usage)
		}
		return fmt.Errorf("%q is nothing that can be done: want one of %s", text, strings.Join(usages, ", "))
	}
	a := &actions[i]
	r.Action = a.action
	if r.What == hits && !a.ofHits || r.What != hits && !a.ofSection {
		return fmt.Errorf("%s cannot be done to %s", a.action, map[bool]string{true: "hits", false: "sections of mmap_lock"}[r.What == hits])
	}
	if err := r.parseValue(value); err != nil {
		return fmt.Errorf("%q: %w: want %s", text, err, a.usage)
	}
	return nil
}

func (r *Rule) parseValue(value string) (err error) {
	whole := func(limit int) (int, error) {
		n, err := strconv.Atoi(value)
		if err != nil || n < 2 || n > limit {
			return 0, fmt.Errorf("no whole number from 2 to %d", limit)
		}
		return n, nil
	}
	switch r.Action {
	case Drop:
		if value != "" {
			return errors.New("there is something after it")
		}
	case Sample:
		r.N, err = whole(maxSample)
	case Batch:
		r.N, err = whole(maxBatch)
	case Repeat:
		r.N, err = whole(maxRepeat)
	case Delay:
		r.Delay, err = time.ParseDuration(value)
		if err != nil || r.Delay <= 0 || r.Delay > maxDelay {
			return fmt.Errorf("no time up to %v, such as 50us", maxDelay)
		}
	case Scale:
		x, err := strconv.ParseFloat(strings.TrimSuffix(value, "x"), 64)
		r.Scale = int64(math.Round(x * 1e6))
		if err != nil || !(x > 0 && x <= maxScale) || r.Scale == 0 {
			return fmt.Errorf("no factor from 0.000001 to %d", maxScale)
		}
	case Move:
		to, ok := strings.CutPrefix(value, "to ")
		if !ok {
			return errors.New("no thread")
		}
		to = strings.TrimSpace(to)
		if tid, ok := strings.CutPrefix(to, "tid="); ok {
			n, err := strconv.ParseInt(tid, 10, 32)
			if err != nil || n < 1 {
				return errors.New("no thread id")
			}
			r.TID = int32(n)
			return nil
		}
		r.Name, err = nameOf(to)
	case Also:
		r.Name, err = nameOf(value)
	}
	return err
}

func nameOf(text string) (string, error) {
	name, err := unquoted(text)
	if err == nil && name == "" {
		err = errors.New("no name")
	}
	return name, err
}

// String is the rule as Parse reads it.
func (r Rule) String() string {
	var b strings.Builder
	b.WriteString(r.What)
	for i, c := range r.By {
		b.WriteString(map[bool]string{true: " by ", false: ", "}[i == 0])
		b.WriteString(c.Field + "=" + quotedValue(c.Value))
	}
	b.WriteString(": " + string(r.Action))
	switch r.Action {
	case Sample, Batch, Repeat:
		fmt.Fprintf(&b, " %d", r.N)
	case Delay:
		fmt.Fprintf(&b, " %v", r.Delay)
	case Scale:
		b.WriteString(" " + strconv.FormatFloat(float64(r.Scale)/1e6, 'f', -1, 64))
	case Move:
		if r.TID != 0 {
			fmt.Fprintf(&b, " to tid=%d", r.TID)
		} else {
			b.WriteString(" to " + quoted(r.Name))
		}
	case Also:
		b.WriteString(" " + quotedValue(r.Name))
	}
	return b.String()
}

// quotedValue is quoted, but for names of probes, which have a colon.
func quotedValue(s string) string {
	if plain := strings.ReplaceAll(s, ":", ""); !strings.HasPrefix(s, ":") && plain != "" && quoted(plain) == plain {
		return s
	}
	return quoted(s)
}

// Rules are applied one after the other.
type Rules []Rule

// ParseAll reads several rules.
func ParseAll(texts []string) (Rules, error) {
	var all Rules
	for _, text := range texts {
		r, err := Parse(text)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// Strings are the rules as ParseAll reads them; nil for none.
func (r Rules) Strings() []string {
	var all []string
	for _, one := range r {
		all = append(all, one.String())
	}
	return all
}

// String is all rules on a line.
func (r Rules) String() string { return strings.Join(r.Strings(), "; ") }
