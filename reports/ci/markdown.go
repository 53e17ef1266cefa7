package ci

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/replay/replay/reports"
)

// Markdown writes the verdict with tables as GitHub and GitLab show them: first what
// broke its limit, then the rest.
func Markdown(w io.Writer, v *reports.Verdict) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "## replay: %s\n\n", v.Decision())
	for _, part := range []struct {
		title string
		has   func(*reports.Finding) bool
	}{
		{"Beyond their limits, or missing", func(f *reports.Finding) bool { return f.Level == reports.Fail }},
		{"Undecided", func(f *reports.Finding) bool { return f.Level == reports.Open }},
		{"Worth a look", func(f *reports.Finding) bool { return f.Level == reports.Note }},
	} {
		title := "### " + part.title + "\n\n"
		for i := range v.Findings {
			if f := &v.Findings[i]; part.has(f) {
				fmt.Fprintf(&b, "%s- **%s**: %s\n", title, escape(subject(f)), escape(f.Message))
				title = ""
			}
		}
		if title == "" {
			b.WriteString("\n")
		}
	}
	if len(v.Figures) > 0 {
		figures(&b, v)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func figures(b *bytes.Buffer, v *reports.Verdict) {
	fmt.Fprintf(b, "<details><summary>%d figures</summary>\n\n| trace | resolver | figure | baseline | now | limit | |\n|---|---|---|--:|--:|---|---|\n", len(v.Figures))
	for i := range v.Figures {
		f := &v.Figures[i]
		cells := []string{f.Trace, f.Resolver, figure(f), cell(f.Base), cell(f.New), f.Limit, string(f.Level)}
		if f.Samples != nil && f.Samples.P != nil {
			cells[6] += fmt.Sprintf(", p = %.3g of %d and %d captures", *f.Samples.P, f.Samples.Base.N, f.Samples.New.N)
		}
		for _, c := range cells {
			fmt.Fprintf(b, "| %s ", escape(c))
		}
		b.WriteString("|\n")
	}
	b.WriteString("\n</details>\n")
}

func cell(f *reports.Figure) string {
	if f == nil {
		return "–"
	}
	return f.String()
}

// escape is s as it is, whatever it has of Markdown or HTML.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			r = ' '
		case strings.ContainsRune("\\`*_[]|~<>&", r):
			fmt.Fprintf(&b, "&#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
