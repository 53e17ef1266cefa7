package perfdata

import "encoding/binary"

// Bits of perf_event_attr.sample_type.
const (
	sampleIP         = 1 << 0
	sampleTID        = 1 << 1
	sampleTime       = 1 << 2
	sampleAddr       = 1 << 3
	sampleRead       = 1 << 4
	sampleCallchain  = 1 << 5
	sampleID         = 1 << 6
	sampleCPU        = 1 << 7
	samplePeriod     = 1 << 8
	sampleStreamID   = 1 << 9
	sampleRaw        = 1 << 10
	sampleBranches   = 1 << 11
	sampleRegsUser   = 1 << 12
	sampleStackUser  = 1 << 13
	sampleIdentifier = 1 << 16
)

// Bits of perf_event_attr.read_format.
const (
	readEnabled = 1 << 0
	readRunning = 1 << 1
	readID      = 1 << 2
	readGroup   = 1 << 3
	readLost    = 1 << 4
)

// Bits of the flags of perf_event_attr.
const (
	flagExcludeKernel = 1 << 5
	flagMmap          = 1 << 8
	flagComm          = 1 << 9
	flagFreq          = 1 << 10
	flagTask          = 1 << 13
	flagSampleIDAll   = 1 << 18
	flagUseClockID    = 1 << 25
	flagWriteBackward = 1 << 27
)

// Bits of perf_event_attr.branch_sample_type that add to a branch stack.
const (
	branchIndex    = 1 << 17
	branchCounters = 1 << 19
)

// attrSizeMin is PERF_ATTR_SIZE_VER0, the size of the first published attribute;
// attrSizeMax bounds what a file may claim.
const (
	attrSizeMin = 64
	attrSizeMax = 4096
)

// TypeTracepoint is PERF_TYPE_TRACEPOINT, the type of events with a format.
const TypeTracepoint = 2

// Attr is what is needed of a perf_event_attr. Its size in the file may be smaller
// or larger than what is known here.
type Attr struct {
	Type       uint32
	Config     uint64 // for a tracepoint: its id
	Period     uint64 // or the frequency
	SampleType uint64
	ReadFormat uint64
	Flags      uint64
	Branches   uint64 // branch_sample_type
	RegsUser   uint64 // the registers that are sampled
	ClockID    int32
}

// UsesClockID reports whether the time stamps are of ClockID.
func (a *Attr) UsesClockID() bool { return a.Flags&flagUseClockID != 0 }

// Callchains reports whether the samples have callchains.
func (a *Attr) Callchains() bool { return a.SampleType&sampleCallchain != 0 }

// SampledByTime reports whether perf record -F chose a frequency: the kernel varies
// the period to keep it.
func (a *Attr) SampledByTime() bool { return a.Flags&flagFreq != 0 }

// RecordsEach reports whether each occurrence of a tracepoint makes a sample. With a
// period of more than one, the kernel counts occurrences up to it only where it need not
// put the period into the sample (perf_swevent_event): perf record -c 100 records all.
func (a *Attr) RecordsEach() bool {
	return !a.SampledByTime() && (a.Period == 1 || a.Period > 0 && a.SampleType&samplePeriod != 0)
}

// UserOnly reports whether what happens in the kernel makes no sample (perf record
// --all-user, event:u). Uprobes and syscalls still do: their registers are the user's
// (perf_tp_event_match, perf_syscall_enter).
func (a *Attr) UserOnly() bool { return a.Flags&flagExcludeKernel != 0 }

// KeepsLast reports whether a full buffer loses what came first, without a word of it
// (perf record --overwrite).
func (a *Attr) KeepsLast() bool { return a.Flags&flagWriteBackward != 0 }

// RecordsMappings, RecordsNames and RecordsTasks report whether the kernel tells of
// new mappings with code, of names of threads and exec, of forks and exits
// (perf_event_mmap, perf_event_comm, perf_event_task).
func (a *Attr) RecordsMappings() bool { return a.Flags&flagMmap != 0 }
func (a *Attr) RecordsNames() bool    { return a.Flags&flagComm != 0 }
func (a *Attr) RecordsTasks() bool    { return a.Flags&(flagTask|flagMmap|flagComm) != 0 }

// CopiesStacks reports whether samples have a copy of the user's stack, to be unwound
// afterwards (perf record --call-graph dwarf), and no callchain of it.
func (a *Attr) CopiesStacks() bool { return a.SampleType&sampleStackUser != 0 }

// parseAttr decodes an attribute of at least attrSizeMin bytes.
func parseAttr(b []byte) Attr {
	le := binary.LittleEndian
	a := Attr{
		Type: le.Uint32(b), Config: le.Uint64(b[8:]), Period: le.Uint64(b[16:]), SampleType: le.Uint64(b[24:]),
		ReadFormat: le.Uint64(b[32:]), Flags: le.Uint64(b[40:]),
	}
	if len(b) >= 80 {
		a.Branches = le.Uint64(b[72:])
	}
	if len(b) >= 88 {
		a.RegsUser = le.Uint64(b[80:])
	}
	if len(b) >= 96 {
		a.ClockID = int32(le.Uint32(b[92:]))
	}
	return a
}

// Event is one of the recorded events.
type Event struct {
	Index  int
	Name   string // such as "probe_libc:malloc"
	Attr   Attr
	Format *Format // of a tracepoint, nil where the file has none
	IDs    []uint64
	layout layout
	userIP int // of the registers in a sample, which one is the user's IP; -1: none
}

// layout is where a sample has its fields of fixed size; -1: not at all.
type layout struct {
	ip, tid, time, addr, cpu, period int
	size                             int // of all of them
}

// layoutOf follows the order of perf_event_type's comment on PERF_RECORD_SAMPLE.
func layoutOf(sampleType uint64) (l layout) {
	var ignored int
	for _, field := range []struct {
		bit uint64
		at  *int
	}{
		{sampleIdentifier, &ignored}, {sampleIP, &l.ip}, {sampleTID, &l.tid}, {sampleTime, &l.time}, {sampleAddr, &l.addr},
		{sampleID, &ignored}, {sampleStreamID, &ignored}, {sampleCPU, &l.cpu}, {samplePeriod, &l.period},
	} {
		*field.at = -1
		if sampleType&field.bit != 0 {
			*field.at = l.size
			l.size += 8
		}
	}
	return l
}

// idAt is where a sample of the type has its id, in bytes from its start; -1: none
// (__perf_evsel__calc_id_pos).
func idAt(sampleType uint64) int {
	if sampleType&sampleIdentifier != 0 {
		return 0
	}
	if sampleType&sampleID == 0 {
		return -1
	}
	at := 0
	for _, bit := range []uint64{sampleIP, sampleTID, sampleTime, sampleAddr} {
		if sampleType&bit != 0 {
			at += 8
		}
	}
	return at
}

// trailerID is where the trailer of another record has its id, in bytes from the
// end; -1: none (__perf_evsel__calc_is_pos).
func trailerID(sampleType uint64) int {
	if sampleType&sampleIdentifier != 0 {
		return 8
	}
	if sampleType&sampleID == 0 {
		return -1
	}
	at := 8
	for _, bit := range []uint64{sampleCPU, sampleStreamID} {
		if sampleType&bit != 0 {
			at += 8
		}
	}
	return at
}

// trailerSize is the length of the trailer (sample_id) of other records.
func trailerSize(sampleType uint64) int {
	n := 0
	for _, bit := range []uint64{sampleTID, sampleTime, sampleID, sampleStreamID, sampleCPU, sampleIdentifier} {
		if sampleType&bit != 0 {
			n += 8
		}
	}
	return n
}
