package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/replay/replay/ingest/bpftrace"
)

// planBPFtrace makes the plan of a recording with bpftrace, which adds its probes
// itself and takes them along when it ends, however that is.
func (p *Plan) planBPFtrace(defs []Definition) error {
	o := p.options
	s := bpftrace.Options{PID: o.PID, Locks: !o.NoLocks, Stacks: o.Stacks, Command: o.PID == 0 && !o.All}
	for i := range o.Probes {
		if e := o.Probes[i].Event; e != "" {
			return fmt.Errorf("%w: bpftrace records no probe of perf's such as %s; give path:function", ErrOptions, e)
		}
	}
	for i := range defs {
		probe, err := defs[i].bpftrace()
		if err != nil {
			return err
		}
		// One probe of bpftrace's stands for all places of a marker.
		if !slices.Contains(s.Probes, probe) {
			s.Probes = append(s.Probes, probe)
		}
	}
	var err error
	if p.program, err = bpftrace.Script(s); err != nil {
		return err
	}
	p.env = []string{"BPFTRACE_PERF_RB_PAGES=" + strconv.FormatUint(pages(o.Buffer), 10)}
	if o.Stacks {
		// It would look for symbols in processes that have ended, and 0.17 dies of
		// that (get_pid_exe in utils.cpp). They are named at ingest.
		p.env = append(p.env, "BPFTRACE_NO_USER_SYMBOLS=1")
	}
	p.args = []string{"bpftrace", "-f", "json"}
	if s.Unsafe() {
		p.args = append(p.args, "--unsafe")
	}
	return nil
}

// bpftrace is the definition as bpftrace takes it: by its name where that is all
// there is to say, for then it needs no --unsafe.
func (d *Definition) bpftrace() (bpftrace.Probe, error) {
	p := bpftrace.Probe{Name: probeGroup + d.Name, Path: d.Path, File: d.File, Return: d.Return}
	var err error
	switch {
	case d.probe.Provider != "":
		p.Name = probeGroup + d.probe.name() // the same for all places
		p.Provider, p.Marker = d.probe.Provider, d.probe.Marker
	case d.probe.Function != "" && !strings.Contains(d.probe.Function, "@"):
		p.Function = d.Site.Symbol
	default:
		p.Address, err = bpftrace.Address(d.File, d.Site.Offset)
	}
	return p, err
}

// probeGroup is the group of the probes in a trace, in every capture the same.
const probeGroup = "replay:"

// pages is a buffer size in pages, a power of two as the kernel wants it.
func pages(buffer string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimRight(buffer, "BKMG"), 10, 31) // validBuffer has seen it
	for i, unit := range "BKMG" {
		if strings.HasSuffix(buffer, string(unit)) {
			size := uint64(os.Getpagesize())
			n = (n<<(10*i) + size - 1) / size
		}
	}
	power := uint64(1)
	for power < n {
		power *= 2
	}
	return power
}

// processes are those whose mappings no event will tell.
func (o *Options) processes() []int {
	switch {
	case o.PID != 0:
		return []int{o.PID}
	case !o.All:
		return nil
	}
	var pids []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}
