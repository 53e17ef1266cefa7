package ingest

import (
	"errors"
	"io"
	"slices"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// recordStream is a Stream of one input whose rows an Assembler makes. Where others
// share that, its own only puts the records in order (assemble.Options.Relay).
type recordStream interface {
	Stream
	// assembler is its own, with what it was made for. Neither is known before the
	// first Next.
	assembler() (*assemble.Assembler, assemble.Options)
}

// joint is several inputs whose records one Assembler makes rows of: the entry of a
// syscall may be in one and its exit in another (perf script --per-event-dump), a lock
// in one and the hit that it was taken for in another, and all tell of threads.
type joint struct {
	inputs   []recordStream
	sources  []int32            // of each, in Meta.Sources
	sessions []int              // of each, the first input of the recorder that wrote it
	heads    []*assemble.Record // the next record of each, nil at the end
	asm      *assemble.Assembler
	naming   bool // bpftrace's hits name mappings
	names    files
	twins    twins
	pids     map[int32]int32 // by thread, of whom an input tells
	flushed  bool
}

// join reads the first record of each input, and with it what a pipe says of its events.
func join(inputs []recordStream, sources []int32) (*joint, error) {
	j := &joint{inputs: inputs, sources: sources, heads: make([]*assemble.Record, len(inputs)), pids: map[int32]int32{}}
	if err := findShared(inputs); err != nil {
		return nil, err
	}
	j.findSessions()
	var o assemble.Options
	for i, s := range inputs {
		if err := j.fill(i); err != nil {
			return nil, err
		}
		_, own := s.assembler()
		o.Fork, o.Exec = o.Fork || own.Fork, o.Exec || own.Exec
		if _, ok := s.(*bpftraceStream); ok {
			j.naming = true
		}
		if _, ok := s.(*perfStream); ok || o.Symbols == nil {
			o.Symbols = own.Symbols // which knows the recorded kernel
		}
	}
	j.asm = assemble.New(o)
	return j, nil
}

// fill takes the next record of an input.
func (j *joint) fill(i int) error {
	var ev traces.Event
	j.heads[i] = nil
	if err := j.inputs[i].Next(&ev); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return err
	}
	asm, _ := j.inputs[i].assembler()
	j.heads[i] = asm.Relayed()
	return nil
}

// Next is part of traces.Stream.
func (j *joint) Next(ev *traces.Event) error {
	for !j.row(ev) {
		if j.flushed {
			return io.EOF
		}
		if err := j.step(); err != nil {
			return err
		}
	}
	return nil
}

func (j *joint) row(ev *traces.Event) bool {
	if j.naming {
		return j.names.next(j.asm, ev)
	}
	return j.asm.Next(ev)
}

// step places the next record in order; the first input wins a tie.
func (j *joint) step() error {
	least := -1
	for i, r := range j.heads {
		if r != nil && (least < 0 || traces.Compare(&r.Event, &j.heads[least].Event) < 0) {
			least = i
		}
	}
	if least < 0 {
		j.flushed = true
		j.rest()
		j.asm.Flush()
		return nil
	}
	r := j.asm.Take(j.heads[least])
	r.Src = j.sources[least]
	r.Has |= traces.ColSrc
	r.Emitter |= (j.sources[j.sessions[least]] + 1) << assemble.EmitterBits
	j.follow(r)
	if j.twins.second(r, func(input int32) bool { return j.heads[slices.Index(j.sources, input)] != nil }) {
		j.asm.Release(r)
	} else {
		j.asm.Place(r)
	}
	return j.fill(least)
}

// follow notes which process a thread is of, and tells a record that does not know:
// text may name threads alone.
func (j *joint) follow(r *assemble.Record) {
	switch {
	case !r.Got(traces.ColTID):
		return
	case r.Got(traces.ColPID):
		j.pids[r.TID] = r.PID
	default:
		pid, ok := j.pids[r.TID]
		if !ok {
			return
		}
		r.PID = pid
		r.Has |= traces.ColPID
	}
	if r.Kind == traces.Fork {
		child := int32(r.Ret)
		switch {
		case r.Got(traces.ColFlags) && r.Flags&assemble.CloneThread != 0:
			j.pids[child] = r.PID
		case r.Got(traces.ColFlags):
			j.pids[child] = child
		}
	}
}

func (j *joint) warnings() []string {
	c := j.asm.Counts()
	return append(c.Warnings(), j.twins.warnings()...)
}

// Meta is part of traces.Stream. What inputs say of themselves is not in it.
func (j *joint) Meta() traces.Meta { return traces.Meta{} }
