// Package ci writes the verdict of a check in the formats that CI systems take in. It
// finds nothing that the verdict does not say.
//
//  1. JUnit writes a test report: a suite for each trace, a case for each figure under
//     a limit. A broken limit is a failure, what cannot be decided an error.
//  2. SARIF writes what was found as version 2.1.0, each with a rule whose id stays what
//     it is, at the line of the limit in the user's file.
//  3. Annotations writes workflow commands of GitHub Actions, which show beside that line.
//  4. Markdown writes a summary for people, as for a step of GitHub Actions.
//  5. Benchfmt writes the figures for benchstat. Its units are declared exact.
//
// None has a time or a machine's name in it: equal verdicts give equal bytes.
package ci

import (
	"fmt"
	"io"

	"github.com/replay/replay/reports"
)

// Formats are the names that Write knows.
func Formats() []string { return []string{"junit", "sarif", "github", "markdown", "benchfmt"} }

// Write writes the verdict on the reports in one of the Formats. baseline is the
// file that they were compared with: findings that are at no line of a file are at its
// first.
func Write(w io.Writer, format string, v *reports.Verdict, docs []*reports.Document, baseline string) error {
	switch format {
	case "junit":
		return JUnit(w, v)
	case "sarif":
		return SARIF(w, v, baseline)
	case "github":
		return Annotations(w, v, baseline)
	case "markdown":
		return Markdown(w, v)
	case "benchfmt":
		return reports.BenchfmtOf(w, docs)
	}
	return fmt.Errorf("unknown format %q", format)
}

// position is where a finding is shown.
func position(f *reports.Finding, baseline string) reports.Position {
	if f.LimitAt != nil {
		return *f.LimitAt
	}
	return reports.Position{File: baseline, Line: 1}
}

// subject is what a finding is about: trace, resolver, figure.
func subject(f *reports.Finding) string {
	s := f.Trace
	if f.Resolver != "" {
		s += " " + f.Resolver
	}
	if f.Metric != "" {
		s += " " + figure(f)
	}
	return s
}

// figure is the metric, and of what part of the run it is.
func figure(f *reports.Finding) string {
	if f.Part == nil {
		return f.Metric
	}
	return f.Metric + " of " + f.Part.String()
}
