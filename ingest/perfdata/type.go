package perfdata

import "strconv"

// Type is the type of a record (enum perf_event_type and perf_user_event_type).
type Type uint32

// The record types that are decoded.
const (
	Mmap          Type = 1
	Lost          Type = 2
	Comm          Type = 3
	Exit          Type = 4
	Fork          Type = 7
	Sample        Type = 9
	Mmap2         Type = 10
	LostSamples   Type = 13
	FinishedRound Type = 68

	CallchainDeferred Type = 22

	userTypes     Type = 64 // from here they are perf's own, not the kernel's
	headerAttr    Type = 64
	tracingData   Type = 66
	buildIDRecord Type = 67
	auxTrace      Type = 71
	eventUpdate   Type = 78
	headerFeature Type = 80
	compressed    Type = 81
	compressed2   Type = 83
)

// typeMax is more than any record's type: the kernel's are below userTypes, and perf's
// own come to 83 so far.
const typeMax = 1 << 12

// Bits of a record's misc field.
const (
	miscCPUModeMask = 7
	miscGuestKernel = 4
	miscGuestUser   = 5
	miscMmapData    = 1 << 13
	miscCommExec    = 1 << 13
	miscMmapBuildID = 1 << 14

	miscLostByFilter = 1 << 15
)

// decoded reports whether Next returns records of the type.
func (t Type) decoded() bool {
	switch t {
	case Sample, Mmap, Mmap2, Comm, Fork, Exit, Lost, LostSamples, FinishedRound, CallchainDeferred:
		return true
	}
	return false
}

var typeNames = map[Type]string{
	Mmap: "MMAP", Lost: "LOST", Comm: "COMM", Exit: "EXIT", Fork: "FORK", Sample: "SAMPLE", Mmap2: "MMAP2",
	LostSamples: "LOST_SAMPLES", FinishedRound: "FINISHED_ROUND", headerAttr: "HEADER_ATTR", tracingData: "HEADER_TRACING_DATA",
	compressed: "COMPRESSED", compressed2: "COMPRESSED2", 5: "THROTTLE", 6: "UNTHROTTLE", 8: "READ", 11: "AUX", 12: "ITRACE_START",
	14: "SWITCH", 15: "SWITCH_CPU_WIDE", 16: "NAMESPACES", 17: "KSYMBOL", 18: "BPF_EVENT", 19: "CGROUP", 20: "TEXT_POKE",
	21: "AUX_OUTPUT_HW_ID", CallchainDeferred: "CALLCHAIN_DEFERRED", 65: "HEADER_EVENT_TYPE", buildIDRecord: "HEADER_BUILD_ID", 69: "ID_INDEX",
	70: "AUXTRACE_INFO", auxTrace: "AUXTRACE", 72: "AUXTRACE_ERROR", 73: "THREAD_MAP", 74: "CPU_MAP", 75: "STAT_CONFIG", 76: "STAT",
	77: "STAT_ROUND", eventUpdate: "EVENT_UPDATE", 79: "TIME_CONV", headerFeature: "HEADER_FEATURE", 82: "FINISHED_INIT",
}

// String is the name in perf's source.
func (t Type) String() string {
	if s, ok := typeNames[t]; ok {
		return "PERF_RECORD_" + s
	}
	return "record of type " + strconv.FormatUint(uint64(t), 10)
}
