package replay_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/replaytest"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces/tracetest"
)

// What the corpora come out at belongs to a version of the model: who changes it counts
// ModelVersion up, and then takes the new figures with -update.
func TestModelVersion(t *testing.T) {
	var b strings.Builder
	for _, name := range []string{"churn-1x1", "javac", "nop5", "stress-malloc-z"} {
		options := replay.DefaultOptions()
		options.Resolvers = sim.ResolverNames()
		res, err := replay.Play(t.Context(), replaytest.Corpus(t, name), replaytest.Machine(t), options, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range res.Runs {
			r := &res.Runs[i]
			fmt.Fprintf(&b, "%s %s %016x fallbacks %d resolve %d wait %d writers %d transfers %d makespan %d\n",
				name, r.Resolver, r.Digest, r.Fallbacks(), r.Resolve.Total, r.LockWait.Total, r.WriterWait.Total, r.LineTransfers, r.Makespan)
		}
	}
	version := fmt.Sprintf("version %d\n", replay.ModelVersion)
	stored, err := os.ReadFile(filepath.Join("testdata", "model.golden"))
	if err == nil && strings.HasPrefix(string(stored), version) && string(stored) != version+b.String() {
		t.Fatal("the corpora come out otherwise than before: count replay.ModelVersion up, then run this test with -update, and .ci/gate --update")
	}
	tracetest.Golden(t, "model.golden", version+b.String())
}
