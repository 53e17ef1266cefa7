package reports

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// Folded writes a profile as flamegraph.pl, speedscope and inferno read it: a line for
// each stack, frames from the root on, joined by semicolons, then a value of the given
// type, or of the profile's own where it is "". Lines are sorted, and equal stacks are
// one.
func Folded(w io.Writer, p *profile.Profile, sampleType string) error {
	index, err := p.SampleIndexByName(sampleType)
	if err != nil {
		return err
	}
	sums := map[string]int64{}
	for _, s := range p.Sample {
		if n := s.Value[index]; n != 0 {
			sums[foldedStack(s)] += n
		}
	}
	stacks := make([]string, 0, len(sums))
	for stack := range sums {
		stacks = append(stacks, stack)
	}
	slices.Sort(stacks)
	out := bufio.NewWriter(w)
	for _, stack := range stacks {
		fmt.Fprintf(out, "%s %d\n", stack, sums[stack])
	}
	return out.Flush()
}

// unfold keeps a name out of the way of the separators.
var unfold = strings.NewReplacer(";", ":", "\n", " ", "\r", " ")

func foldedStack(s *profile.Sample) string {
	var frames []string
	for i := len(s.Location) - 1; i >= 0; i-- {
		lines := s.Location[i].Line
		for j := len(lines) - 1; j >= 0; j-- {
			frames = append(frames, unfold.Replace(lines[j].Function.Name))
		}
	}
	return strings.Join(frames, ";")
}
