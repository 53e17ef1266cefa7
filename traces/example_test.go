package traces_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/replay/replay/traces"
)

// A trace is written aside and appears when it is committed.
func Example() {
	dir, err := os.MkdirTemp("", "traces")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "trace.parquet")
	if err := write(path); err != nil {
		fmt.Println(err)
		return
	}
	if err := print(path); err != nil {
		fmt.Println(err)
	}
	// Output:
	// 1200 hit seq=0 tid=8 probe=probe_app:alloc
	// 1350 munmap seq=1 tid=9
	// clock monotonic, 2 rows
}

func write(path string) error {
	w, err := traces.Create(path, traces.WriterOptions{})
	if err != nil {
		return err
	}
	defer w.Abort() // does nothing after Commit
	for _, ev := range []traces.Event{
		{Kind: traces.Hit, Time: 1200, Has: traces.ColTID | traces.ColProbe, TID: 8, Probe: "probe_app:alloc"},
		{Kind: traces.Munmap, Time: 1350, Has: traces.ColTID | traces.ColAddr | traces.ColLen, TID: 9, Addr: 0x7f0000000000, Len: 4096},
	} {
		if err := w.Write(&ev); err != nil {
			return err
		}
	}
	return w.Commit(traces.Meta{Clock: "monotonic", CPUs: 2})
}

func print(path string) error {
	f, err := traces.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	events, err := f.Events(traces.ColTID | traces.ColProbe)
	if err != nil {
		return err
	}
	var ev traces.Event
	for {
		err := events.Next(&ev)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		fmt.Println(traces.FormatText(&ev))
	}
	fmt.Printf("clock %s, %d rows\n", f.Meta().Clock, f.NumRows())
	return nil
}
