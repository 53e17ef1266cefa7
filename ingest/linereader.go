package ingest

import (
	"errors"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/ingest/lines"
	"github.com/replay/replay/ingest/perfscript"
)

// lineReader parses lines in a goroutine, in blocks, while those before become
// rows. Their order is that of the text. Blocks go around: emptied by the one side,
// filled by the other.
type lineReader struct {
	parser  *perfscript.Parser // the goroutine's until next returned io.EOF
	asm     *assemble.Assembler
	empty   chan *lineBlock
	full    chan *lineBlock
	stopped chan struct{}

	block    *lineBlock // being read, up to at
	at       int
	position int64 // bytes read
}

const (
	blocks        = 4
	linesPerBlock = 256
)

// lineBlock is some lines, parsed.
type lineBlock struct {
	lines    [linesPerBlock]parsedLine
	n        int
	position int64
}

type parsedLine struct {
	record *assemble.Record
	used   bool
	err    error
}

func newLineReader(p *perfscript.Parser, asm *assemble.Assembler) *lineReader {
	l := &lineReader{parser: p, asm: asm, empty: make(chan *lineBlock, blocks), full: make(chan *lineBlock, blocks), stopped: make(chan struct{})}
	for range blocks {
		l.giveEmpty(&lineBlock{})
	}
	go l.parse()
	return l
}

// giveEmpty hands a block to the parser, with a record for each line.
func (l *lineReader) giveEmpty(b *lineBlock) {
	for i := range b.lines {
		if b.lines[i].record == nil {
			b.lines[i].record = l.asm.Record()
		}
	}
	l.empty <- b // has room for all
}

// parse fills blocks up to what ends the text.
func (l *lineReader) parse() {
	for {
		select {
		case <-l.stopped:
			return
		case b := <-l.empty:
			ended := l.fill(b)
			l.full <- b // has room for all
			if ended {
				return
			}
		}
	}
}

func (l *lineReader) fill(b *lineBlock) (ended bool) {
	b.n = 0
	for b.n < len(b.lines) && !ended {
		line := &b.lines[b.n]
		line.used, line.err = l.parser.Next(line.record)
		b.n++
		var bad *lines.Error
		ended = line.err != nil && !errors.As(line.err, &bad)
	}
	b.position = l.parser.Position()
	return ended
}

// next returns the next line, as Parser.Next does. The record is the caller's.
func (l *lineReader) next() (*assemble.Record, bool, error) {
	if l.block != nil && l.at == l.block.n {
		l.giveEmpty(l.block)
		l.block = nil
	}
	if l.block == nil {
		l.block, l.at = <-l.full, 0
		l.position = l.block.position
	}
	line := &l.block.lines[l.at]
	l.at++
	r := line.record
	line.record = nil
	return r, line.used, line.err
}

// stop ends the goroutine once it has read what it reads now.
func (l *lineReader) stop() { close(l.stopped) }
