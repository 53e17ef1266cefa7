package ci

import (
	"bufio"
	"io"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"github.com/replay/replay/reports"
)

// JUnit writes the verdict as a test report.
func JUnit(w io.Writer, v *reports.Verdict) error {
	var all junit.Testsuites
	all.Name = "replay check"
	for _, trace := range traces(v) {
		all.AddSuite(suite(v, trace, len(all.Suites)))
	}
	b := bufio.NewWriter(w)
	if err := all.WriteXML(b); err != nil {
		return err
	}
	return b.Flush()
}

// traces are all that the verdict is about, in its order.
func traces(v *reports.Verdict) []string {
	var names []string
	seen := map[string]bool{}
	for _, list := range [][]reports.Finding{v.Figures, v.Findings} {
		for i := range list {
			if name := list[i].Trace; !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

func suite(v *reports.Verdict, trace string, id int) junit.Testsuite {
	s := junit.Testsuite{Name: trace, ID: id, Time: "0"}
	for i := range v.Figures {
		if f := &v.Figures[i]; f.Trace == trace {
			s.AddTestcase(testcase(f))
		}
	}
	notes := ""
	for i := range v.Findings {
		f := &v.Findings[i]
		switch {
		case f.Trace != trace || f.Metric != "":
		case f.Level == reports.Note:
			notes += subject(f) + ": " + f.Message + "\n"
		default: // something that is not there
			s.AddTestcase(testcase(f))
		}
	}
	if notes != "" {
		s.SystemOut = &junit.Output{Data: notes}
	}
	return s
}

func testcase(f *reports.Finding) junit.Testcase {
	c := junit.Testcase{Classname: f.Trace, Name: f.Limit, Time: "0"}
	if c.Name == "" {
		c.Name = "is there"
	}
	if f.Resolver != "" {
		c.Classname += "." + f.Resolver
	}
	result := &junit.Result{Message: f.Message, Type: rule(f).id, Data: f.Message}
	switch f.Level {
	case reports.Fail:
		c.Failure = result
	case reports.Open:
		c.Error = result
	}
	return c
}
