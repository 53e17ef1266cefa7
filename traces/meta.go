package traces

// Schema is the version of the store's schema that this package writes.
const Schema = 1

// Meta is what a trace says of itself; it is stored as the Parquet file's
// key-value metadata under replay.* keys.
type Meta struct {
	Schema   int      // replay.schema
	Clock    string   // replay.clock: "monotonic", "perf" (sched_clock), "unknown"
	CPUs     int      // replay.cpus: online CPUs of the recording machine, 0 where unknown
	Kernel   string   // replay.kernel: release, such as 6.18.44
	Arch     string   // replay.arch: such as x86_64
	Sources  []Source // replay.sources, JSON
	Lost     int64    // replay.lost: events that the recorder dropped
	Warnings []string // replay.warnings, JSON: what a reader of any report must know

	// Recorded is the kinds of rows that the recorder was set to record (replay.recorded,
	// JSON), whether there were any or not; nil where the source does not tell.
	Recorded []string
	// Unknown is what the source cannot tell though its rows look as if it did
	// (replay.unknown, JSON), such as hits that were sampled. What can be seen from rows
	// and Recorded is not in it.
	Unknown []Unknown
}

// Unknown is something that a trace cannot tell: what rests on it is null in JSON and
// "unknown" in text, never 0 or 100 %.
type Unknown struct {
	What   string `json:"what"`   // one of the Unknown constants
	Why    string `json:"why"`    // what was not recorded, or cannot be seen in what was
	Remedy string `json:"remedy"` // how to record or print it
}

// What of an Unknown.
const (
	UnknownWriters   = "writers"   // who changed address spaces, and when
	UnknownOutcomes  = "outcomes"  // which lookups fell back on the recorded kernel
	UnknownProcesses = "processes" // which threads share an address space
	UnknownLosses    = "losses"    // how many events the recorder dropped
	UnknownHits      = "hits"      // how many hits there were, and when
)

// Source is one input that a trace was made from; Event.Src indexes Meta.Sources.
type Source struct {
	Path   string `json:"path"`   // as the user gave it, "-" for standard input
	Format string `json:"format"` // perf-data, perf-script, bpftrace, bpftrace-json, text, parquet
	SHA256 string `json:"sha256,omitempty"`
}

// Stream is a source of events in total order.
//
// Next fills ev, overwriting all of it, and returns io.EOF after the last event.
// Meta is complete once Next has returned io.EOF; before that, counts and
// warnings may still grow.
type Stream interface {
	Next(ev *Event) error
	Meta() Meta
}
