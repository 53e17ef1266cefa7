package traces

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const (
	pageBytes          = 64 << 10 // of values, before compression, that end a page
	stacksKnown        = 1 << 10  // whose frames' places in the dictionary are at hand
	dictionaryBytesMax = 8 << 20  // a column chunk with a larger dictionary goes on without one
)

// columnEncoder makes the column chunk of one row group: the page under
// construction, the pages behind it, and the dictionary that they share.
type columnEncoder struct {
	column *column

	// The page under construction.
	values   batchValues // i32 has the indexes into the dictionary where there is one, while they differ
	names    int         // in the page, by their index
	id       int32       // that all have, while i32 is empty
	levels   levels      // of rows; of stacks, while none has one
	defs     []byte      // definition levels of stacks, once there is one
	reps     []byte      // repetition levels of stacks, once there is one
	firstRow int64       // of the page, in the row group

	dict   dictionary
	stacks []stackIDs // lately added, by where they are in memory
	plain  []byte     // strings beyond a full dictionary, as they are stored

	// The column chunk so far.
	pages     []byte
	unpacked  int64 // size of pages, uncompressed
	list      []encodedPage
	dictPage  []byte
	dictPlain int64
	bounds    bounds // of all pages
	nulls     int64
	count     int64 // levels
	row       int64
}

// pageBuffers is what the pages of all columns are made in.
type pageBuffers struct {
	raw, packed, encoded []byte
	zstd                 *zstd.Encoder
}

// encodedPage is what indexes tell of a page.
type encodedPage struct {
	offset   int64 // in the chunk, behind the dictionary
	size     int32
	firstRow int64
	nulls    int64
	levels   int64
	encoding format.Encoding
	bounds   bounds
}

// pageIndex is where the pages of a chunk are, and where it has an order what is in
// them.
type pageIndex struct {
	bounded bool
	bounds  format.ColumnIndex
	pages   format.OffsetIndex
}

func newColumnEncoder(c *column) *columnEncoder {
	e := &columnEncoder{column: c}
	if c.stack != nil {
		e.stacks = make([]stackIDs, stacksKnown)
	}
	e.reset()
	return e
}

// maxDef is the definition level of a value: 0 where each row has one, 2 for a frame
// of a stack (level 1 is an empty one).
func (e *columnEncoder) maxDef() byte {
	switch {
	case e.column.bit == 0:
		return 0
	case e.column.stack != nil:
		return 2
	}
	return 1
}

// named reports whether the column's values are strings.
func (c *column) named() bool { return c.text != nil || c.kind != nil || c.stack != nil }

// reset begins the next row group.
func (e *columnEncoder) reset() {
	e.pages, e.list, e.unpacked, e.dictPage, e.dictPlain = e.pages[:0], e.list[:0], 0, e.dictPage[:0], 0
	e.bounds, e.nulls, e.count, e.row = bounds{}, 0, 0, 0
	e.dict.reset()
	for i := range e.stacks {
		e.stacks[i].first = nil
	}
	e.emptyPage()
}

func (e *columnEncoder) emptyPage() {
	v := &e.values
	v.i32, v.i64, v.flag = v.i32[:0], v.i64[:0], v.flag[:0]
	e.plain, e.defs, e.reps, e.names, e.firstRow = e.plain[:0], e.defs[:0], e.reps[:0], 0, e.row
	e.levels.reset()
}

// add appends a batch; i is the number of the column in it.
func (e *columnEncoder) add(b *batch, i int, p *pageBuffers) error {
	c, v := e.column, &b.values[i]
	if c.stack != nil {
		e.addStacks(b, v.stack)
	} else {
		e.addLevels(b)
	}
	switch {
	case c.i32 != nil:
		e.values.i32 = appendValues(e.values.i32, v.i32)
	case c.i64 != nil, c.u64 != nil:
		e.values.i64 = appendValues(e.values.i64, v.i64)
	case c.flag != nil:
		e.values.flag = append(e.values.flag, v.flag...)
	case c.kind != nil:
		for from, to := 0, 0; from < len(b.kinds); from = to {
			for to = from; to < len(b.kinds) && b.kinds[to] == b.kinds[from]; to++ {
			}
			e.addNames(kindNames[b.kinds[from]], to-from)
		}
	case c.text != nil:
		for i := range v.text {
			e.addNames(v.text[i].name, v.text[i].n)
		}
	}
	e.row += int64(b.rows())
	if 4*max(len(e.values.i32), e.names)+8*len(e.values.i64)+len(e.values.flag)+len(e.plain) >= pageBytes {
		return e.endPage(p)
	}
	return nil
}

