package fit

import (
	"os"
	"testing"
)

func TestReadBenchTable(t *testing.T) {
	f, err := os.Open("published/uprobe-nop-80cpu.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	points, err := ReadBenchTable(f, "table")
	if err != nil || len(points) != 17 || points[0] != (BenchPoint{"locked", 1, 3.384}) {
		t.Errorf("%d points, %v", len(points), err)
	}
}
