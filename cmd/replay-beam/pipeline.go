package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/reports/sweep"
)

func init() {
	register.DoFn4x1[context.Context, Work, func(int64, []byte), func(Work), error](&PlayFn{})
	register.DoFn4x1[context.Context, []byte, func(*int64, *[]byte) bool, func(*string, *[]byte) bool, error](&WriteFn{})
	register.DoFn3x1[int64, []byte, func(string, []byte), error](&MergedFn{})
	register.DoFn3x1[int64, []byte, func(int64, []byte), error](&FiguresFn{})
	register.Combiner1[[]byte](&MergeFn{})
	register.Emitter2[int64, []byte]()
	register.Emitter2[string, []byte]()
	register.Emitter1[Work]()
	register.Iter2[int64, []byte]()
	register.Iter2[string, []byte]()
	beam.RegisterType(reflect.TypeFor[Work]())
}

// Job is what every worker is told. It travels with the pipeline.
type Job struct {
	Grid     []byte            // a sweep.Grid
	Profiles map[string][]byte // of machines that are files: workers need not have them
	Output   string            // a folder
}

// Work is cells of a trace.
type Work struct {
	Trace int64 // its number in the grid
	First int64 // cells from First to Last-1
	Last  int64
}

// job is a sweep to be submitted.
type job struct {
	Job
	grid  *sweep.Grid
	cells int
	batch int
	tries int
}

// loadJob reads the manifest, and the machines that it has files for.
func loadJob(ctx context.Context, manifest, output string, batch, tries int) (*job, error) {
	if manifest == "" || output == "" {
		return nil, errors.New("want --manifest FILE and --output FOLDER; see the top of the source, and replay sweep --help")
	}
	data, err := readFile(ctx, manifest)
	if err != nil {
		return nil, fmt.Errorf("--manifest: %w", err)
	}
	j := &job{Job: Job{Grid: data, Profiles: map[string][]byte{}, Output: strings.TrimSuffix(output, "/")}, batch: batch, tries: max(tries, 1)}
	if j.grid, err = sweep.ReadGrid(data, manifest); err != nil {
		return nil, err
	}
	for _, name := range j.grid.Machines {
		if !slices.Contains(machines.Names(), name) {
			if j.Profiles[name], err = readFile(ctx, name); err != nil {
				return nil, fmt.Errorf("machine %s: %w", name, err)
			}
		}
	}
	_, cells, err := j.load()
	j.cells = len(cells)
	if j.batch <= 0 {
		j.batch = j.cells
	}
	return j, err
}

// load makes the grid of a job, and its cells.
func (j *Job) load() (*sweep.Grid, []sweep.Cell, error) {
	g, err := sweep.ReadGrid(j.Grid, "manifest")
	if err != nil {
		return nil, nil, err
	}
	cells, err := g.Cells(func(name string) (*machines.Profile, error) {
		if data, ok := j.Profiles[name]; ok {
			return machines.Parse(name, data)
		}
		return machines.Load(name)
	})
	return g, cells, err
}

// pipeline is
//
//	work -> play -> (failed cells -> play)... -> records -> by configuration -> merge
//	                                               \-> figures -> write <---------/
//
// What is written at last goes through one worker, which holds all figures, but no
// profile: those are added up by configuration, on all of them.
func (j *job) pipeline() *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	var work []Work
	for t := range j.grid.Traces {
		for first := 0; first < j.cells; first += j.batch {
			work = append(work, Work{int64(t), int64(first), int64(min(first+j.batch, j.cells))})
		}
	}
	todo := beam.Reshuffle(s, beam.CreateList(s, work)) // to as many workers as there are
	var done []beam.PCollection
	for try := range j.tries {
		fn := &PlayFn{Job: j.Job, Final: try == j.tries-1}
		records, failed := beam.ParDo2(s.Scope(fmt.Sprintf("Try%d", try+1)), fn, todo)
		done = append(done, records)
		todo = beam.Reshuffle(s, failed) // to another worker
	}
	records := beam.Flatten(s, done...)
	merged := beam.CombinePerKey(s, &MergeFn{}, beam.ParDo(s, &MergedFn{}, records))
	figures := beam.ParDo(s, &FiguresFn{}, records)
	beam.ParDo0(s, &WriteFn{Job: j.Job}, beam.Impulse(s), beam.SideInput{Input: figures}, beam.SideInput{Input: merged})
	return p
}

// PlayFn replays cells of a trace: it is the cell function of package sweep. Records of
// cells that fail go to the second output, to be tried again, unless this is the final
// try; then they are records that say why.
type PlayFn struct {
	Job   Job
	Final bool

	grid  *sweep.Grid
	cells []sweep.Cell
}

// Setup is called by Beam.
func (f *PlayFn) Setup() (err error) {
	f.grid, f.cells, err = f.Job.load()
	return err
}

// ProcessElement is called by Beam.
func (f *PlayFn) ProcessElement(ctx context.Context, w Work, emit func(int64, []byte), again func(Work)) error {
	name, cells := f.grid.Traces[w.Trace], f.cells[w.First:w.Last]
	records, err := f.play(ctx, name, cells)
	if err != nil {
		return err // of the engine's or the output's making: it tries again by itself
	}
	for i, r := range records {
		number := w.First + int64(i)
		if r.Error != "" && !f.Final {
			log.Warnf(ctx, "%s, %v: %s", name, cells[i], r.Error)
			again(Work{w.Trace, number, number + 1})
			continue
		}
		data, err := r.Encode()
		if err != nil {
			return err
		}
		emit(w.Trace*int64(len(f.cells))+number, data)
	}
	return nil
}