// appendValues appends the values of a batch. A column that every row has gets the memory
// of a page at once.
func appendValues[T int32 | int64](to, values []T) []T {
	if cap(to) == 0 && len(values) == batchRows {
		to = make([]T, 0, pageBytes/unsafe.Sizeof(values[0])+batchRows)
	}
	return append(to, values...)
}

// addLevels notes which rows of the batch have a value.
func (e *columnEncoder) addLevels(b *batch) {
	bit := e.column.bit
	switch {
	case b.any&bit == 0 && bit != 0:
		e.levels.add(0, b.rows())
	case b.all&bit == bit:
		e.levels.add(1, b.rows())
	default:
		e.levels.pack(b.has[bits.TrailingZeros64(uint64(bit))][:], b.rows())
	}
}

// appendSame appends n equal levels.
func appendSame(levels []byte, level byte, n int) []byte {
	for range n {
		levels = append(levels, level)
	}
	return levels
}

// addStacks adds the batch's stacks: definition level 0 is no stack, 1 an empty one,
// 2 a frame; frames after the first repeat.
func (e *columnEncoder) addStacks(b *batch, stacks [][]string) {
	if b.any&e.column.bit == 0 && len(e.defs) == 0 {
		e.levels.add(0, b.rows())
		return
	}
	if none := e.levels.n; len(e.defs) == 0 && none > 0 {
		e.defs, e.reps = appendSame(e.defs, 0, none), appendSame(e.reps, 0, none)
	}
	next := 0
	for _, s := range b.shapes {
		if s.has&e.column.bit == 0 {
			e.defs, e.reps = appendSame(e.defs, 0, s.n), appendSame(e.reps, 0, s.n)
			continue
		}
		for _, stack := range stacks[next : next+s.n] {
			if len(stack) == 0 {
				e.defs, e.reps = append(e.defs, 1), append(e.reps, 0)
			}
			for j := range stack {
				e.defs, e.reps = append(e.defs, 2), append(e.reps, byte(min(j, 1)))
			}
			e.addFrames(stack)
		}
		next += s.n
	}
}

// addFrames adds the frames of a stack. Those of one that was added lately, from the
// same place in memory, are known: where stacks differ, as they mostly do, all of them
// are appended at once.
func (e *columnEncoder) addFrames(stack []string) {
	if len(stack) == 0 {
		return
	}
	known := &e.stacks[uintptr(unsafe.Pointer(&stack[0]))/unsafe.Sizeof(stack[0])%uintptr(len(e.stacks))]
	if known.first == &stack[0] && len(known.ids) == len(stack) && len(e.values.i32) > 0 && !e.dict.full {
		e.values.i32 = append(e.values.i32, known.ids...)
		e.names += len(stack)
		return
	}
	known.first, known.ids = nil, known.ids[:0]
	for _, frame := range stack {
		e.addNames(frame, 1)
		known.ids = append(known.ids, e.dict.same)
	}
	if !e.dict.full {
		known.first = &stack[0]
	}
}

// stackIDs is a stack, and the places of its frames in the dictionary.
type stackIDs struct {
	first *string
	ids   []int32
}

// addNames adds a string n times, by its place in the dictionary. When that is full,
// the page goes on with strings themselves.
func (e *columnEncoder) addNames(s string, n int) {
	if !e.dict.full {
		if id, ok := e.dict.id(s); ok {
			e.addIDs(id, n)
			return
		}
		// The page has to be of one encoding.
		e.namesDiffer()
		for _, id := range e.values.i32 {
			e.plain = appendName(e.plain, e.dict.names[id])
		}
		e.values.i32, e.names = e.values.i32[:0], 0
	}
	for range n {
		e.plain = appendName(e.plain, s)
	}
}

// idsAtOnce is the room that a page's places in the dictionary get at first. Where they
// differ at all, most pages fill it.
const idsAtOnce = pageBytes / 4

// addIDs adds a place in the dictionary n times.
func (e *columnEncoder) addIDs(id int32, n int) {
	if e.names == 0 {
		e.id = id
	}
	if e.id != id || len(e.values.i32) > 0 {
		e.namesDiffer()
		for range n {
			e.values.i32 = append(e.values.i32, id)
		}
	}
	e.names += n
}

