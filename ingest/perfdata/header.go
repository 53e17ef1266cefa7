package perfdata

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// Feature bits of the header (enum in tools/perf/util/header.h).
const (
	featTracingData = 1
	featBuildID     = 2
	featOSRelease   = 4
	featArch        = 6
	featNrCPUs      = 7
	featCmdline     = 11
	featEventDesc   = 12
	featDirFormat   = 24
	featClockData   = 29
	featLast        = 32 // known ones are below
)

// Info is what the file says of the recording.
type Info struct {
	OSRelease       string
	Arch            string
	CPUs            int // online
	Cmdline         []string
	ClockID         int32             // of the time stamps, where HasClockID
	HasClockID      bool              // else they are of perf's own clock
	BuildIDs        map[string]string // by file name, hex
	KernelID        string            // build id of the kernel, hex
	Unfinished      bool              // perf did not get to write the header's end
	SkippedFeatures int
}

const headerSize = 104

// featureSizeMax bounds one feature section in memory.
const featureSizeMax = 256 << 20

// section is a part of the file.
type section struct{ offset, size uint64 }

// header is the file header (struct perf_file_header).
type header struct {
	size, attrSize uint64
	attrs, data    section
	features       [4]uint64
}

func (r *Reader) fail(offset int64, what string, err error, want string, args ...any) error {
	return &Error{File: r.name, Offset: offset, What: what, Err: err, Want: fmt.Sprintf(want, args...)}
}

// readAt reads part of the file, at most limit bytes of it.
func (r *Reader) readAt(s section, what string, limit uint64) ([]byte, error) {
	if s.size > limit {
		return nil, r.fail(int64(s.offset), what, ErrLimit, "it claims %d bytes, more than the %d that are read of one; the file is damaged", s.size, limit)
	}
	if s.offset > uint64(r.size) || s.size > uint64(r.size)-s.offset {
		return nil, r.fail(int64(s.offset), what, ErrTruncated, "it should have %d bytes from here, but the file has %d in all; copy it again, or record with more disk space", s.size, r.size)
	}
	b := make([]byte, s.size)
	if _, err := r.at.ReadAt(b, int64(s.offset)); err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: read %s: %w", r.name, what, err)
	}
	return b, nil
}

// readHeader reads all but the records.
func (r *Reader) readHeader() error {
	if r.size < 16 {
		return r.fail(0, "header", ErrTruncated, "a perf.data file has at least %d bytes, this has %d", headerSize, r.size)
	}
	b, err := r.readAt(section{0, uint64(min(r.size, headerSize))}, "header", headerSize)
	if err != nil {
		return err
	}
	if err := r.checkMagic(b); err != nil {
		return err
	}
	if len(b) < headerSize {
		return r.fail(0, "header", ErrTruncated, "a perf.data header has %d bytes, this file %d", headerSize, len(b))
	}
	c := cursor{b: b[8:]}
	h := header{size: c.u64(), attrSize: c.u64()}
	h.attrs = section{c.u64(), c.u64()}
	h.data = section{c.u64(), c.u64()}
	c.take(16) // event types, not used since 2013
	for i := range h.features {
		h.features[i] = c.u64()
	}
	if err := r.readAttrs(&h); err != nil {
		return err
	}
	r.info.Unfinished = h.data.size == 0
	if r.info.Unfinished {
		// perf_session__read_header warns, and reads to the end of the file.
		h.data.size = uint64(r.size) - min(h.data.offset, uint64(r.size))
	} else if err := r.readFeatures(&h); err != nil {
		return err
	}
	if h.data.offset > uint64(r.size) {
		return r.fail(0, "header", ErrTruncated, "the records begin at %d, beyond the end of the file", h.data.offset)
	}
	r.start, r.end = int64(h.data.offset), int64(h.data.offset+h.data.size)
	if h.data.size > 1<<62 {
		return r.fail(0, "header", ErrCorrupt, "the records claim %d bytes", h.data.size)
	}
	return r.nameEvents()
}

func (r *Reader) checkMagic(b []byte) error {
	switch magic := string(b[:8]); {
	case magic == "PERFILE2":
		return nil
	case magic == "2ELIFREP":
		return r.fail(0, "header", ErrUnsupported, "it was recorded on a big-endian machine; convert it there with perf script --ns and ingest the text")
	case strings.HasPrefix(magic, "PERFFILE"):
		return r.fail(0, "header", ErrUnsupported, "it is of a perf older than 2010; record again")
	}
	return r.fail(0, "header", ErrNotPerf, "it begins with %q, not PERFILE2", b[:8])
}

func (r *Reader) readAttrs(h *header) error {
	if h.attrSize < attrSizeMin+16 || h.attrSize > attrSizeMax {
		return r.fail(16, "header", ErrCorrupt, "an attribute has %d bytes, want %d to %d", h.attrSize, attrSizeMin+16, attrSizeMax)
	}
	b, err := r.readAt(h.attrs, "attribute section", featureSizeMax)
	if err != nil {
		return err
	}
	for at := uint64(0); at+h.attrSize <= uint64(len(b)); at += h.attrSize {
		c := cursor{b: b[at+h.attrSize-16 : at+h.attrSize]}
		ids, err := r.readAt(section{c.u64(), c.u64()}, "attribute's ids", featureSizeMax)
		if err != nil {
			return err
		}
		ev := r.addEvent(parseAttr(b[at : at+h.attrSize-16]))
		for ; len(ids) >= 8; ids = ids[8:] {
			r.addID(ev, binary.LittleEndian.Uint64(ids))
		}
	}
	return nil
}

