package ci

import "github.com/replay/replay/reports"

// rules are kinds of findings. Their ids stay what they are: people silence them, and
// code scanning follows a finding by them.
var rules = []struct {
	id, text, help string
	level          reports.Level
}{
	{"replay/limit-exceeded", "A figure is beyond its limit.", "Find what changed with replay diff; where it is meant to be, record it with replay check --update.", reports.Fail},
	{"replay/missing", "Something that is compared is not there.", "Give a run of each trace of the baseline, or record the baseline anew with replay check --update.", reports.Fail},
	{"replay/undecided", "What was lost, not recorded or too few captures could turn the verdict.", "Record with larger buffers, with what the report says is missing, or more captures.", reports.Open},
	{"replay/not-recorded", "The trace cannot tell all that is asked.", "Record what the message says.", reports.Note},
	{"replay/trace-changed", "Another recording than in the baseline.", "What differs may be the workload's doing.", reports.Note},
	{"replay/model-changed", "Another model than in the baseline: machine, options or version.", "What differs may be the model's doing. Replay both with the same options and version.", reports.Note},
	{"replay/result-changed", "The same question has another answer.", "Another version of replay decides differently, without any figure under a limit having moved.", reports.Note},
	{"replay/improved", "A figure is better than in the baseline.", "Record it with replay check --update, so that it stays so.", reports.Note},
}

// ruleIndex is that of the finding's rule.
func ruleIndex(f *reports.Finding) int {
	id := ""
	switch {
	case f.Level == reports.Open:
		id = "replay/undecided"
	case f.Cause == reports.Missing:
		id = "replay/missing"
	case f.Level == reports.Fail:
		id = "replay/limit-exceeded"
	case f.Metric != "":
		id = "replay/improved"
	case f.Cause == reports.NotRecorded:
		id = "replay/not-recorded"
	case f.Cause == reports.TraceChanged:
		id = "replay/trace-changed"
	case f.Cause == reports.ModelChanged:
		id = "replay/model-changed"
	default:
		id = "replay/result-changed"
	}
	for i := range rules {
		if rules[i].id == id {
			return i
		}
	}
	panic("no rule " + id)
}

func rule(f *reports.Finding) *struct {
	id, text, help string
	level          reports.Level
} {
	return &rules[ruleIndex(f)]
}