// namesDiffer writes the names out that were all the same so far.
func (e *columnEncoder) namesDiffer() {
	if cap(e.values.i32) == 0 && e.names >= batchRows/4 {
		e.values.i32 = make([]int32, 0, idsAtOnce+batchRows)
	}
	for len(e.values.i32) < e.names {
		e.values.i32 = append(e.values.i32, e.id)
	}
}

// appendName appends a string in the PLAIN encoding of Parquet.
func appendName(dst []byte, s string) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s)))
	return append(dst, s...)
}

// end ends the column chunk.
func (e *columnEncoder) end(p *pageBuffers) error {
	if e.pageLevels() > 0 {
		if err := e.endPage(p); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(e.list, func(p encodedPage) bool { return p.encoding == format.RLEDictionary }) {
		return nil // no page needs one
	}
	p.raw = p.raw[:0]
	for _, s := range e.dict.names {
		p.raw = appendName(p.raw, s)
	}
	var err error
	e.dictPage, e.dictPlain, err = p.appendPage(e.dictPage[:0], &format.PageHeader{
		Type:                 format.DictionaryPage,
		DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: int32(len(e.dict.names)), Encoding: format.Plain}),
	})
	return err
}

// appendPage compresses raw and appends it with its header, and returns the size
// that both have uncompressed.
func (p *pageBuffers) appendPage(dst []byte, h *format.PageHeader) ([]byte, int64, error) {
	p.packed = p.zstd.EncodeAll(p.raw, p.packed[:0])
	h.UncompressedPageSize, h.CompressedPageSize = int32(len(p.raw)), int32(len(p.packed))
	h.CRC = int32(crc32.ChecksumIEEE(p.packed))
	head, err := thrift.Marshal(new(thrift.CompactProtocol), h)
	dst = append(append(dst, head...), p.packed...)
	return dst, int64(len(head) + len(p.raw)), err
}

// pageLevels is the number of levels of the page under construction.
func (e *columnEncoder) pageLevels() int { return max(e.levels.n, len(e.defs)) }

// endPage encodes the page under construction.
func (e *columnEncoder) endPage(b *pageBuffers) error {
	p := encodedPage{offset: int64(len(e.pages)), firstRow: e.firstRow, levels: int64(e.pageLevels())}
	b.raw = b.raw[:0]
	err := e.appendLevels(b)
	if err != nil {
		return err
	}
	p.nulls = e.countNulls()
	if p.bounds, p.encoding, err = e.appendValues(b); err != nil {
		return err
	}
	header := format.DataPageHeader{
		NumValues: int32(p.levels), Encoding: p.encoding, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE,
		Statistics: p.bounds.statistics(e.column, p.nulls),
	}
	size := len(e.pages)
	var unpacked int64
	e.pages, unpacked, err = b.appendPage(e.pages, &format.PageHeader{Type: format.DataPage, DataPageHeader: thrift.New(header)})
	if err != nil {
		return err
	}
	p.size = int32(len(e.pages) - size)
	e.unpacked += unpacked
	e.list = append(e.list, p)
	e.bounds.join(&p.bounds, e.column)
	e.nulls += p.nulls
	e.count += p.levels
	e.emptyPage()
	return nil
}

// appendLevels appends the levels as data pages of version 1 have them: repetition,
// then definition levels, each with its length in front.
func (e *columnEncoder) appendLevels(b *pageBuffers) error {
	switch {
	case e.column.bit == 0:
		return nil
	case len(e.defs) > 0:
		if err := b.appendEncoded(e.reps, 1); err != nil {
			return err
		}
		return b.appendEncoded(e.defs, int(e.maxDef()))
	}
	if e.column.stack != nil { // no row has one: all levels of both kinds are 0
		run := append(binary.AppendUvarint(b.encoded[:0], uint64(e.levels.n)<<1), 0)
		b.appendWithLength(run)
		b.appendWithLength(run)
		return nil
	}
	e.levels.endRun()
	b.appendWithLength(e.levels.encoded)
	return nil
}

// appendEncoded appends levels of a bit width, and their length in front.
func (b *pageBuffers) appendEncoded(levels []byte, width int) (err error) {
	b.encoded, err = (&rle.Encoding{BitWidth: width}).EncodeLevels(b.encoded, levels)
	b.appendWithLength(b.encoded)
	return err
}

func (b *pageBuffers) appendWithLength(encoded []byte) {
	b.raw = append(binary.LittleEndian.AppendUint32(b.raw, uint32(len(encoded))), encoded...)
}

// countNulls counts the levels of the page that have no value.
func (e *columnEncoder) countNulls() int64 {
	if len(e.defs) > 0 {
		return int64(len(e.defs) - bytes.Count(e.defs, []byte{e.maxDef()}))
	}
	return int64(e.levels.n - e.levels.set)
}

