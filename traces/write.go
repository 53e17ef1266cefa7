package traces

import (
	"errors"
	"fmt"

	"github.com/replay/replay/traces/aside"
)

const (
	batchRows    = 4096 // that are handed to the encoder at a time
	batchesAhead = 3    // batches that Write may be ahead of the encoder
)

var (
	// ErrExists is wrapped by the error of Create and Commit when the file is
	// already there and WriterOptions.Force is not set.
	ErrExists = aside.ErrExists

	// ErrOrder is wrapped by the error for an event that is out of the total
	// order.
	ErrOrder = errors.New("event out of order")
)

// WriterOptions says how Create treats the file system.
type WriterOptions struct {
	Force bool // replace a file that is already there
}

// Writer writes one trace to a Parquet file. Nothing appears under the file's
// name before Commit; until then the rows are in a temporary file next to it.
//
// Encoding runs in a goroutine of its own, so an error of the encoder or the
// disk may be reported by a later call than the one that caused it. A Writer is
// for one goroutine.
type Writer struct {
	path string
	file *aside.File

	seq      sequence
	traps    Relink
	rows     int64
	attached [][2]string
	batch    *batch
	batches  int // that there are, made as they are needed

	full  chan *batch   // to the encoder
	empty chan *batch   // back from it
	done  chan struct{} // closed when the encoder has ended
	enc   *encoder      // the goroutine's until done is closed
	err   error         // the first error; every later call returns it
}

// Create begins a trace that Commit will put at path. The folder must exist. A
// file that is already there is refused with ErrExists unless opts.Force is set.
func Create(path string, opts WriterOptions) (*Writer, error) {
	file, err := aside.Create(path, opts.Force)
	if err != nil {
		return nil, fmt.Errorf("create trace: %w", err)
	}
	w := &Writer{
		path: path, file: file,
		full:  make(chan *batch, batchesAhead),
		empty: make(chan *batch, batchesAhead+1),
		done:  make(chan struct{}),
	}
	w.batch = w.newBatch(nil)
	go w.encode(w.full)
	return w, nil
}

// Write appends ev and sets ev.Seq to its row number, counted from 0; ev.Trap, which
// is the Seq that an earlier event had before, becomes that one's row number. The event
// must not sort before the previous one. The writer keeps ev's strings and stack,
// not ev itself.
func (w *Writer) Write(ev *Event) error {
	if w.err != nil {
		return w.err
	}
	w.traps.Move(ev, w.rows)
	if err := w.seq.follow(ev); err != nil {
		return w.fail(fmt.Errorf("write %s: row %d (%s): %w; sort the events before writing them", w.path, w.rows, ev.Kind, err))
	}
	if ev.Kind == NoKind || ev.Kind >= numKinds {
		return w.fail(fmt.Errorf("write %s: row %d: %s is no kind of event", w.path, w.rows, ev.Kind))
	}
	w.rows++
	w.batch.add(ev)
	if w.batch.rows() == batchRows {
		return w.handOver()
	}
	return nil
}

// Attach has text kept with the trace, under a key of the file's metadata that is none of
// those of Meta. It is for who can make use of it, and would make it anew; a trace that is
// made of this one does not have it.
func (w *Writer) Attach(key, text string) { w.attached = append(w.attached, [2]string{key, text}) }

// Rows returns the number of events written so far.
func (w *Writer) Rows() int64 { return w.rows }

// Commit ends the trace, records meta in it and puts the file in place. On an
// error nothing is left behind.
func (w *Writer) Commit(meta Meta) error {
	if w.err != nil {
		w.Abort()
		return w.err
	}
	if err := w.finish(meta); err != nil {
		w.Abort()
		return w.fail(fmt.Errorf("write %s: %w", w.path, err))
	}
	w.err = fmt.Errorf("write %s: the trace is already committed", w.path)
	return nil
}

// Abort gives the trace up and removes the temporary file. After Commit it does
// nothing, so it can be deferred.
func (w *Writer) Abort() {
	if w.file == nil {
		return
	}
	w.stop()
	w.file.Abort()
	w.file = nil
	if w.err == nil {
		w.err = fmt.Errorf("write %s: the trace was aborted", w.path)
	}
}

func (w *Writer) fail(err error) error {
	w.err = err
	return err
}

func (w *Writer) finish(meta Meta) error {
	if w.batch.rows() > 0 {
		w.full <- w.batch
		w.batch = nil
	}
	w.stop()
	if err := w.enc.close(meta, w.attached); err != nil {
		return err
	}
	if err := w.file.Commit(); err != nil {
		return err
	}
	w.file = nil
	return nil
}

func (w *Writer) newBatch(like *batch) *batch {
	w.batches++
	return newBatch(like)
}

// handOver gives the full batch to the encoder and takes an empty one.
func (w *Writer) handOver() error {
	if len(w.empty) == 0 && w.batches <= batchesAhead {
		next := w.newBatch(w.batch)
		w.full <- w.batch
		w.batch = next
		return nil
	}
	w.full <- w.batch
	select {
	case w.batch = <-w.empty:
		return nil
	case <-w.done:
		return w.fail(fmt.Errorf("write %s: %w", w.path, w.enc.err))
	}
}

// stop ends the encoder goroutine after it has seen every batch.
func (w *Writer) stop() {
	if w.full != nil {
		close(w.full)
		w.full = nil
	}
	<-w.done
}

func (w *Writer) encode(full <-chan *batch) {
	defer close(w.done)
	w.enc = newEncoder(w.file)
	for batch := range full {
		if w.enc.err = w.enc.write(batch); w.enc.err != nil {
			return
		}
		batch.reset()
		w.empty <- batch
	}
}
