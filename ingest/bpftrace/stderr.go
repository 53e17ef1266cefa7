package bpftrace

import (
	"bufio"
	"errors"
	"io"
	"strconv"

	"github.com/replay/replay/ingest/lines"
)

// Stderr is what bpftrace said on standard error.
type Stderr struct {
	Lost  int64 // events; where, it does not say
	Total int64 // how many it lost in all, as it says at its end
	Said  []string
}

// ReadStderr reads what bpftrace wrote on standard error: losses, where it printed
// text, and messages. What it does not know it keeps as a message; a line that is
// too long is an error.
func ReadStderr(in *bufio.Reader, name string) (*Stderr, error) {
	r := lines.New(in, name)
	var s Stderr
	for {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return &s, nil
		}
		if err != nil {
			return nil, err
		}
		if n, ok := totalLost(line); ok {
			s.Total = max(s.Total, n)
			continue
		}
		if m := lostLine().FindSubmatch(line); m != nil {
			n, _ := strconv.ParseInt(string(m[1]), 10, 64)
			if s.Lost += n; s.Lost < 0 {
				return nil, r.Bad(line, "losses that make a number of 64 bits")
			}
			continue
		}
		if len(line) > 0 && !attachedLine().Match(line) && len(s.Said) < saidMax {
			s.Said = append(s.Said, string(line[:min(len(line), saidBytes)]))
		}
	}
}