// play takes from the output what is done, and replays the rest.
func (f *PlayFn) play(ctx context.Context, name string, cells []sweep.Cell) ([]*sweep.Record, error) {
	trace, err := fetch(ctx, name)
	if trace == nil {
		return sweep.Failed(name, "", cells, err), nil
	}
	defer trace.Close()
	if err != nil {
		return sweep.Failed(name, trace.SHA, cells, err), nil // which names the file
	}
	records := make([]*sweep.Record, len(cells))
	var missing []int
	var todo []sweep.Cell
	for i := range cells {
		if records[i] = f.kept(ctx, name, cells[i].Key(trace.SHA)); records[i] == nil {
			missing, todo = append(missing, i), append(todo, cells[i])
		}
	}
	if len(todo) == 0 {
		return records, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	keep := func(n int, r *sweep.Record) error {
		if r.Error == "" {
			if err := f.keep(ctx, r); err != nil {
				cancel(err) // no failure of the trace
				return err
			}
		}
		records[missing[n]] = r
		return nil
	}
	if err := sweep.Play(ctx, &trace.Stored, todo, keep, nil); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		for n, i := range missing {
			if records[i] == nil {
				records[i] = sweep.Failed(name, trace.SHA, todo[n:n+1], fmt.Errorf("%s: %w", name, err))[0]
			}
		}
	}
	return records, nil
}

// path is where a record is kept, as in a sweep.Store.
func (f *PlayFn) path(key string) string {
	return f.Job.Output + "/cells/" + key[:2] + "/" + key + ".json"
}

// kept is a record in the output, nil for none.
func (f *PlayFn) kept(ctx context.Context, trace, key string) *sweep.Record {
	data, err := readFile(ctx, f.path(key))
	if err != nil {
		return nil
	}
	r, err := sweep.DecodeRecord(data)
	if err != nil || r.Key != key || r.Error != "" {
		return nil
	}
	r.Of(trace)
	return r
}

func (f *PlayFn) keep(ctx context.Context, r *sweep.Record) error {
	data, err := r.Encode()
	if err != nil {
		return err
	}
	return writeFile(ctx, f.path(r.Key), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// MergedFn makes of each record the only one of its configuration.
type MergedFn struct{}

// ProcessElement is called by Beam.
func (MergedFn) ProcessElement(_ int64, data []byte, emit func(string, []byte)) error {
	r, err := sweep.DecodeRecord(data)
	if err != nil {
		return err
	}
	m := sweep.NewMerged(r)
	text, err := m.Encode()
	if err != nil {
		return err
	}
	emit(m.Key, text)
	return nil
}

// FiguresFn takes the profile off each record.
type FiguresFn struct{}

// ProcessElement is called by Beam.
func (FiguresFn) ProcessElement(number int64, data []byte, emit func(int64, []byte)) error {
	r, err := sweep.DecodeRecord(data)
	if err != nil {
		return err
	}
	r.Profile = nil
	if data, err = r.Encode(); err != nil {
		return err
	}
	emit(number, data)
	return nil
}

// MergeFn adds up the records of a configuration, in whatever order the engine has them.
type MergeFn struct{}

// MergeAccumulators is called by Beam.
func (MergeFn) MergeAccumulators(a, b []byte) ([]byte, error) {
	x, err := sweep.DecodeMerged(a)
	if err != nil {
		return nil, err
	}
	y, err := sweep.DecodeMerged(b)
	if err != nil {
		return nil, err
	}
	sum, err := sweep.Merge(x, y)
	if err != nil {
		return nil, err
	}
	return sum.Encode()
}

// WriteFn writes the results, as package sweep does.
type WriteFn struct{ Job Job }

// ProcessElement is called by Beam, once.
func (f *WriteFn) ProcessElement(ctx context.Context, _ []byte, records func(*int64, *[]byte) bool, merged func(*string, *[]byte) bool) error {
	g, cells, err := f.Job.load()
	if err != nil {
		return err
	}
	all := make([]*sweep.Record, len(g.Traces)*len(cells))
	var number int64
	var data []byte
	for records(&number, &data) {
		if all[number], err = sweep.DecodeRecord(data); err != nil {
			return err
		}
	}
	if i := slices.Index(all, nil); i >= 0 {
		return fmt.Errorf("cell %d of trace %s is missing", i%len(cells), g.Traces[i/len(cells)])
	}
	sums := map[string]*sweep.Merged{}
	var key string
	for merged(&key, &data) {
		if sums[key], err = sweep.DecodeMerged(data); err != nil {
			return err
		}
	}
	doc, err := sweep.Assemble(g, all, sums)
	if err != nil {
		return err
	}
	for _, o := range doc.Outputs() {
		if err := writeFile(ctx, f.Job.Output+"/"+o.Name, o.Write); err != nil {
			return err
		}
	}
	return nil
}

// report says what became of the sweep: an error where cells failed.
func (j *job) report(ctx context.Context) error {
	data, err := readFile(ctx, j.Output+"/sweep.json")
	if err != nil {
		return err
	}
	var doc struct {
		Cells  []json.RawMessage `json:"cells"`
		Failed []sweep.Failure   `json:"failed"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	fmt.Printf("%d cells, results are in %s\n", len(doc.Cells), j.Output)
	if n := len(doc.Failed); n > 0 {
		x := doc.Failed[0]
		return fmt.Errorf("%d of %d cells were not replayed in %d tries; the first, %s: %s; to see it again: %s", n, len(doc.Cells), j.tries, x.Trace, x.Error, strings.Join(x.Repeat, " "))
	}
	return nil
}
