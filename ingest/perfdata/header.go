package perfdata

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// Feature bits of the header (enum in tools/perf/util/header.h).
const (
	featTracingData = 1
	featBuildID     = 2
	featHostname    = 3
	featOSRelease   = 4
	featArch        = 6
	featNrCPUs      = 7
	featCmdline     = 11
	featEventDesc   = 12
	featSampleTime  = 21
	featDirFormat   = 24
	featCompressed  = 27
	featClockData   = 29
)

// compressionZstd is PERF_COMP_ZSTD.
const compressionZstd = 1

// Info is what the file says of the recording.
type Info struct {
	Host       string
	OSRelease  string
	Arch       string
	CPUs       int // online
	Cmdline    []string
	ClockID    int32             // of the time stamps, where HasClockID
	HasClockID bool              // else they are of perf's own clock
	BuildIDs   map[string]string // by file name, hex
	KernelID   string            // build id of the kernel, hex
	Unfinished bool              // perf did not get to write the header's end
	// Incomplete says why what stands behind the records is missing, of which the
	// names and formats of events are a part; nil where it is there.
	Incomplete          error
	FirstTime, LastTime uint64 // ns, of the samples; 0 where the file does not say
	SkippedFeatures     int    // of no use here, or unknown
	// Parts says that perf record --threads wrote most records into files beside this
	// one, which Reader.Part reads.
	Parts bool
	// Text is what else was written into a pipe's file, in bytes, and TextBegin how it
	// begins: messages of perf (2>&1), or what the recorded program printed.
	Text      int64
	TextBegin string
}

const (
	headerSize  = 104
	featureBits = 256
	// sectionSizeMax bounds what is held in memory of one section.
	sectionSizeMax = 256 << 20
	// eventsMax and idsMax bound the events, and their ids: one per CPU and event.
	eventsMax = 1 << 16
	idsMax    = 1 << 22
)

// section is a part of the file.
type section struct{ offset, size uint64 }

// header is the file header (struct perf_file_header).
type header struct {
	attrSize    uint64
	attrs, data section
	features    [featureBits / 64]uint64
}

// readAt reads part of the file.
func (r *Reader) readAt(s section, what string) ([]byte, error) {
	if s.size > sectionSizeMax {
		return nil, r.fail(int64(min(s.offset, 1<<62)), what, ErrLimit, "it claims %d bytes, more than the %d (sectionSizeMax) that are read of one; the file is damaged", s.size, sectionSizeMax)
	}
	if s.offset > uint64(r.size) || s.size > uint64(r.size)-s.offset {
		return nil, r.fail(int64(min(s.offset, 1<<62)), what, ErrTruncated, "want %d bytes from here, but the file has %d in all; was the copy cut short? Copy it again, or record with more disk space", s.size, r.size)
	}
	b := make([]byte, s.size)
	if n, err := r.at.ReadAt(b, int64(s.offset)); n < len(b) {
		return nil, r.readError(int64(s.offset), what, err)
	}
	return b, nil
}

// readHeader reads all but the records, and returns where those are.
func (r *Reader) readHeader() (records section, err error) {
	b, err := r.readAt(section{0, uint64(min(r.size, headerSize))}, "header")
	if err != nil {
		return section{}, err
	}
	if err := r.checkMagic(b); err != nil {
		return section{}, err
	}
	if len(b) < headerSize {
		return section{}, r.fail(0, "header", ErrTruncated, "a perf.data header has %d bytes, there are %d", headerSize, len(b))
	}
	h := parseHeader(b)
	if h.data.offset < headerSize || h.data.offset > 1<<62 || h.data.size > 1<<62 {
		return section{}, r.fail(40, "header", ErrCorrupt, "%d bytes of records at %d make no sense; the file is damaged", h.data.size, h.data.offset)
	}
	if err := r.readAttrs(&h); err != nil {
		return section{}, err
	}
	if h.data.offset > uint64(r.size) {
		return section{}, r.fail(40, "header", ErrTruncated, "the records begin at %d, beyond the end of the file at %d", h.data.offset, r.size)
	}
	if err := r.readEnd(&h); err != nil {
		return section{}, err
	}
	return h.data, nil
}

