package machines

import (
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/replay/replay/sim"
)

// figure is one value of a profile: what it is called in files, what it means, and
// how it is read and written.
type figure struct {
	section, key string
	about        string
	codec        codec
	optional     bool
}

func (f *figure) path() string { return f.section + "." + f.key }

// codec reads and writes a figure's value.
type codec struct {
	// parse sets the value from a node. Its errors need no position.
	parse func(p *Profile, n *yaml.Node) error
	// format returns the value, nil when an optional one is not set.
	format func(p *Profile) *yaml.Node
}

// figures lists every figure of a profile in the order of printing.
var figures = []figure{
	{"topology", "sockets", "sockets", whole(func(p *Profile) *int { return &p.Sockets }), false},
	{"topology", "cores_per_socket", "cores of a socket", whole(func(p *Profile) *int { return &p.CoresPerSocket }), false},
	{"topology", "cores_per_l3", "cores that share an L3 cache", whole(func(p *Profile) *int { return &p.CoresPerL3 }), false},
	{"topology", "smt", "hardware threads of a core", whole(func(p *Profile) *int { return &p.SMT }), false},
	{"topology", "numbering", "how firmware numbers CPUs", name(func(p *Profile) *sim.Numbering { return &p.Numbering }, sim.ParseNumbering), false},

	{"clock", "turbo", "frequency while so many cores of a socket are busy", turbo, false},
	{"clock", "spare_cores", "busy cores of a partly used socket that are not the workload's", whole(func(p *Profile) *int { return &p.SpareCores }), false},
	{"clock", "smt_permille", "a core's throughput with both threads computing, to that with one", whole(func(p *Profile) *int64 { return &p.SMTPermille }), false},

	{"line", "load_cycles", "load that hits the own L1", whole(func(p *Profile) *int64 { return &p.Line.LoadCycles }), false},
	{"line", "store_cycles", "store to an owned line", whole(func(p *Profile) *int64 { return &p.Line.StoreCycles }), false},
	{"line", "rmw_cycles", "atomic read-modify-write of an owned line", whole(func(p *Profile) *int64 { return &p.Line.RMWCycles }), false},
	{"line", "sibling", "extra for a line that the SMT sibling wrote last", duration(func(p *Profile) *sim.Time { return &p.Line.Sibling }), false},
	{"line", "transfer_cluster", "moving a line from a core under the same L3", transfer(sim.Cluster), false},
	{"line", "transfer_socket", "moving a line from another L3 of the socket", transfer(sim.Socket), false},
	{"line", "transfer_remote", "moving a line from another socket", transfer(sim.Remote), false},
	{"line", "queued_permille", "share of a transfer that a request takes which had to queue", whole(func(p *Profile) *int64 { return &p.Line.QueuedPermille }), false},
	{"line", "waiter", "extra for each further core that waits for the line", duration(func(p *Profile) *sim.Time { return &p.Line.Waiter }), false},
	{"line", "waiter_cap", "waiting cores that matter to a transfer", whole(func(p *Profile) *int64 { return &p.Line.WaiterCap }), false},
	{"line", "local_permille", "how often a freed line stays on its socket out of turn", whole(func(p *Profile) *int64 { return &p.Line.LocalPermille }), false},

	{"lock", "sleep_cycles", "queueing for mmap_lock, switching away and back", whole(func(p *Profile) *int64 { return &p.Lock.SleepCycles }), false},
	{"lock", "wake_cycles", "what the waker spends on each task", whole(func(p *Profile) *int64 { return &p.Lock.WakeCycles }), false},
	{"lock", "wake_latency", "from the wake-up to running, on an idle CPU", duration(func(p *Profile) *sim.Time { return &p.Lock.WakeLatency }), false},
	{"lock", "spin_cycles", "between two looks of a spinning writer", whole(func(p *Profile) *int64 { return &p.Lock.SpinCycles }), false},
	{"lock", "time_slice", "before a CPU goes to the next runnable thread", duration(func(p *Profile) *sim.Time { return &p.Lock.TimeSlice }), false},

	{"hit", "entry_cycles", "int3 to the start of the lookup", whole(func(p *Profile) *int64 { return &p.Hit.EntryCycles }), false},
	{"hit", "lookup_cycles", "private work of the lookup", whole(func(p *Profile) *int64 { return &p.Hit.LookupCycles }), false},
	{"hit", "exit_cycles", "handlers and the return to user mode", whole(func(p *Profile) *int64 { return &p.Hit.ExitCycles }), false},
	{"hit", "jitter_permille", "how far single hits lie around the mean", whole(func(p *Profile) *int64 { return &p.Hit.JitterPermille }), false},
	{"hit", "srcu_cycles", "srcu_read_lock and unlock, for the kernels that had them", whole(func(p *Profile) *int64 { return &p.Hit.SRCUCycles }), false},

	{"hit", "syscall_permille", "entry_cycles and exit_cycles of an optimised probe's hit, by system call, to those by int3", whole(func(p *Profile) *int64 { return &p.Hit.SyscallPermille }), false},

	{"kernel", "layout", "which words of mmap_lock share a cache line", name(func(p *Profile) *sim.Layout { return &p.Layout }, sim.ParseLayout), false},

	{"recorder", "hit_lag", "end of a lookup to the stamp of its hit", nanos(func(p *Profile) *int64 { return &p.Recorder.HitLag }), false},
	{"recorder", "fail_lag", "end of a failed lookup to the stamp of its lock_start", nanos(func(p *Profile) *int64 { return &p.Recorder.FailLag }), false},
	{"recorder", "check_lead", "end of an optimised probe's check of the trampoline to the end of its lookup", nanos(func(p *Profile) *int64 { return &p.Recorder.CheckLead }), false},
	{"recorder", "syscall_hit_lag", "hit_lag of an optimised probe", nanos(func(p *Profile) *int64 { return &p.Recorder.SyscallHitLag }), false},
	{"recorder", "syscall_fail_lag", "fail_lag of both lookups of an optimised probe", nanos(func(p *Profile) *int64 { return &p.Recorder.SyscallFailLag }), false},
	{"recorder", "contended_lead", "acquire_lead of a writer that spun for the lock, where probes are optimised", nanos(func(p *Profile) *int64 { return &p.Recorder.ContendedLead }), false},
	{"recorder", "window", "longest lookup, the spread of the lags included", nanos(func(p *Profile) *int64 { return &p.Recorder.Window }), false},
	{"recorder", "acquire_lead", "sequence turning odd to the stamp of lock_acquired", nanos(func(p *Profile) *int64 { return &p.Recorder.AcquireLead }), false},
	{"recorder", "exit_lag", "sequence turning even to the end of the syscall", nanos(func(p *Profile) *int64 { return &p.Recorder.ExitLag }), false},

	{"recorder", "wake_latency", "end of a section to the lock_acquired of a reader that slept", nanos(func(p *Profile) *int64 { return &p.Recorder.WakeLatency }), false},

	{"sections", "mmap", "write section of mmap", writeSection("mmap"), true},
	{"sections", "munmap", "write section of munmap", writeSection("munmap"), true},
	{"sections", "mprotect", "write section of mprotect", writeSection("mprotect"), true},
	{"sections", "mremap", "write section of mremap", writeSection("mremap"), true},
	{"sections", "brk", "write section of brk", writeSection("brk"), true},
	{"sections", "brk_shrink", "write section of a brk that gives memory back", writeSection("brk_shrink"), true},
	{"sections", "madvise", "write section of madvise", writeSection("madvise"), true},
	{"sections", "fork", "write section of fork on the parent", writeSection("fork"), true},
}

