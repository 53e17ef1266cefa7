package effects

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/dustin/go-humanize"
)

// shown is how many effects the text has, unless all are asked for.
const shown = 12

// Text writes the ranking for people: the rules stand below, as --what-if takes them.
func (r *Ranking) Text(w io.Writer, all bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "With %s on %d CPUs of %s, %s of %s hits fall back and wait %s in all.\n",
		r.Resolver, r.CPUs, r.Machine, humanize.Comma(r.Base.Fallbacks), humanize.Comma(r.Base.Hits), r.Base.LockWait.Span())
	b.WriteString("All else staying where it was recorded:\n\n")
	effects := r.Effects
	if !all && len(effects) > shown {
		effects = effects[:shown]
	}
	for i := range effects {
		e := &effects[i]
		fmt.Fprintf(&b, "%2d. %s.\n      --what-if %s\n", i+1, printable(r.Sentence(e)), inShell(printable(strings.Join(e.WhatIf, "; "))))
	}
	if n := len(r.Effects) - len(effects); n > 0 {
		fmt.Fprintf(&b, "\n%d more do less; -v or --json has all.\n", n)
	}
	if len(r.Effects) == 0 {
		b.WriteString("nothing was tried: nobody cost a hit anything.\n")
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "\nwarning: %s\n", printable(warning))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// inShell is a word as shells take it.
func inShell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// printable replaces what could move a terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
