package bpftrace

import (
	"bytes"

	"github.com/replay/replay/ingest/lines"
)

// within is what part of a printed map the next line may go on with.
type within uint8

const (
	nowhere within = iota
	rows           // of a histogram, a series, or a stack, up to an empty line
	value          // that is a text, which may have line breaks
)

// Maps as bpftrace prints them at its end, or for print(@). Those of other values are
//
//	@name: VALUE
//	@name[KEY, KEY]: VALUE
//
// Histograms and series follow on lines of their own; keys and values that are stacks
// or strings have line breaks.
var (
	mapBegin = lines.Pattern(`^@[A-Za-z0-9_]*(:|\[)`)
	mapEnd   = lines.Pattern(`\]:( |$)`)
	// wholeValue is one that does not go on: a number, statistics, a tuple, an array or
	// a record.
	wholeValue = lines.Pattern(`^(-?[0-9]+|0x[0-9a-f]+|count -?[0-9]+, average -?[0-9]+, total -?[0-9]+|\(.*\)|\[.*\]|\{.*\})$`)
	// mapRow is a line of what follows: a bucket, the axis or a point of a series, or a
	// frame.
	mapRow = lines.Pattern(`^([\[(].*[\])] +-?[0-9]+ \|.*\||hh:mm:ss.*|[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)? [|*.].*|\s.*|\[.*\]: .*)$`)
)

const mapLines = "maps that bpftrace printed"

// keyLinesMax is how many lines a key may have, two stacks of the greatest length.
const keyLinesMax = 260

// printedMap reads a line of a map that bpftrace printed.
func (p *Parser) printedMap(line []byte) bool {
	switch {
	case line[0] == '@' && mapBegin().Match(line):
		if !p.mapKey(line) {
			return false
		}
	case p.within == rows && mapRow().Match(line), p.within == value:
	default:
		return false
	}
	p.Unused[mapLines]++
	return true
}

// mapKey reads the key of a map, which may have more lines, and sees what comes after
// it; false where the key has no end.
func (p *Parser) mapKey(line []byte) bool {
	rest := line[bytes.IndexAny(line, ":[")+1:]
	if line[len(line)-len(rest)-1] == '[' {
		end := mapEnd().FindIndex(rest)
		if end == nil {
			foreign := false
			seen, found := p.look(keyLinesMax, func(text []byte) bool {
				foreign = p.isEvent(text)
				return foreign || mapEnd().Match(text)
			})
			if !found || foreign {
				return false
			}
			p.drop(len(seen))
			p.Unused[mapLines] += int64(len(seen))
			rest = seen[len(seen)-1].text
			end = mapEnd().FindIndex(rest)
		}
		rest = rest[end[1]:]
	}
	switch rest = bytes.TrimSpace(rest); {
	case len(rest) == 0:
		p.within = rows
	case wholeValue().Match(rest):
		p.within = nowhere
	default:
		p.within = value
	}
	return true
}
