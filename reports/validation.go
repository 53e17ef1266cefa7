package reports

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/fit"
)

// ValidateSchema names the shape of a validation in JSON.
const ValidateSchema = "replay.validate/1"

// Validation is a fit.Validation in JSON. Figures that rest on what the trace cannot
// tell are null.
type Validation struct {
	Schema    string `json:"schema"`
	Using     string `json:"using"`
	Hits      *int64 `json:"hits"`
	Lookups   *int64 `json:"lookups"` // that the hits made; all below counts these
	Events    int64  `json:"events"`
	Lost      *int64 `json:"lost"`
	Observed  *int64 `json:"observed_fallbacks"`
	Predicted *int64 `json:"predicted_fallbacks"` // lookups that were decided to fall back
	// Expected is the expectation of their number where arrivals are inferred, and
	// Expected80 an interval that held the true number in eight recordings of ten; else null.
	Expected   *float64    `json:"expected_fallbacks"`
	Expected80 *[2]float64 `json:"expected_fallbacks_80"`
	// TakesLock says that the recorded kernel takes the lock for each lookup: there is no
	// outcome to predict.
	TakesLock bool             `json:"kernel_takes_lock,omitempty"`
	TP        *int64           `json:"tp"`
	FP        *int64           `json:"fp"`
	FN        *int64           `json:"fn"`
	Precision *float64         `json:"precision"`
	Recall    *float64         `json:"recall"`
	F1        *float64         `json:"f1"`
	Undecided int64            `json:"undecided_lookups"` // that the lock events do not decide
	Unknown   []replay.Unknown `json:"unknown"`
	Wait      struct {
		Observed  *Wait `json:"observed"`
		Predicted *Wait `json:"predicted"`
	} `json:"wait_ns"`
	// Unseen is the part of the observed waits in which a thread had been let in while no
	// row shows who had its CPU.
	Unseen *Unseen `json:"unseen_wait,omitempty"`
	// ArrivalError is how far the arrivals of the failed lookups were from those
	// that their lock events show.
	ArrivalError *Wait `json:"arrival_error_ns"`
}

// Unseen is how many waits have such a part, and how long those are in all.
type Unseen struct {
	Waits int64 `json:"waits"`
	Ns    int64 `json:"ns"`
}

// Wait is a distribution of waits in ns.
type Wait struct {
	Total int64 `json:"total"`
	P50   int64 `json:"p50"`
	P90   int64 `json:"p90"`
	P99   int64 `json:"p99"`
}

func newWait(d dist.Dist) *Wait {
	return &Wait{d.Total.Nanos(), d.P50.Nanos(), d.P90.Nanos(), d.P99.Nanos()}
}

// ValidationJSON writes v as one JSON document.
func ValidationJSON(w io.Writer, v *fit.Validation) error {
	doc := Validation{
		Schema: ValidateSchema, Using: v.Using.String(), Hits: &v.Hits, Lookups: &v.Lookups, Events: v.Events, Lost: &v.Lost,
		TakesLock: v.TakesLock, Undecided: v.Undecided, Unknown: append([]replay.Unknown{}, v.Unknown...),
	}
	if v.Observes() {
		doc.Observed = &v.Observed
		if v.Waited {
			doc.Wait.Observed = newWait(v.Waits.Observed)
			if u := v.Unseen; u.Count > 0 {
				doc.Unseen = &Unseen{u.Count, u.Total.Nanos()}
			}
		}
	}
	if v.Predicts() {
		doc.Predicted, doc.Wait.Predicted = &v.Predicted, newWait(v.Waits.Predicted)
		if v.Inferred {
			doc.Expected, doc.Expected80 = &v.Expected, &[2]float64{v.Low, v.High}
		}
	}
	if v.Scores() {
		doc.TP, doc.FP, doc.FN = &v.TP, &v.FP, &v.FN
		doc.Precision, doc.Recall, doc.F1 = new(v.Precision()), new(v.Recall()), new(v.F1())
		if v.Waited || v.ArrivalError.Count > 0 {
			doc.ArrivalError = newWait(v.ArrivalError)
		}
	}
	if len(replay.Unknowns(v.Unknown, replay.UnknownHits)) > 0 {
		doc.Hits, doc.Lookups = nil, nil
	}
	if len(replay.Unknowns(v.Unknown, replay.UnknownLosses)) > 0 {
		doc.Lost = nil
	}
	return writeJSON(w, doc)
}

