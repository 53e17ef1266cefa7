package ingest

import "fmt"

// skipped are the bad records or lines of an input that Options.SkipBad passed over.
type skipped struct {
	n     int64
	first error
}

func (s *skipped) add(err error) {
	if s.n++; s.first == nil {
		s.first = err
	}
}

// warnings tells of them; what they are is "records" or "lines".
func (s *skipped) warnings(what string) []string {
	if s.n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d bad %s were skipped, the first: %v", s.n, what, s.first)}
}