// findFigure returns the figure with the path, nil when there is none.
func findFigure(path string) *figure {
	for i := range figures {
		if figures[i].path() == path {
			return &figures[i]
		}
	}
	return nil
}

// whole is a number without a unit, at least 0.
func whole[N int | int64](at func(*Profile) *N) codec {
	return codec{
		parse: func(p *Profile, n *yaml.Node) error {
			v, err := parseWhole(n)
			*at(p) = N(v)
			return err
		},
		format: func(p *Profile) *yaml.Node { return wholeNode(int64(*at(p))) },
	}
}

func parseWhole(n *yaml.Node) (int64, error) {
	v, err := strconv.ParseInt(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < 0 {
		return 0, fmt.Errorf("%s is not a whole number of at least 0", describe(n))
	}
	return v, nil
}

func wholeNode(v int64) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v, 10)}
}

// duration is a time with its unit.
func duration(at func(*Profile) *sim.Time) codec {
	return codec{
		parse: func(p *Profile, n *yaml.Node) error {
			v, err := parseQuantity(n.Value, timeUnits)
			*at(p) = sim.Time(v)
			return err
		},
		format: func(p *Profile) *yaml.Node { return textNode(formatQuantity(int64(*at(p)), timeUnits)) },
	}
}

// nanos is a time that the profile keeps in whole nanoseconds.
func nanos(at func(*Profile) *int64) codec {
	const ns = int64(sim.Nanosecond)
	return codec{
		parse: func(p *Profile, n *yaml.Node) error {
			v, err := parseQuantity(n.Value, timeUnits)
			if err == nil && v%ns != 0 {
				err = fmt.Errorf("%q is not a whole number of nanoseconds", n.Value)
			}
			*at(p) = v / ns
			return err
		},
		format: func(p *Profile) *yaml.Node { return textNode(formatQuantity(*at(p)*ns, timeUnits)) },
	}
}

