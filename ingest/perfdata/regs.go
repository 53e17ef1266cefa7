package perfdata

import "math/bits"

// userIPRegisters is the bit of the instruction pointer in sample_regs_user, by
// machine (PERF_REG_X86_IP and others, arch/*/include/uapi/asm/perf_regs.h).
var userIPRegisters = map[string]int{
	"x86_64": 8, "i686": 8, "i586": 8, "i386": 8, "aarch64": 32, "riscv64": 0, "ppc64le": 32, "ppc64": 32, "loongarch64": 0,
}

// x86Registers is more bits than x86 has, and fewer than the instruction pointer of
// others is at.
const x86Registers = 24

// userIPAt is which of the registers of a sample is the user's instruction pointer; -1:
// none. A pipe may not tell its machine: then the registers do.
func userIPAt(arch string, a *Attr) int {
	if a.SampleType&sampleRegsUser == 0 {
		return -1
	}
	bit, ok := userIPRegisters[arch]
	switch {
	case ok:
	case arch == "" && a.RegsUser>>x86Registers == 0:
		bit = userIPRegisters["x86_64"]
	default:
		return -1
	}
	if a.RegsUser>>bit&1 == 0 {
		return -1
	}
	return bits.OnesCount64(a.RegsUser & (1<<bit - 1))
}

// takeUserIP takes the user's instruction pointer from the registers of a sample,
// which stand behind a branch stack. Samples of kernel threads have no registers.
func (c *cursor) takeUserIP(ev *Event) uint64 {
	if ev.Attr.SampleType&sampleBranches != 0 {
		c.skipBranches(ev.Attr.Branches)
	}
	if abi := c.u64(); abi == 0 {
		return 0
	}
	c.take(8 * uint64(ev.userIP))
	return c.u64()
}

// branchSize is the size of a perf_branch_entry.
const branchSize = 24

func (c *cursor) skipBranches(kind uint64) {
	n := c.u64()
	if n > uint64(len(c.b)) {
		c.short = true
		return
	}
	if kind&branchIndex != 0 {
		c.u64()
	}
	c.take(n * branchSize)
	if kind&branchCounters != 0 {
		c.take(n * 8)
	}
}
