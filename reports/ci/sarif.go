package ci

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/replay/replay/reports"
)

// SARIF writes what was found as SARIF 2.1.0.
func SARIF(w io.Writer, v *reports.Verdict, baseline string) error {
	run := sarif.NewRunWithInformationURI("replay", "https://github.com/replay/replay")
	for _, r := range rules {
		run.AddRule(r.id).WithName(strings.TrimPrefix(r.id, "replay/")).
			WithShortDescription(sarif.NewMultiformatMessageString().WithText(r.text)).
			WithHelp(sarif.NewMultiformatMessageString().WithText(r.help)).
			WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(sarifLevel(r.level)))
	}
	for i := range v.Findings {
		f := &v.Findings[i]
		at := position(f, baseline)
		place := sarif.NewPhysicalLocation().WithArtifactLocation(sarif.NewArtifactLocation().WithURI(uri(at.File))).
			WithRegion(sarif.NewRegion().WithStartLine(at.Line))
		run.AddResult(sarif.NewRuleResult(rule(f).id).
			WithRuleIndex(ruleIndex(f)).
			WithLevel(sarifLevel(f.Level)).
			WithMessage(sarif.NewTextMessage(subject(f) + ": " + f.Message)).
			WithPartialFingerprints(map[string]string{"replayFigure/v1": fingerprint(f)}).
			AddLocation(sarif.NewLocation().WithPhysicalLocation(place)))
	}
	return sarif.NewReport().AddRun(run).PrettyWrite(w)
}

// uri is a path within the repository.
func uri(file string) string {
	return (&url.URL{Path: filepath.ToSlash(filepath.Clean(file))}).String()
}

// fingerprint is the same for a finding as long as it is about the same figure.
func fingerprint(f *reports.Finding) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{rule(f).id, f.Trace, f.Resolver, figure(f)}, "\x00")))
	return hex.EncodeToString(sum[:16])
}

func sarifLevel(l reports.Level) string {
	switch l {
	case reports.Fail:
		return sarif.LevelError
	case reports.Open:
		return sarif.LevelWarning
	}
	return sarif.LevelNote
}
