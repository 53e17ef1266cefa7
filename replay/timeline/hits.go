package timeline

import (
	"github.com/replay/replay/sim"
	"github.com/replay/replay/sim/mm"
	"github.com/replay/replay/traces"
)

// takeHit places the lookup of a hit in time.
func (r *Reconstruction) takeHit(t *thread, ev *traces.Event) {
	op := r.operation(sim.OpHit, t.number, r.spaceOf(t), ev)
	op.Addr, op.File = ev.Addr, r.fileOf(&r.probed, ev, ev.Probe)
	begin, observed := r.arrival(t, ev)
	r.found.Lookups++
	if r.optimised(t, ev) {
		r.found.Lookups++
		begin, observed = r.checkBefore(op, t, begin, observed)
	}
	op.At, op.Origin = begin, &op.own
	o := &op.own
	o.Class, o.Seq, o.Time, o.Observed = r.hitClass(t, ev), ev.Seq, ev.Time, observed
	o.Undecided = r.survey.losses.touch(min(begin, r.quiet(t, ev)), ev.Time)
	o.Likely, o.Delay, o.Untold = t.likely, t.delay, r.survey.light && r.survey.Threads[t.tid].light.faults()
	r.guess.Add(t.likely)
	if observed {
		r.found.ObservedArrivals++
	} else {
		r.found.InferredArrivals++
	}
	if t.looked {
		o.Truth, o.CheckTruth = t.truth.uprobe.truth(), t.truth.check.truth()
		if l := t.seen.first(); l != nil {
			op.Woken = t.seen.woken
			op.CPU = l.cpu // it may have moved while it waited
		}
		t.elsewhere()
	}
	t.lastHit = ev.Time
	t.likely, t.delay, t.light = 0, 0, false
	r.emit(op)
}

// hitClass is that of a hit. Mostly it is the one of the thread's hit before.
func (r *Reconstruction) hitClass(t *thread, ev *traces.Event) *Class {
	if c := t.class; c == nil || c.Comm != ev.Comm || c.Probe != ev.Probe || !sameStack(c.Stack, ev.Stack) {
		t.class = r.classes.of(Class{PID: t.pid, TID: t.tid, Comm: ev.Comm, Kind: "hit", Probe: ev.Probe, Stack: ev.Stack})
	}
	return t.class
}

// quiet is since when the trace has nothing of the thread, in ns: if events were
// lost then, those of the hit's own lookup may be among them.
func (r *Reconstruction) quiet(t *thread, ev *traces.Event) int64 {
	if !r.survey.LockRows {
		return ev.Time
	}
	return max(t.lastRow, ev.Time-lossLookback)
}

// namedFile is the latest file of some rows, as they name it.
type namedFile struct {
	path       string
	inode, gen uint64
	dev        uint64
	probe      string    // where it is not named
	id         mm.FileID // NoFile before the first
}

// fileOf is the file of a row; a hit of no known file gets one for its probe.
func (r *Reconstruction) fileOf(latest *namedFile, ev *traces.Event, probe string) mm.FileID {
	if ev.Path != "" || ev.Inode != 0 {
		probe = ""
	}
	n, dev := latest, mm.Dev(ev.DevMajor, ev.DevMinor)
	if n.id != mm.NoFile && n.inode == ev.Inode && n.gen == ev.InodeGen && n.dev == dev && n.path == ev.Path && n.probe == probe {
		return n.id
	}
	f := mm.File{Path: ev.Path, Inode: ev.Inode, Gen: ev.InodeGen, Dev: dev}
	if probe != "" {
		f = mm.File{Path: "file of " + probe}
	}
	*n = namedFile{ev.Path, ev.Inode, ev.InodeGen, dev, probe, r.files.ID(f)}
	return n.id
}

// arrival is the begin of a hit's lookup in ns, and whether the trace shows it.
func (r *Reconstruction) arrival(t *thread, ev *traces.Event) (int64, bool) {
	rec := &r.profile.Recorder
	switch {
	case t.seen.arrive != 0 && r.arrive:
		return t.seen.arrive + r.survey.gaps.arriveLag(rec), true
	case t.seen.uprobe.start != 0 && r.using != Syscalls:
		return r.failedAt(&t.seen.uprobe, r.failLag()), true
	case r.using == Syscalls && t.lastHit != 0:
		if begin, late := r.inferred(t, ev); late {
			return begin, false
		}
	}
	return ev.Time - rec.HitLag - rec.Window, false
}

// failLag is FailLag as this trace shows it.
func (r *Reconstruction) failLag() int64 {
	rec := &r.profile.Recorder
	return rec.HitLag + r.survey.gaps.failedLag(rec.FailLag-rec.HitLag)
}

// failedAt is the begin of a lookup that its own lock_start shows.
func (r *Reconstruction) failedAt(l *lookup, lag int64) int64 {
	return l.start - lag - l.cold - r.profile.Recorder.Window
}

// optimised reports whether the hit came by system call.
func (r *Reconstruction) optimised(t *thread, ev *traces.Event) bool {
	if c := &t.site; !c.looked || c.addr != ev.Addr || c.pid != processOf(ev) || c.at != r.programAt {
		*c = siteCache{r.survey.sites.evidence(r.programs.of(ev), ev.Addr), ev.Addr, processOf(ev), r.programAt, true}
	}
	if t.site.untold(ev.Seq, r.survey.gaps.start[1].Count > 0) {
		r.found.Untold++
	}
	return t.site.optimised(ev.Seq, r.using != Syscalls)
}

// checkBefore places the check of an optimised hit before its lookup of the uprobe, at
// begin: where its own lock_start shows it, else so much earlier that it ends
// CheckLead before the other. The two together take no longer than one does, but for
// that lead: the spread of the lags is the same one.
func (r *Reconstruction) checkBefore(op *Operation, t *thread, begin int64, observed bool) (int64, bool) {
	rec := &r.profile.Recorder
	op.Trampoline = op.Space.trampoline(op.Addr)
	switch {
	case t.seen.arrive != 0 && r.arrive:
		return begin, observed
	case r.using == Syscalls:
		return begin - rec.CheckLead, observed
	}
	begin += rec.HitLag - rec.SyscallHitLag
	if l := &t.seen.uprobe; l.start != 0 {
		begin = r.failedAt(l, rec.SyscallFailLag)
	}
	op.LookupAt = begin + rec.Window - rec.CheckLead
	if c := &t.seen.check; c.start != 0 {
		return r.failedAt(c, rec.SyscallFailLag), true
	}
	return begin - rec.CheckLead, observed
}

// trampoline is the one that a probe at the address calls: near enough for that. Where
// none is known its check looks up the probe's own address, which costs the same.
func (p *Space) trampoline(addr uint64) uint64 {
	for _, at := range p.trampolines {
		if d := int64(at - addr); d == int64(int32(d)) {
			return at
		}
	}
	return addr
}

// inferred is the begin of a lookup that seems to have fallen back, which makes the
// hit late.
func (r *Reconstruction) inferred(t *thread, ev *traces.Event) (begin int64, late bool) {
	table := r.inference.table(t.tid)
	r.near = r.sections[t.pid].near(r.near[:0], t.tid, t.lastHit, ev.Time, r.inference.due(table, t.lastHit, ev.Time), r.inference.reachOf(table))
	if len(r.near) == 0 {
		return 0, false
	}
	e := r.inference.explain(table, r.near, t.lastHit, ev.Time, nil)
	t.likely, t.delay = int64(1e6*e.share()), max(e.delay, 0)
	return e.begin, t.likely >= Decided
}
