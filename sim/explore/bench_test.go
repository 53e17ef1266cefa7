package explore

import (
	"fmt"
	"strings"
	"testing"
)

// sized is a case with some readers, and a writer that changes a mapping some times.
func sized(b *testing.B, readers, operations int) *Case {
	b.Helper()
	text := `case sized
object A mm root=N opcode=1
object N node 2=V
object V vma start=1 end=3 pgoff=4 file=F
object F file inode=7
object U5 uprobe inode=7 offset=5 left=U4 consumers=1
object U4 uprobe inode=7 offset=4 consumers=1
` + strings.Join([]string{"", "thread r1\n  do hit addr=2\n", "thread r2\n  do hit addr=2\n", "thread r3\n  do hit addr=2\n"}[:readers+1], "") + "thread writer\n" + strings.Repeat("  do mprotect addr=2\n", operations)
	c, err := ParseCase("sized", text)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// How states and their rate grow with readers and with operations of the writer.
func BenchmarkExplore(b *testing.B) {
	for _, m := range Models() {
		for _, size := range []struct{ readers, operations int }{{1, 1}, {1, 2}, {1, 4}, {1, 8}, {2, 1}, {2, 2}, {2, 4}, {3, 1}, {3, 2}} {
			if m == Weak && (size.readers == 3 || size.operations == 8) {
				continue // takes minutes, or more values than messageMax
			}
			b.Run(fmt.Sprintf("%v/readers=%d/operations=%d", m, size.readers, size.operations), func(b *testing.B) {
				c := sized(b, size.readers, size.operations)
				b.ReportAllocs()
				states := 0
				for b.Loop() {
					r, err := Run(b.Context(), c, Options{Resolver: "speculative", Model: m})
					if err != nil {
						b.Fatal(err)
					}
					if r.Verdict != Holds {
						b.Fatal(r.Verdict)
					}
					states = r.States
				}
				b.ReportMetric(float64(states), "states")
				b.ReportMetric(float64(states)*float64(b.N)/b.Elapsed().Seconds(), "states/s")
			})
		}
	}
}