func (r *Reader) addEvent(a Attr) *Event {
	ev := &Event{Index: len(r.events), Attr: a}
	r.events = append(r.events, ev)
	r.plan = nil
	return ev
}

func (r *Reader) addID(ev *Event, id uint64) {
	ev.IDs = append(ev.IDs, id)
	r.byID[id] = ev
}

// readFeatures reads the feature sections that matter; others are counted.
func (r *Reader) readFeatures(h *header) error {
	table := section{h.data.offset + h.data.size, 0}
	for _, word := range h.features {
		for ; word != 0; word &= word - 1 {
			table.size += 16
		}
	}
	b, err := r.readAt(table, "feature table", 256*16)
	if err != nil {
		return err
	}
	c := cursor{b: b}
	for bit := range 256 {
		if h.features[bit/64]&(1<<(bit%64)) == 0 {
			continue
		}
		s := section{c.u64(), c.u64()}
		if !r.wants(bit) {
			if bit >= featLast {
				r.info.SkippedFeatures++
			}
			continue
		}
		b, err := r.readAt(s, fmt.Sprintf("feature %d", bit), featureSizeMax)
		if err != nil {
			return err
		}
		if err := r.feature(bit, b, int64(s.offset)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) wants(bit int) bool {
	switch bit {
	case featTracingData, featBuildID, featOSRelease, featArch, featNrCPUs, featCmdline, featEventDesc, featDirFormat, featClockData:
		return true
	}
	return false
}

// feature takes one feature section in.
func (r *Reader) feature(bit int, b []byte, offset int64) error {
	c := cursor{b: b}
	switch bit {
	case featTracingData:
		formats, err := parseTracingData(b)
		if err != nil {
			return r.fail(offset, "tracing data", err, "want the formats of the recorded tracepoints")
		}
		r.addFormats(formats)
	case featBuildID:
		r.buildIDs(b)
	case featOSRelease:
		r.info.OSRelease = c.counted()
	case featArch:
		r.info.Arch = c.counted()
	case featNrCPUs:
		c.u32() // available
		r.info.CPUs = int(min(c.u32(), 1<<20))
	case featCmdline:
		for range min(c.u32(), 1<<16) {
			if arg := c.counted(); !c.short {
				r.info.Cmdline = append(r.info.Cmdline, arg)
			}
		}
	case featEventDesc:
		r.eventDesc(&c)
	case featDirFormat:
		return r.fail(offset, "directory format", ErrUnsupported, "it is one file of a folder written by perf record --threads; record without --threads")
	case featClockData:
		c.u32() // version
		r.info.ClockID, r.info.HasClockID = int32(c.u32()), true
	}
	return nil
}

// eventDesc takes names from the event descriptions (write_event_desc).
func (r *Reader) eventDesc(c *cursor) {
	n, size := c.u32(), c.u32()
	for range min(n, 1<<16) {
		c.take(uint64(size))
		ids := c.u32()
		name := c.counted()
		for range min(ids, 1<<20) {
			id := c.u64()
			if c.short {
				return
			}
			if ev := r.byID[id]; ev != nil {
				ev.Name = name
			}
		}
	}
}

func (r *Reader) addFormats(formats []*Format) {
	for _, f := range formats {
		r.formats[f.ID] = f
	}
}

// nameEvents joins tracepoints with their formats.
func (r *Reader) nameEvents() error {
	for _, ev := range r.events {
		if ev.Attr.Type == TypeTracepoint {
			ev.Format = r.formats[ev.Attr.Config]
		}
		if ev.Name == "" && ev.Format != nil {
			ev.Name = ev.Format.System + ":" + ev.Format.Name
		}
		if ev.Attr.UsesClockID() {
			r.info.ClockID, r.info.HasClockID = ev.Attr.ClockID, true
		}
	}
	return nil
}

// miscBuildIDSize says that a build id's length stands in its 21st byte.
const miscBuildIDSize = 1 << 15

// buildIDs reads the build-id table (write_buildid).
func (r *Reader) buildIDs(b []byte) {
	for len(b) >= 36 {
		misc, size := binary.LittleEndian.Uint16(b[4:]), int(binary.LittleEndian.Uint16(b[6:]))
		if size < 36 || size > len(b) {
			return
		}
		n := 20
		if misc&miscBuildIDSize != 0 {
			n = min(int(b[32]), 20)
		}
		name := string(untilNUL(b[36:size]))
		id := hex.EncodeToString(b[12 : 12+n])
		r.info.BuildIDs[name] = id
		if strings.HasPrefix(name, "[kernel.kallsyms]") {
			r.info.KernelID = id
		}
		b = b[size:]
	}
}
