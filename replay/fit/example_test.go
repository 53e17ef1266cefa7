package fit_test

import (
	"context"
	"fmt"

	"github.com/replay/replay/replay/fit"
	"github.com/replay/replay/replay/machines"
)

// The kernel's benchmark on the simulated machine of the published table: with two threads
// the lock begins to cost, and speculation does not.
func ExampleBench() {
	profile, err := machines.Load("xeon-6138x2")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, resolver := range []string{"locked", "speculative"} {
		row, err := fit.Bench(context.Background(), &profile.Machine, resolver, fit.Nop, 2, 1)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %.1f million hits a second\n", row.Resolver, float64(row.PerSecond())/1e6)
	}
	// Output:
	// locked: 5.2 million hits a second
	// speculative: 6.7 million hits a second
}
