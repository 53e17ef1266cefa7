package sweep

import (
	"context"
	"fmt"
	"path"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/dist"
	"github.com/replay/replay/replay/timeline"
	"github.com/replay/replay/reports"
	"github.com/replay/replay/sim"
	"github.com/replay/replay/traces"
)

// Record is the result of a cell on a trace.
type Record struct {
	Key         string                    `json:"key"`
	Trace       string                    `json:"trace"` // the file's name, without its folder
	TraceSHA256 string                    `json:"trace_sha256"`
	Config      config                    `json:"config"`
	CPUs        int                       `json:"cpus"` // in use
	Events      int64                     `json:"events"`
	Lost        *int64                    `json:"lost"`
	Undecided   *int64                    `json:"undecided"`
	Digest      string                    `json:"digest"`
	Metrics     map[string]reports.Figure `json:"metrics"`
	Hist        [][3]int64                `json:"resolve_hist"` // of the time to resolve a hit: from and to, in ns, and how many
	Warnings    []string                  `json:"warnings"`
	Error       string                    `json:"error"`  // why it was not replayed; empty: it was
	Repeat      []string                  `json:"repeat"` // the command that fails alike

	Profile []byte `json:"-"` // canonical, see MergeProfiles; nil where there is none
}

// Play replays a trace in cells, and calls keep with the number of each and its record,
// from several goroutines, as soon as the cells that it shares a reconstruction with are
// done: replay.MaxTogether at a time. What concerns the trace as a whole, and what keep
// returns, is an error; what concerns a cell is in its record.
func Play(ctx context.Context, trace timeline.Trace, cells []Cell, keep func(cell int, r *Record) error, progress func(done, total int64)) error {
	work := make([]replay.Cell, len(cells))
	for i, c := range cells {
		work[i] = replay.Cell{Profile: c.Profile, Options: c.Options}
	}
	return replay.EachCell(ctx, trace, work, func(numbers []int, outcomes []replay.Outcome) error {
		return each(len(numbers), func(n int) error {
			i := numbers[n]
			r := newRecord(trace.Path(), trace.SHA256(), &cells[i])
			if err := outcomes[n].Err; err != nil {
				r.fail(err, &cells[i], trace.Path())
			} else if err := r.take(outcomes[n].Result); err != nil {
				return err
			}
			return keep(i, r)
		})
	}, progress)
}

// Failed are the records of cells of a trace that cannot be replayed at all.
func Failed(tracePath, sha256 string, cells []Cell, err error) []*Record {
	records := make([]*Record, len(cells))
	for i := range cells {
		records[i] = newRecord(tracePath, sha256, &cells[i])
		records[i].fail(err, &cells[i], tracePath)
	}
	return records
}

func newRecord(tracePath, sha256 string, c *Cell) *Record {
	return &Record{
		Key: c.Key(sha256), Trace: path.Base(tracePath), TraceSHA256: sha256, Config: c.config(), CPUs: c.Options.CPUs,
		Metrics: map[string]reports.Figure{}, Hist: [][3]int64{}, Warnings: []string{}, Repeat: []string{},
	}
}

func (r *Record) fail(err error, c *Cell, tracePath string) {
	r.Error, r.Repeat = err.Error(), replay.RepeatRun(tracePath, c.Profile, &c.Options)
}

// take fills in what was found.
func (r *Record) take(res *replay.Result) error {
	doc := reports.NewDocument(res)
	r.CPUs, r.Events, r.Lost = res.Machine.CPUs, doc.Trace.Events, doc.Trace.Lost
	r.Warnings = append(r.Warnings, res.Warnings...)
	for _, u := range res.Unknown {
		r.Warnings = append(r.Warnings, u.String())
	}
	if len(res.Runs) == 0 {
		return nil
	}
	run := reports.NewEntry(doc).Runs[0]
	r.Digest, r.Metrics, r.Undecided = run.Digest, run.Metrics, doc.Runs[0].Undecided
	if doc.Runs[0].ResolveNs != nil { // known
		r.Hist = histogram(res.Runs[0].ResolveHist)
	}
	var err error
	if r.Profile, err = canonical(reports.HitProfile(res, &res.Runs[0])); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}

func histogram(bins []dist.Bin) [][3]int64 {
	out := make([][3]int64, len(bins))
	for i, b := range bins {
		out[i] = [3]int64{int64(b.Low / sim.Nanosecond), int64(b.High / sim.Nanosecond), b.Count}
	}
	return out
}

// Of says which trace it is of, where one of the same content had another name.
func (r *Record) Of(tracePath string) { r.Trace = path.Base(tracePath) }

// Stored is a trace of the store, as a sweep reads it.
type Stored struct {
	*traces.File
	Name, SHA string
}

// Path is part of timeline.Trace.
func (s *Stored) Path() string { return s.Name }

// SHA256 is part of timeline.Trace.
func (s *Stored) SHA256() string { return s.SHA }

// Stream is part of timeline.Trace.
func (s *Stored) Stream(c traces.Columns) (traces.Stream, error) { return s.Events(c) }