func transfer(d sim.Distance) codec {
	return duration(func(p *Profile) *sim.Time { return &p.Line.Transfer[d] })
}

// name is one of a few words.
func name[T fmt.Stringer](at func(*Profile) *T, parse func(string) (T, error)) codec {
	return codec{
		parse: func(p *Profile, n *yaml.Node) error {
			v, err := parse(n.Value)
			*at(p) = v
			return err
		},
		format: func(p *Profile) *yaml.Node { return textNode((*at(p)).String()) },
	}
}

func textNode(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// turbo is a list of steps.
var turbo = codec{
	parse: func(p *Profile, n *yaml.Node) error {
		if n.Kind != yaml.SequenceNode {
			return fmt.Errorf("%s is not a list of steps {cores: N, frequency: F}", describe(n))
		}
		p.Turbo = nil // not the array of the profile that this one is based on
		for _, item := range n.Content {
			step, err := parseStep(item)
			if err != nil {
				return err
			}
			p.Turbo = append(p.Turbo, step)
		}
		return nil
	},
	format: func(p *Profile) *yaml.Node {
		list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, step := range p.Turbo {
			list.Content = append(list.Content, recordNode(
				"cores", wholeNode(int64(step.ActiveCores)), "frequency", textNode(formatQuantity(step.KHz, frequencyUnits))))
		}
		return list
	},
}

func parseStep(n *yaml.Node) (sim.TurboStep, error) {
	fields, err := record(n, "cores", "frequency")
	if err != nil {
		return sim.TurboStep{}, err
	}
	cores, err := parseWhole(fields[0])
	if err != nil {
		return sim.TurboStep{}, err
	}
	khz, err := parseQuantity(fields[1].Value, frequencyUnits)
	return sim.TurboStep{ActiveCores: int(cores), KHz: khz}, err
}

// writeSection is the model of one kind of syscall.
func writeSection(kind string) codec {
	return codec{
		parse: func(p *Profile, n *yaml.Node) error {
			fields, err := record(n, "start", "hold")
			if err != nil {
				return err
			}
			var v [2]int64
			for i, f := range fields {
				if v[i], err = parseQuantity(f.Value, timeUnits); err != nil {
					return err
				}
			}
			const ns = int64(sim.Nanosecond)
			p.Sections[kind] = KindModel{Start: v[0] / ns, Hold: v[1] / ns}
			return nil
		},
		format: func(p *Profile) *yaml.Node {
			k, ok := p.Sections[kind]
			if !ok {
				return nil
			}
			const ns = int64(sim.Nanosecond)
			return recordNode("start", textNode(formatQuantity(k.Start*ns, timeUnits)), "hold", textNode(formatQuantity(k.Hold*ns, timeUnits)))
		},
	}
}
