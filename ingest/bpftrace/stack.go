package bpftrace

import (
	"bytes"
	"strconv"

	"github.com/replay/replay/ingest/assemble"
	"github.com/replay/replay/traces"
)

// stack reads the frames that follow an event, each on a line of its own: after a tab
// ADDRESS SYMBOL+OFFSET of the kernel, with (MODULE) of the program, or after eight
// blanks SYMBOL+OFFSET alone (get_stack in bpftrace.cpp, modes perf and bpftrace). Where
// bpftrace named no frame of the program, r gets the addresses.
func (p *Parser) stack(r *assemble.Record) {
	p.frames, p.key = p.frames[:0], p.key[:0]
	named := false
	for {
		l := p.read()
		if line := l.text; l.err != nil || len(line) > 0 && !p.isFrame(line) {
			p.unread(l)
			break
		}
		line := l.text
		frame := bytes.TrimLeft(line, "\t ")
		if len(frame) == 0 {
			continue // a stack begins with a new line
		}
		p.key = append(append(p.key, frame...), '\n')
		p.frames = append(p.frames, p.frame(r, frame))
		addr, ok := unnamed(frame)
		named = named || !ok
		r.Chain = append(r.Chain, addr)
	}
	if !named {
		return // there is none, or it is for the assembler to name
	}
	r.Chain = r.Chain[:0]
	stack, ok := p.stacks[string(p.key)]
	if !ok {
		if len(p.stacks) > stacksMax {
			clear(p.stacks)
		}
		stack = append([]string(nil), p.frames...)
		p.stacks[string(p.key)] = stack
	}
	r.Stack = stack
	r.Has |= traces.ColStack
}

func (p *Parser) isFrame(line []byte) bool {
	if bytes.HasSuffix(line, lossEnd) && lostLine().Match(line) {
		return false // printed into the stack
	}
	return (line[0] == '\t' || bytes.HasPrefix(line, []byte("        "))) && !p.isEvent(line)
}

// unnamed is the address of a user's frame without a name: "ADDRESS 0xADDRESS ([unknown])".
func unnamed(frame []byte) (addr uint64, ok bool) {
	text, rest, _ := bytes.Cut(frame, []byte{' '})
	addr, err := strconv.ParseUint(string(text), 16, 64)
	return addr, err == nil && bytes.HasPrefix(rest, []byte("0x")) && !assemble.KernelAddress(addr)
}

const kernelModule = "([kernel.kallsyms])"

// frame is a line of a stack as the store has it: symbol+0xoff (module), or
// 0xaddr (module).
func (p *Parser) frame(r *assemble.Record, frame []byte) string {
	text, rest, _ := bytes.Cut(frame, []byte{' '})
	addr, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil {
		if name, offset, ok := cutOffset(frame); ok {
			return p.intern([]byte(name + "+0x" + strconv.FormatUint(offset, 16) + " ([unknown])"))
		}
		return p.intern(frame)
	}
	symbol, module := rest, []byte("([unknown])")
	switch open := bytes.LastIndex(rest, []byte(" (")); {
	case assemble.KernelAddress(addr):
		module = []byte(kernelModule)
	case open >= 0:
		symbol, module = rest[:open], rest[open+1:]
	}
	if !assemble.KernelAddress(addr) && r.UserIP == 0 {
		r.UserIP = addr
	}
	name, offset, ok := cutOffset(symbol)
	if !ok {
		return p.intern([]byte("0x" + string(text) + " " + string(module)))
	}
	return p.intern([]byte(name + "+0x" + strconv.FormatUint(offset, 16) + " " + string(module)))
}

// cutOffset splits symbol+OFFSET, a decimal number.
func cutOffset(b []byte) (name string, offset uint64, ok bool) {
	plus := bytes.LastIndexByte(b, '+')
	if plus <= 0 {
		return "", 0, false
	}
	offset, err := strconv.ParseUint(string(b[plus+1:]), 10, 64)
	return string(b[:plus]), offset, err == nil
}
