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
}

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