func parseHeader(b []byte) (h header) {
	c := cursor{b: b[16:]} // after magic and size
	h.attrSize = c.u64()
	h.attrs = section{c.u64(), c.u64()}
	h.data = section{c.u64(), c.u64()}
	c.take(16) // event types, not used since 2013
	for i := range h.features {
		h.features[i] = c.u64()
	}
	return h
}

// readEnd reads the features behind the records. A file without them still has its
// records: perf writes the size of the data and the features last
// (perf_session__write_header), and reads to the end of a file whose size of the
// data is 0 (perf_session__read_header).
func (r *Reader) readEnd(h *header) error {
	if h.data.size == 0 {
		h.data.size = uint64(r.size) - h.data.offset
		r.info.Unfinished = true
		r.info.Incomplete = r.fail(48, "header", ErrTruncated, "perf record did not get to finish the file (its size of the data is 0), so that names and formats of the events are missing; stop perf record with Ctrl-C or SIGTERM and let it end")
		return nil
	}
	err := r.readFeatures(h)
	if errors.Is(err, ErrTruncated) {
		r.info.Incomplete = err
		return nil
	}
	return err
}

func (r *Reader) checkMagic(b []byte) error {
	switch magic := string(b[:min(8, len(b))]); {
	case len(magic) < 8 && strings.HasPrefix("PERFILE2", magic):
		return r.fail(0, "header", ErrTruncated, "a perf.data header has %d bytes, there are %d", headerSize, len(b))
	case magic == "PERFILE2":
		return nil
	case magic == "2ELIFREP":
		return r.fail(0, "header", ErrUnsupported, "it was recorded on a big-endian machine; convert it there with perf script --ns and ingest the text")
	case strings.HasPrefix(magic, "PERFFILE"):
		return r.fail(0, "header", ErrUnsupported, "it is of a perf older than 2010; record again")
	}
	return r.fail(0, "header", ErrNotPerf, "it begins with %q, not PERFILE2; want a file of perf record", b[:min(8, len(b))])
}

