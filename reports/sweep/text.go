package sweep

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Text writes the main figures of each cell as a table.
func (d *Document) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	table := d.table(dimensions(d.Cells))
	fmt.Fprintln(t, strings.Join(table.Columns, "\t"))
	for _, row := range table.Rows {
		fmt.Fprintln(t, strings.Map(func(r rune) rune {
			if r < ' ' && r != '\t' {
				return '\uFFFD'
			}
			return r
		}, strings.Join(row, "\t")))
	}
	return t.Flush()
}
