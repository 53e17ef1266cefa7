package sweep

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Text writes the main figures of each cell as a table, and what they do not tell.
func (d *Document) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	table := d.table(dimensions(d.Cells))
	fmt.Fprintln(t, strings.Join(table.Columns, "\t"))
	for _, row := range table.Rows {
		fmt.Fprintln(t, printable(strings.Join(row, "\t")))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, n := range d.notes() {
		if _, err := fmt.Fprintf(w, "note: %s\n", printable(n)); err != nil {
			return err
		}
	}
	return nil
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' {
			return '\uFFFD'
		}
		return r
	}, s)
}

// notesShown is how many notes there are at most; sweep.json has the warnings of each cell.
const notesShown = 20

// notes are the warnings of the cells of each trace, each of them once.
func (d *Document) notes() []string {
	var notes []string
	for _, records := range byTrace(d.Cells) {
		var warnings []string
		cells := map[string]int{}
		for _, r := range records {
			for _, w := range r.Warnings {
				if cells[w] == 0 {
					warnings = append(warnings, w)
				}
				cells[w]++
			}
		}
		for _, w := range warnings {
			of := records[0].Trace
			if n := cells[w]; n < len(records) {
				of = fmt.Sprintf("%d of %d cells of %s", n, len(records), of)
			}
			notes = append(notes, of+": "+w)
		}
	}
	if n := len(notes) - notesShown; n > 0 {
		notes = append(notes[:notesShown], fmt.Sprintf("and %d more; sweep.json has all", n))
	}
	return notes
}
