package ingest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/replay/replay/ingest/perfdata"
	"github.com/replay/replay/traces"
)

// noProbe is the error for a recording in which no event is a uprobe, nil where one
// may be. Lock events alone are worth a report, too.
func (s *perfStream) noProbe() error {
	var names []string
	kprobes := 0
	for _, ev := range s.r.Events() {
		names = append(names, ev.Name)
		d := s.decoder(ev)
		switch probe := d.point != nil && (d.point.Kind == traces.Hit || d.point.Kind == traces.Ret); {
		case probe && !d.kernel, d.point != nil && d.point.Kind.IsLock():
			return nil
		case probe:
			kprobes++
		}
	}
	what := shorten(names)
	if kprobes > 0 {
		what += fmt.Sprintf(", and its %d probes are kprobes", kprobes)
	}
	return fmt.Errorf("%s: %w: it records %s; add one with perf probe -x PROGRAM FUNCTION and record it with perf record -e", s.in.path, ErrNoProbe, what)
}

// writersRemedy is how to record who changes address spaces.
const writersRemedy = "record -e 'syscalls:sys_enter_mmap,syscalls:sys_exit_mmap' and so on for munmap, mprotect, mremap, brk and madvise, too"

// recorded is the kinds of rows that the events can yield. Losses perf always tells.
func (s *perfStream) recorded() []string {
	k := newRecordedKinds()
	has := k.has
	has[traces.Lost] = true
	for _, ev := range s.r.Events() {
		if ev.Attr.RecordsMappings() {
			has[traces.Map] = true
		}
		if ev.Attr.RecordsNames() {
			has[traces.Exec] = true
		}
		if ev.Attr.RecordsTasks() {
			has[traces.Fork], has[traces.Exit] = true, true
		}
		d := s.decoder(ev)
		if d.point == nil || d.kernel && d.point.Kind != traces.Arrive || ev.Attr.UserOnly() && inKernel(d.point.Kind) {
			continue
		}
		k.add(d.point)
		if d.arrive != nil {
			has[traces.Arrive] = true
		}
	}
	return k.names()
}

// unknown is what the recording cannot tell though its rows look as if they did.
func (s *perfStream) unknown() []traces.Unknown {
	var list []traces.Unknown
	sampled := map[string][]string{}
	how := ""
	raw, writers, last := "", false, false
	var events []recordedEvent
	for _, ev := range s.r.Events() {
		last = last || ev.Attr.KeepsLast()
		if strings.HasPrefix(ev.Name, "raw_syscalls:") {
			raw = ev.Name
		}
		d := s.decoder(ev)
		if d.point == nil || d.kernel && d.point.Kind != traces.Arrive {
			continue
		}
		writers = writers || d.point.Kind.IsSyscall()
		what := toldBy(d.point.Kind)
		events = append(events, recordedEvent{ev.Name, what})
		if what != "" && !ev.Attr.RecordsEach() {
			sampled[what] = append(sampled[what], ev.Name)
			how = sampling(&ev.Attr)
		}
	}
	for _, what := range []string{traces.UnknownHits, traces.UnknownWriters, traces.UnknownOutcomes} {
		if names := sampled[what]; names != nil {
			slices.Sort(names)
			list = append(list, traces.Unknown{What: what,
				Why:    fmt.Sprintf("perf sampled %s (%s): the rows are some of what happened, and how many there were is not known", shorten(slices.Compact(names)), how),
				Remedy: "record each with perf record -c 1"})
		}
	}
	if raw != "" && !writers {
		list = append(list, traces.Unknown{What: traces.UnknownWriters,
			Why:    raw + " has no names of syscalls and makes no rows: who changed address spaces is not known",
			Remedy: writersRemedy})
	}
	if last {
		list = append(list, keptLast)
	}
	info, o := s.r.Info(), parseRecord(s.r.Info().Cmdline)
	return append(list, o.unknown(info.CPUs, s.forked, events)...)
}

// keptLast is of a recording whose buffers had their first part overwritten.
var keptLast = traces.Unknown{
	What: traces.UnknownLosses, Why: "perf record --overwrite keeps what came last on each CPU: how much of what came before is gone, perf does not say",
	Remedy: "record without --overwrite",
}

// inKernel reports whether an event of a kind has the kernel's registers.
func inKernel(k traces.Kind) bool {
	return k.IsLock() || k == traces.Fork || k == traces.Exec || k == traces.Exit || k == traces.Arrive
}

// toldBy is what the rows of a kind tell, one of traces' Unknown constants.
func toldBy(k traces.Kind) string {
	switch {
	case k == traces.Hit || k == traces.Ret:
		return traces.UnknownHits
	case k.IsSyscall():
		return traces.UnknownWriters
	case k.IsLock():
		return traces.UnknownOutcomes
	}
	return ""
}

// sampling names the option of perf record that an attribute comes from.
func sampling(a *perfdata.Attr) string {
	if a.SampledByTime() {
		return fmt.Sprintf("-F %d", a.Period)
	}
	if a.Period == 0 { // it is no sampling event (is_sampling_event)
		return "it only counted them: --no-samples, or a group with :S"
	}
	return fmt.Sprintf("-c %d", a.Period)
}
