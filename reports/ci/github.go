package ci

import (
	"fmt"
	"io"
	"strings"

	"github.com/replay/replay/reports"
)

// Annotations writes a workflow command of GitHub Actions for each finding.
func Annotations(w io.Writer, v *reports.Verdict, baseline string) error {
	for i := range v.Findings {
		f := &v.Findings[i]
		command := "notice"
		switch f.Level {
		case reports.Fail:
			command = "error"
		case reports.Open:
			command = "warning"
		}
		at := position(f, baseline)
		_, err := fmt.Fprintf(w, "::%s file=%s,line=%d,title=%s::%s\n",
			command, property.Replace(at.File), at.Line, property.Replace("replay: "+subject(f)), data.Replace(f.Message))
		if err != nil {
			return err
		}
	}
	return nil
}

// What a command's data and its properties may not have as it is (escapeData and
// escapeProperty in @actions/core).
var (
	data     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)
