package reports

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/replay/replay/replay"
)

// ValidateSchema names the shape of a validation in JSON.
const ValidateSchema = "replay.validate/1"

// Validation is a replay.Validation in JSON.
type Validation struct {
	Schema    string `json:"schema"`
	Using     string `json:"using"`
	Hits      int64  `json:"hits"`
	Events    int64  `json:"events"`
	Lost      int64  `json:"lost"`
	Observed  int64  `json:"observed_fallbacks"`
	Predicted int64  `json:"predicted_fallbacks"`
	// Decided is how many single hits were predicted to fall back. Predicted is the
	// expectation, which differs where arrivals are inferred.
	Decided   int64   `json:"decided_fallbacks"`
	Expected  float64 `json:"expected_fallbacks"`
	Spread    float64 `json:"expected_fallbacks_2sd"`
	TP        int64   `json:"tp"`
	FP        int64   `json:"fp"`
	FN        int64   `json:"fn"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	Wait      struct {
		Observed  Wait `json:"observed"`
		Predicted Wait `json:"predicted"`
	} `json:"wait_ns"`
	// ArrivalError is how far the arrivals of the failed lookups were from those
	// that their lock events show.
	ArrivalError Wait `json:"arrival_error_ns"`
}

// Wait is a distribution of waits in ns.
type Wait struct {
	Total int64 `json:"total"`
	P50   int64 `json:"p50"`
	P90   int64 `json:"p90"`
	P99   int64 `json:"p99"`
}

func newWait(d replay.Dist) Wait {
	return Wait{d.Total.Nanos(), d.P50.Nanos(), d.P90.Nanos(), d.P99.Nanos()}
}

// ValidationJSON writes v as one JSON document.
func ValidationJSON(w io.Writer, v *replay.Validation) error {
	doc := Validation{
		Schema: ValidateSchema, Using: v.Using.String(), Hits: v.Hits, Events: v.Events, Lost: v.Lost, Observed: v.Observed, Predicted: int64(math.Round(v.Expected)), Decided: v.Predicted,
		Expected: v.Expected, Spread: v.Spread, TP: v.TP, FP: v.FP, FN: v.FN, Precision: v.Precision(), Recall: v.Recall(), F1: v.F1(),
	}
	doc.Wait.Observed, doc.Wait.Predicted = newWait(v.Waits.Observed), newWait(v.Waits.Predicted)
	doc.ArrivalError = newWait(v.ArrivalError)
	return writeJSON(w, doc)
}

// ValidationText writes v for people: the confusion matrix, the waits, and the
// misses that were asked for.
func ValidationText(w io.Writer, v *replay.Validation) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "F1 %.4f  precision %.4f  recall %.4f   (using %s, %d hits)\n\n", v.F1(), v.Precision(), v.Recall(), v.Using, v.Hits)
	fmt.Fprintf(t, "\tkernel fell back\tkernel lockless\t\n")
	fmt.Fprintf(t, "predicted to fall back\t%d\t%d\t\n", v.TP, v.FP)
	fmt.Fprintf(t, "predicted lockless\t%d\t%d\t\n", v.FN, v.Hits-v.TP-v.FP-v.FN)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintf(t, "\tfallbacks\twait in all\tp50\tp90\tp99\t\n")
	row := func(name string, n int64, d replay.Dist) {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t\n", name, n, span(d.Total), span(d.P50), span(d.P90), span(d.P99))
	}
	row("kernel", v.Observed, v.Waits.Observed)
	row("predicted", v.Predicted, v.Waits.Predicted)
	if err := t.Flush(); err != nil {
		return err
	}
	if v.Lost > 0 {
		fmt.Fprintf(w, "\n%d of %d events were lost: outcomes near them may be wrong on either side\n", v.Lost, v.Lost+v.Events)
	}
	if e := v.ArrivalError; e.Count > 0 {
		fmt.Fprintf(w, "\narrivals of the %d failed lookups are off by %s (half within), %s (90 %% within)\n", e.Count, span(e.P50), span(e.P90))
	}
	if v.Spread > 0 {
		fmt.Fprintf(w, "\narrivals are inferred: %.1f ± %.1f fallbacks are expected, %d are decided\n", v.Expected, v.Spread, v.Predicted)
	}
	for i := range v.Misses {
		explainMiss(w, i+1, &v.Misses[i])
	}
	return nil
}

// explainMiss tells what was predicted of one hit, and why.
func explainMiss(w io.Writer, n int, m *replay.Miss) {
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
