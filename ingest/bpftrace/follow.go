package bpftrace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// Follow copies to w what Script prints, as JSON, while it is printed. Before the
// first hit of a process since it mapped a file as code it puts the mappings with
// code, so that the frames of stacks can be named when the process has ended: no
// event tells which file it mapped. A process that has ended by then is left out.
//
// It calls begun at the script's first line. bpftrace attaches all probes before it
// empties its buffers, so that they are all there then. Whatever becomes of w, it
// reads on until r ends, so that bpftrace does not wait for a reader; it calls failed
// when w does, so that somebody can end bpftrace.
func Follow(w io.Writer, r io.Reader, begun func(), failed func(error)) error {
	f := follower{out: bufio.NewWriter(w), begun: begun, stale: map[int]uint64{}, mapping: map[int]bool{}}
	in := bufio.NewReaderSize(r, 1<<16)
	var failure error
	for {
		// A longer line goes on in pieces, of which the first has what is looked for.
		line, err := in.ReadSlice('\n')
		if text, ok := bytes.CutPrefix(line, followed); ok && failure == nil {
			f.look(text)
		}
		if failure == nil {
			_, failure = f.out.Write(line)
			if failure == nil && (in.Buffered() == 0 || err != nil) {
				failure = f.out.Flush()
			}
			if failure != nil {
				failed(failure)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return failure
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return errors.Join(failure, err)
		}
	}
}

// followed begins the documents of Script's lines.
var followed = append(bytes.Clone(printfBegin), Prefix+" "...)

// follower knows which processes mapped code since their mappings were written.
type follower struct {
	out     *bufio.Writer
	begun   func()
	stale   map[int]uint64 // processes, and when they mapped it
	mapping map[int]bool   // threads in an mmap of code
}

// look sees one line, "EVENT TIME CPU PID TID ...".
func (f *follower) look(line []byte) {
	name, rest, _ := bytes.Cut(line, []byte{' '})
	switch string(name) {
	case scriptLine:
		f.begun()
		return
	case "hit":
		if len(f.stale) == 0 {
			return
		}
	case enterMmap, exitMmap, execed, exited:
	default:
		return
	}
	var head [4]uint64
	for i := range head {
		var number []byte
		number, rest, _ = bytes.Cut(rest, []byte{' '})
		head[i], _ = parseNumber(number)
	}
	time, pid, tid := head[0], int(head[2]), int(head[3])
	switch string(name) {
	case "hit":
		if since, ok := f.stale[pid]; ok {
			delete(f.stale, pid)
			f.write(pid, since)
		}
	case execed:
		f.stale[pid] = time
	case enterMmap:
		if argument(rest, "prot")&4 != 0 && argument(rest, "flags")&0x20 == 0 { // PROT_EXEC, MAP_ANONYMOUS
			f.mapping[tid] = true
		}
	case exitMmap:
		if f.mapping[tid] {
			delete(f.mapping, tid)
			f.stale[pid] = time
		}
	case exited:
		delete(f.mapping, tid)
		if pid == tid {
			delete(f.stale, pid)
		}
	}
}

// Events that tell of mappings.
const (
	enterMmap = "syscalls:sys_enter_mmap"
	exitMmap  = "syscalls:sys_exit_mmap"
	execed    = "sched:sched_process_exec"
	exited    = "sched:sched_process_exit"
)

// argument is the number in " NAME=NUMBER " of a line, 0 if it has none.
func argument(line []byte, name string) uint64 {
	for field := range bytes.FieldsSeq(line) {
		if value, ok := bytes.CutPrefix(field, []byte(name+"=")); ok {
			n, _ := parseNumber(value)
			return n
		}
	}
	return 0
}

// write writes the mappings with code that a process has now, as of just after the
// event that made the last of them, since an exec takes those before it away.
func (f *follower) write(pid int, since uint64) {
	maps, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
	if err != nil {
		return
	}
	for line := range bytes.Lines(maps) {
		if _, rest, _ := bytes.Cut(line, []byte{' '}); len(rest) > 2 && rest[2] == 'x' {
			fmt.Fprintf(f.out, "%s %s %d %d %s", Prefix, mappedLine, since+1, pid, line)
		}
	}
}