// appendValues appends the page's values to raw, and tells their bounds and encoding.
func (e *columnEncoder) appendValues(p *pageBuffers) (b bounds, encoding format.Encoding, err error) {
	c, v := e.column, &e.values
	switch {
	case c.flag != nil:
		b = p.appendFlags(v.flag, c)
		return b, format.Plain, nil
	case c.named() && e.names == 0:
		p.raw = append(p.raw, e.plain...)
		return b, format.Plain, nil
	case c.named() && len(v.i32) == 0:
		// One run: the bits of an index, twice the length, the index in as few bytes.
		width := bits.Len32(uint32(e.id))
		p.raw = binary.AppendUvarint(append(p.raw, byte(width)), uint64(e.names)<<1)
		var id [4]byte
		binary.LittleEndian.PutUint32(id[:], uint32(e.id))
		p.raw = append(p.raw, id[:(width+7)/8]...)
		return b, format.RLEDictionary, nil
	case c.named():
		encoding = format.RLEDictionary
		p.encoded, err = new(rle.DictionaryEncoding).EncodeInt32(p.encoded, v.i32)
	case c.i32 != nil:
		b, encoding = int32Bounds(v.i32), format.DeltaBinaryPacked
		p.encoded, err = new(delta.BinaryPackedEncoding).EncodeInt32(p.encoded, v.i32)
	case c.delta:
		b, encoding = c.int64Bounds(v.i64), format.DeltaBinaryPacked
		p.encoded, err = new(delta.BinaryPackedEncoding).EncodeInt64(p.encoded, v.i64)
	default:
		for _, x := range v.i64 {
			p.raw = binary.LittleEndian.AppendUint64(p.raw, uint64(x))
		}
		return c.int64Bounds(v.i64), format.Plain, nil
	}
	p.raw = append(p.raw, p.encoded...)
	return b, encoding, err
}

// int32Bounds are those of signed numbers.
func int32Bounds(values []int32) bounds {
	if len(values) == 0 {
		return bounds{}
	}
	least, most := values[0], values[0]
	for _, x := range values {
		least, most = min(least, x), max(most, x)
	}
	return bounds{true, int64(least), int64(most)}
}

// int64Bounds are those of the column's numbers.
func (c *column) int64Bounds(values []int64) bounds {
	switch {
	case len(values) == 0:
		return bounds{}
	case c.u64 == nil:
		least, most := values[0], values[0]
		for _, x := range values {
			least, most = min(least, x), max(most, x)
		}
		return bounds{true, least, most}
	}
	least, most := uint64(values[0]), uint64(values[0])
	for _, x := range values {
		least, most = min(least, uint64(x)), max(most, uint64(x))
	}
	return bounds{true, int64(least), int64(most)}
}

// appendFlags packs eight flags to a byte, the first in the lowest bit.
func (p *pageBuffers) appendFlags(flags []bool, c *column) (b bounds) {
	at := len(p.raw)
	p.raw = append(p.raw, make([]byte, (len(flags)+7)/8)...)
	for i, f := range flags {
		x := int64(0)
		if f {
			x = 1
			p.raw[at+i/8] |= 1 << (i % 8)
		}
		b.add(x, c)
	}
	return b
}

// chunk is the metadata of the column chunk, which begins at an offset of the file.
func (e *columnEncoder) chunk(offset int64) format.ColumnMetaData {
	c := e.column
	m := format.ColumnMetaData{
		Type: c.storedType(), PathInSchema: thrift.Slice[string]{c.name}, Codec: format.Zstd, NumValues: e.count,
		TotalUncompressedSize: e.unpacked + e.dictPlain, TotalCompressedSize: int64(len(e.dictPage) + len(e.pages)),
		DataPageOffset: offset + int64(len(e.dictPage)),
		Statistics:     e.bounds.statistics(c, e.nulls),
	}
	if c.stack != nil {
		m.PathInSchema = append(m.PathInSchema, "list", "element")
	}
	if len(e.dictPage) > 0 {
		m.DictionaryPageOffset = offset
		m.EncodingStats = append(m.EncodingStats, format.PageEncodingStats{PageType: format.DictionaryPage, Encoding: format.Plain, Count: 1})
		m.Encoding = append(m.Encoding, format.Plain)
	}
	if e.maxDef() > 0 {
		m.Encoding = append(m.Encoding, format.RLE)
	}
	for _, encoding := range []format.Encoding{format.Plain, format.DeltaBinaryPacked, format.RLEDictionary} {
		n := int32(0)
		for i := range e.list {
			if e.list[i].encoding == encoding {
				n++
			}
		}
		if n == 0 {
			continue
		}
		m.EncodingStats = append(m.EncodingStats, format.PageEncodingStats{PageType: format.DataPage, Encoding: encoding, Count: n})
		if encoding != format.Plain || len(e.dictPage) == 0 {
			m.Encoding = append(m.Encoding, encoding)
		}
	}
	return m
}

