package timeline

import "math"

// Guess is how many lookups of the recorded kernel fell back, by how late their hits are, where
// no row tells (Syscalls). It is of a kernel that looks up without the lock.
type Guess struct {
	Decided  int64   // that are taken to have fallen back: see Decided
	Expected float64 // the expectation of their number,
	// Low and High are an interval that held the true number in eight recordings of ten.
	Low, High float64
}

// GuessSum adds up a Guess.
type GuessSum struct {
	decided            int64
	expected, variance float64
}

// Add takes in a lookup that fell back with a likelihood in millionths.
func (s *GuessSum) Add(likely int64) {
	p := float64(likely) / 1e6
	s.expected += p
	s.variance += float64(p * (1 - p))
	if likely >= Decided {
		s.decided++
	}
}

// Guess is the sum.
func (s *GuessSum) Guess() Guess {
	g := Guess{Decided: s.decided, Expected: s.expected}
	g.Low, g.High = interval(s.expected, math.Sqrt(s.variance))
	return g
}

// intervalFactor is by what the expectation of a number of fallbacks may be wrong either
// way, beyond the chance of single hits: that of eight recordings of ten was within, of
// those that the inference was fitted on.
const intervalFactor = 1.5

// interval is where a number is in eight cases of ten.
func interval(expected, deviation float64) (low, high float64) {
	const eightOfTen = 1.28 // deviations of a normal distribution
	d := float64(eightOfTen * deviation)
	return max(expected-d, 0) / intervalFactor, (expected + d) * intervalFactor
}
