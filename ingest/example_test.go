package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/replay/replay/ingest"
	"github.com/replay/replay/traces"
)

// An input's format is known by what it begins with. Here it is the text of perf script,
// from standard input.
func ExampleOpen() {
	const script = `app  700/701  [001]  12.000001: probe_app:f: (401000)
app  700/702  [000]  12.000003: probe_app:f: (401000)
`
	in, err := ingest.Open(context.Background(), []string{"-"}, ingest.Options{Stdin: strings.NewReader(script)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer in.Close()
	for {
		var ev traces.Event
		if err := in.Next(&ev); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ev.Time, ev.Kind, ev.Probe, ev.TID)
	}
	// Output:
	// 12000001000 hit probe_app:f 701
	// 12000003000 hit probe_app:f 702
}