// ValidationText writes v for people: the confusion matrix, the waits, and the
// misses that were asked for.
func ValidationText(w io.Writer, v *fit.Validation) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	if v.Scores() {
		fmt.Fprintf(w, "F1 %.4f  precision %.4f  recall %.4f   (using %s, %s)\n\n", v.F1(), v.Precision(), v.Recall(), v.Using, validated(v))
		fmt.Fprintf(t, "\tkernel fell back\tkernel lockless\t\n")
		fmt.Fprintf(t, "predicted to fall back\t%d\t%d\t\n", v.TP, v.FP)
		fmt.Fprintf(t, "predicted lockless\t%d\t%d\t\n", v.FN, v.Lookups-v.TP-v.FP-v.FN)
		if err := t.Flush(); err != nil {
			return err
		}
	} else {
		noScore(w, v)
	}
	fmt.Fprintln(w)
	fmt.Fprintf(t, "\tfallbacks\twait in all\tp50\tp90\tp99\t\n")
	row := func(name string, known, waited bool, n int64, d dist.Dist) {
		switch {
		case !known:
			fmt.Fprintf(t, "%s\tunknown\tunknown\t\t\t\t\n", name)
			return
		case !waited:
			fmt.Fprintf(t, "%s\t%d\tunknown\t\t\t\t\n", name, n)
			return
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t\n", name, n, span(d.Total), span(d.P50), span(d.P90), span(d.P99))
	}
	row("kernel", v.Observes(), v.Waited, v.Observed, v.Waits.Observed)
	row("predicted", v.Predicts(), true, v.Predicted, v.Waits.Predicted)
	if err := t.Flush(); err != nil {
		return err
	}
	if v.Waited && v.Observes() && v.Recording > 0 {
		fmt.Fprintf(w, "\nof each wait, on either side, recording its lock_start took %s\n", span(v.Recording))
	}
	if u := v.Unseen; v.Waited && v.Observes() && u.Count > 0 {
		fmt.Fprintf(w, "\n%s of the kernel's waits, in %d of them, is of threads that had been let in while no row shows who had their CPUs: that cannot be predicted\n", span(u.Total), u.Count)
	}
	if u := replay.Unknowns(v.Unknown, replay.UnknownLosses); len(u) > 0 {
		fmt.Fprintf(w, "\n%s\n", printable(u[0].String()))
	} else if v.Lost > 0 {
		fmt.Fprintf(w, "\n%d of %d events were lost: outcomes near them may be wrong on either side\n", v.Lost, v.Lost+v.Events)
	}
	if !v.Scores() {
		return nil
	}
	if e := v.ArrivalError; e.Count > 0 {
		fmt.Fprintf(w, "\narrivals of the %d failed lookups are off by %s (half within), %s (90 %% within)\n", e.Count, span(e.P50), span(e.P90))
	}
	if v.Inferred {
		fmt.Fprintf(w, "\narrivals are inferred: %.1f fallbacks are expected, %.0f to %.0f in eight recordings of ten; of single hits %d are decided to be\n", v.Expected, v.Low, v.High, v.Predicted)
	}
	if v.Undecided > 0 {
		fmt.Fprintf(w, "\n%d lookups of threads that fault are left out: a lock_start before a hit may be a page fault's\n", v.Undecided)
	}
	for i := range v.Misses {
		explainMiss(w, i+1, &v.Misses[i])
	}
	return nil
}

// validated says what was compared. Optimised probes look up twice.
func validated(v *fit.Validation) string {
	if v.Lookups > v.Hits {
		return fmt.Sprintf("%d lookups of %d hits: optimised probes look up twice", v.Lookups, v.Hits)
	}
	return fmt.Sprintf("%d hits", v.Hits)
}

// noScore says why there is none.
func noScore(w io.Writer, v *fit.Validation) {
	hits := fmt.Sprintf("%d hits", v.Hits)
	if len(replay.Unknowns(v.Unknown, replay.UnknownHits)) > 0 {
		hits = fmt.Sprintf("%d of an unknown number of hits", v.Hits)
	}
	fmt.Fprintf(w, "no score (using %s, %s)\n", v.Using, hits)
	if v.TakesLock {
		fmt.Fprintf(w, "%s There is no outcome to predict.\n", takesLockSentence(v.Kernel))
	}
	for _, u := range v.Unknown {
		if u.What == replay.UnknownOutcomes && v.Undecided > 0 {
			fmt.Fprintf(w, "%d of %d lookups unknown: the lock events have no callchain that names the kernel's functions; %s\n", v.Undecided, v.Lookups, printable(u.Remedy))
		} else if u.What != replay.UnknownLosses {
			fmt.Fprintln(w, printable(u.String()))
		}
	}
}

// explainMiss tells what was predicted of one hit, and why.
func explainMiss(w io.Writer, n int, m *fit.Miss) {
	kernel, model := "was lockless", "fall back"
	if m.FellBack {
		kernel, model = "fell back", "be lockless"
	}
	fmt.Fprintf(w, "\n%d. %d.%09d  %s %d/%d: the kernel %s, predicted to %s\n", n, m.Time/1e9, m.Time%1e9, m.Comm, m.PID, m.TID, kernel, model)
	fmt.Fprintf(w, "   lookup assumed from %+d ns to %+d ns of the hit's stamp (%s arrival), waited %d ns\n", m.Start-m.Time, m.End-m.Time, m.Arrival, m.WaitNs)
	if b := m.Blame; b != nil {
		fmt.Fprintf(w, "   because of the %s section of %s %d, row %d, %+d ns\n", b.Kind, b.Comm, b.TID, b.Seq, b.Time-m.Time)
		return
	}
	fmt.Fprintln(w, "   no write section overlapped it in the model")
}
