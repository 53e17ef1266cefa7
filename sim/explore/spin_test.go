package explore

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
)

// spin runs Spin on a model: whether it finds an error, and how many states it stores,
// without any reduction of its own.
func spin(t *testing.T, model string) (found bool, states int) {
	t.Helper()
	dir := t.TempDir()
	call := func(name string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	if err := os.WriteFile(filepath.Join(dir, "model"), []byte(model), 0o644); err != nil {
		t.Fatal(err)
	}
	call("spin", "-a", "model")
	call(compiler(t), "-w", "-DNOREDUCE", "-DVECTORSZ=4096", "-o", "pan", "pan.c")
	out := call("./pan", "-m20000", "-w20") // deeper is an error
	errors := regexp.MustCompile(`errors: (\d+)`).FindStringSubmatch(out)
	stored := regexp.MustCompile(`(\d+) states, stored`).FindStringSubmatch(out)
	if errors == nil || stored == nil || regexp.MustCompile(`max search depth too small|out of memory`).MatchString(out) {
		t.Fatalf("Spin says\n%s", out)
	}
	states, _ = strconv.Atoi(stored[1])
	return errors[1] != "0", states
}

// compiler is that for Spin's verifiers: tcc, which takes no time, or any.
func compiler(t *testing.T) string {
	for _, name := range []string{"tcc", "cc"} {
		if _, err := exec.LookPath(name); err == nil {
			return name
		}
	}
	t.Skip("no C compiler for Spin's verifiers: apt-get install tcc")
	return ""
}

// Spin, which shares nothing with the explorer but the programs, has the same verdict on
// every case under sequential consistency. Where neither leaves anything out, it has the
// same number of states: in cases without lookups, whose begin and end are done with
// other steps here. Spin looks at a forbidden end in a step of its own.
func TestSpin(t *testing.T) {
	if _, err := exec.LookPath("spin"); err != nil {
		t.Skip("no Spin: apt-get install spin")
	}
	compiler(t)
	cases := small()
	if testing.Short() {
		cases = append(cases[len(cases)-10:], find(t, "range"))
	}
	var broken, counted atomic.Int32
	t.Run("cases", func(t *testing.T) {
		for _, e := range planOf(t, cases, Selection{Models: []Model{SC}}) {
			t.Run(e.String(), func(t *testing.T) {
				t.Parallel()
				model, err := Promela(e.Case, e.Options)
				if err != nil {
					t.Fatal(err)
				}
				full := e.Options
				full.Full = true
				r := explore(t, e.Case, full)
				found, states := spin(t, model)
				if found != (r.Verdict == Counterexample) {
					t.Errorf("%s, but Spin finds an error: %v", r.Verdict, found)
				}
				if found {
					broken.Add(1)
				}
				if e.Case.NoHits() && !found {
					counted.Add(1)
					if want := r.States + r.Ends; states != want {
						t.Errorf("Spin stores %d states, want %d", states, want)
					}
				}
			})
		}
	})
	if broken.Load() < 5 || counted.Load() < 10 {
		t.Errorf("vacuous: %d errors found, %d counted", broken.Load(), counted.Load())
	}
}