func (r *Reader) readAttrs(h *header) error {
	if h.attrSize < attrSizeMin+16 || h.attrSize > attrSizeMax {
		return r.fail(16, "header", ErrCorrupt, "an attribute has %d bytes, want %d to %d; the file is damaged", h.attrSize, attrSizeMin+16, attrSizeMax)
	}
	b, err := r.readAt(h.attrs, "attribute section")
	if err != nil {
		return err
	}
	for at := uint64(0); at+h.attrSize <= uint64(len(b)); at += h.attrSize {
		entry := b[at : at+h.attrSize]
		c := cursor{b: entry[h.attrSize-16:]}
		place := section{c.u64(), c.u64()}
		if place.size > 8*idsMax {
			return r.tooMany(int64(h.attrs.offset+at), "ids", idsMax, "idsMax")
		}
		ids, err := r.readAt(place, "attribute's ids")
		if err != nil {
			return err
		}
		if err := r.addEvent(parseAttr(entry[:h.attrSize-16]), ids, int64(h.attrs.offset+at)); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) tooMany(offset int64, what string, limit int, name string) error {
	return r.fail(offset, "attribute", ErrLimit, "there are more than %d %s (%s); record fewer events, or on fewer CPUs", limit, what, name)
}

// addEvent adds an event with its ids.
func (r *Reader) addEvent(a Attr, ids []byte, offset int64) error {
	if len(r.events) == eventsMax {
		return r.tooMany(offset, "events", eventsMax, "eventsMax")
	}
	if r.byID.Len()+len(ids)/8 > idsMax {
		return r.tooMany(offset, "ids", idsMax, "idsMax")
	}
	ev := &Event{Index: len(r.events), Attr: a, layout: layoutOf(a.SampleType), userIP: -1}
	for ; len(ids) >= 8; ids = ids[8:] {
		id := binary.LittleEndian.Uint64(ids)
		ev.IDs = append(ev.IDs, id)
		r.byID.Set(id, ev)
	}
	r.events = append(r.events, ev)
	r.plan = nil
	if a.UsesClockID() {
		r.info.ClockID, r.info.HasClockID = a.ClockID, true
	}
	return nil
}

// readFeatures reads the feature sections that matter; others are counted.
func (r *Reader) readFeatures(h *header) error {
	table := section{h.data.offset + h.data.size, 0}
	for _, word := range h.features {
		table.size += 16 * uint64(bits.OnesCount64(word))
	}
	b, err := r.readAt(table, "feature table")
	if err != nil {
		return err
	}
	c := cursor{b: b}
	for bit := range featureBits {
		if h.features[bit/64]&(1<<(bit%64)) == 0 {
			continue
		}
		s := section{c.u64(), c.u64()}
		if !known(bit) {
			r.info.SkippedFeatures++
			continue
		}
		b, err := r.readAt(s, fmt.Sprintf("feature %d", bit))
		if err != nil {
			return err
		}
		if err := r.feature(bit, b, int64(s.offset)); err != nil {
			return err
		}
	}
	return nil
}

// known reports whether feature does something with a feature.
func known(bit int) bool {
	switch bit {
	case featTracingData, featBuildID, featHostname, featOSRelease, featArch, featNrCPUs, featCmdline, featEventDesc, featSampleTime,
		featDirFormat, featCompressed, featClockData:
		return true
	}
	return false
}

// feature takes one feature section in.
func (r *Reader) feature(bit int, b []byte, offset int64) error {
	c := cursor{b: b}
	switch bit {
	case featTracingData:
		return r.tracingData(b, offset)
	case featBuildID:
		r.buildIDs(b)
	case featHostname:
		r.info.Host = c.counted()
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
	case featSampleTime:
		r.info.FirstTime, r.info.LastTime = c.u64(), c.u64()
	case featCompressed:
		c.u32() // version
		if kind := c.u32(); kind != compressionZstd && !c.short {
			return r.fail(offset, "compression", ErrUnsupported, "records are compressed in way %d, and only zstd (%d) is known; record without -z", kind, compressionZstd)
		}
	case featDirFormat:
		r.info.Parts = true
	case featClockData:
		c.u32() // version
		r.info.ClockID, r.info.HasClockID = int32(c.u32()), true
	}
	return nil
}

// eventDesc takes names from the event descriptions (write_event_desc).
func (r *Reader) eventDesc(c *cursor) {
	n, size := c.u32(), c.u32()
	for i := range min(int(n), eventsMax) {
		c.take(uint64(size))
		ids := c.u32()
		name := c.counted()
		if ids == 0 && i < len(r.events) && !c.short {
			r.events[i].Name = name // process_event_desc goes by the index
		}
		for range min(ids, 1<<20) {
			id := c.u64()
			if c.short {
				return
			}
			if ev := r.byID.Get(id); ev != nil {
				ev.Name = name
			}
		}
	}
}

// joinFormats gives tracepoints their formats, and names where they have none. In
// a pipe, attributes and formats come in any order, so this is done at the first
// record that is returned.
func (r *Reader) joinFormats() {
	for _, ev := range r.events {
		ev.userIP = userIPAt(r.info.Arch, &ev.Attr)
		if ev.Attr.Type == TypeTracepoint {
			ev.Format = r.formats[ev.Attr.Config]
		}
		if ev.Name == "" && ev.Format != nil {
			ev.Name = ev.Format.System + ":" + ev.Format.Name
		}
	}
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
