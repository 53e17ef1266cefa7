package perfdata

import "io"

// Part returns a reader of one of the files data.0, data.1 and so on, which perf record
// --threads writes beside this one. They are records alone: events, formats and names
// are those of this reader (perf_session__process_dir_events in tools/perf/util/session.c).
func (r *Reader) Part(at io.ReaderAt, size int64, name string) *Reader {
	p := *r
	p.name, p.at, p.size, p.end = name, at, size, size
	p.in = newFileSource(at, 0, size)
	p.info.Incomplete = nil
	p.body, p.chain, p.inflater, p.err = nil, nil, nil, nil
	p.skipped = map[Type]int64{}
	return &p
}
