package reports_test

import (
	"fmt"
	"os"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/reports"
	"github.com/replay/replay/sim"
)

// result is what a replay of a hundred hits may have found.
func result() *replay.Result {
	r := replay.Run{Resolver: "speculative", Hits: 100, Lookups: 100}
	r.Outcomes[sim.Lockless], r.Outcomes[sim.WriterActive] = 97, 3
	r.Samples = []replay.Sample{
		{Stack: []string{"malloc+0x0 (/usr/lib/libc.so.6)", "main+0x12 (/bin/app)"}, Probe: "libc:malloc", Hits: 97, Parts: sim.Parts{Lookup: 5 * sim.Microsecond}},
	}
	r.Blame = []replay.Blame{{Comm: "app", PID: 7, TID: 8, Kind: "munmap", Writers: 1, Sections: 9, Fallbacks: 3, Wait: 4 * sim.Microsecond}}
	return &replay.Result{Trace: replay.TraceSummary{Path: "app.parquet", Hits: 100}, Options: replay.DefaultOptions(), Runs: []replay.Run{r}}
}

// A profile of hits becomes lines for flamegraph.pl.
func ExampleFolded() {
	res := result()
	if err := reports.Folded(os.Stdout, reports.HitProfile(res, &res.Runs[0]), "hits"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// libc:malloc;main;malloc;asm_exc_int3;irqentry_exit_to_user_mode;exit_to_user_mode_loop;uprobe_notify_resume;handle_swbp;find_active_uprobe_rcu;find_active_uprobe_speculative 97
}

// A table of a report becomes CSV.
func ExampleCSV() {
	if err := reports.CSV(os.Stdout, reports.NewDocument(result()), "blame"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// resolver,comm,pid,tid,kind,stack,writers,sections,hold_ns,fallbacks,wait_ns,wasted_ns
	// speculative,app,7,8,munmap,,1,9,0,3,4000,0
}

// A limit is put on a figure of a report.
func ExampleParseLimit() {
	limit, err := reports.ParseLimit("fallbacks=+5%")
	fmt.Println(limit, err)
	_, err = reports.ParseLimit("falbacks=+5%")
	fmt.Println(err != nil)
	// Output:
	// fallbacks=+5% <nil>
	// true
}