// index is the page index of the column chunk, which begins at an offset of the file.
func (e *columnEncoder) index(offset int64) pageIndex {
	x := pageIndex{bounded: !e.column.named()}
	offset += int64(len(e.dictPage))
	ascending := true
	for i := range e.list {
		p := &e.list[i]
		x.pages.PageLocations = append(x.pages.PageLocations, format.PageLocation{Offset: offset + p.offset, CompressedPageSize: p.size, FirstRowIndex: p.firstRow})
		least, most := []byte{}, []byte{}
		if p.bounds.some {
			least, most = e.column.plain(p.bounds.least), e.column.plain(p.bounds.most)
		}
		x.bounds.NullPages = append(x.bounds.NullPages, !p.bounds.some)
		x.bounds.MinValues = append(x.bounds.MinValues, least)
		x.bounds.MaxValues = append(x.bounds.MaxValues, most)
		x.bounds.NullCounts = append(x.bounds.NullCounts, p.nulls)
		if i > 0 {
			before := &e.list[i-1].bounds
			ascending = ascending && before.some && p.bounds.some &&
				e.column.compare(before.least, p.bounds.least) <= 0 && e.column.compare(before.most, p.bounds.most) <= 0
		}
	}
	if ascending {
		x.bounds.BoundaryOrder = format.Ascending
	}
	return x
}

// bounds are the least and the greatest of some numbers. Names have none: no query
// prunes by their order, and comparing them takes longer than compressing them.
type bounds struct {
	some        bool
	least, most int64 // of an unsigned column, its bits
}

func (b *bounds) add(x int64, c *column) {
	switch {
	case !b.some:
		b.some, b.least, b.most = true, x, x
	case c.compare(x, b.least) < 0:
		b.least = x
	case c.compare(x, b.most) > 0:
		b.most = x
	}
}

func (b *bounds) join(o *bounds, c *column) {
	if o.some {
		b.add(o.least, c)
		b.add(o.most, c)
	}
}

// compare orders values of column c: negative, 0 or positive.
func (c *column) compare(x, y int64) int {
	if c.u64 != nil {
		x, y = x^math.MinInt64, y^math.MinInt64
	}
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// plain is a number in the PLAIN encoding of its column.
func (c *column) plain(x int64) []byte {
	switch {
	case c.i32 != nil:
		return binary.LittleEndian.AppendUint32(nil, uint32(x))
	case c.flag != nil:
		return []byte{byte(x)}
	}
	return binary.LittleEndian.AppendUint64(nil, uint64(x))
}

func (b *bounds) statistics(c *column, nulls int64) format.Statistics {
	s := format.Statistics{NullCount: nulls}
	if b.some {
		s.MinValue, s.MaxValue = c.plain(b.least), c.plain(b.most)
	}
	return s
}

// dictionary numbers the strings of a column chunk by their first appearance.
type dictionary struct {
	ids   map[string]int32
	names []string
	bytes int
	full  bool // it takes no more
	last  string
	same  int32 // id of last
	known bool  // there is a last
}

func (d *dictionary) reset() {
	clear(d.ids)
	clear(d.names)
	*d = dictionary{ids: d.ids, names: d.names[:0]}
	if d.ids == nil {
		d.ids = map[string]int32{}
	}
}

// id is the number of s, and false when the dictionary is full and has it not.
// Mostly the string is the one before, in the same place of the memory.
func (d *dictionary) id(s string) (int32, bool) {
	if d.known && len(s) == len(d.last) && unsafe.StringData(s) == unsafe.StringData(d.last) {
		return d.same, true
	}
	id, ok := d.ids[s]
	if !ok {
		if d.bytes+len(s)+4 > dictionaryBytesMax {
			d.full = true
			return 0, false
		}
		id = int32(len(d.names))
		d.ids[s] = id
		d.names = append(d.names, s)
		d.bytes += len(s) + 4
	}
	d.last, d.same, d.known = s, id, true
	return id, true
}
