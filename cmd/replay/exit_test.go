package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// A failure of the machine is no bad input, and comes with the command that repeats it.
func TestFailureOfTheMachine(t *testing.T) {
	var stderr bytes.Buffer
	e := &env{stderr: &stderr}
	fault := &sim.Fault{What: "sim: impossible", Stack: []byte("goroutine 1\nsim.compare\n")}
	code := e.report(t.Context(), badInput(named("a b.parquet", &replay.Failure{
		Resolver: "srcu", Seed: 3, Repeat: []string{"replay", "run", "--seed", "3", "a b.parquet"}, Err: fault,
	})))
	if code != exitRegression {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"replay: replay through srcu with seed 3: a fault of the simulator: sim: impossible\n", "replay: to see it again: replay run --seed 3 'a b.parquet'\n", "a mistake of replay", "sim.compare\n",
	} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("%q lacks %q", &stderr, want)
		}
	}
}
