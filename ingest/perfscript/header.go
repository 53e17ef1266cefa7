package perfscript

import "bytes"

// header is the part of a line before the event's fields.
type header struct {
	comm     []byte
	thread   bool  // ids are shown
	pid, tid int64 // -1: not shown, or of no thread
	cpu      int64 // -1: not shown
	time     int64 // ns
	digits   int   // of its fraction
	nameless bool  // all is there but the event
	event    []byte
	rest     []byte
}

// splitHeader takes a line apart around its time stamp, which is the first number
// with a point that ends in a colon, stands behind the ids and before an event.
func splitHeader(line []byte) (header, bool) {
	h, ok := splitAtTime(line, true)
	if ok {
		return h, true
	}
	nameless := h.nameless
	h, ok = splitAtTime(line, false) // perf script -F without tid and pid
	h.nameless = nameless
	return h, ok
}

func splitAtTime(line []byte, ids bool) (h header, ok bool) {
	for at := 0; ; {
		i := bytes.IndexByte(line[at:], ':')
		if i < 0 {
			return h, false
		}
		end := at + i
		at = end + 1
		if at < len(line) && line[at] != ' ' {
			continue
		}
		start, ok := h.timeBefore(line, end)
		if ok && h.before(line[:skipBlanksBack(line, start)], ids) {
			if h.eventOf(line[skipBlanks(line, at):]) {
				return h, true
			}
			h.nameless = true
		}
	}
}

// timeBefore reads the seconds with a fraction that end before b[end], and returns
// where they start.
func (h *header) timeBefore(b []byte, end int) (start int, ok bool) {
	point := end
	for point > 0 && isDigit(b[point-1]) {
		point--
	}
	h.digits = end - point
	if point == 0 || b[point-1] != '.' || h.digits == 0 || h.digits > 9 {
		return 0, false
	}
	start = point - 1
	for start > 0 && isDigit(b[start-1]) {
		start--
	}
	if start > 0 && b[start-1] != ' ' {
		return 0, false
	}
	sec, ok := parseDec(b[start : point-1])
	if !ok || sec > 1<<33 {
		return 0, false
	}
	frac, _ := parseDec(b[point:end])
	for range 9 - h.digits {
		frac *= 10
	}
	h.time = sec*1e9 + frac
	return start, true
}

// before reads what stands before the time: name, pid/tid or one of them, [cpu], and
// columns that are of no use here (perf_sample__fprintf_start, whose -F +misc and +tod
// come last). Those must not become part of the name.
func (h *header) before(b []byte, ids bool) bool {
	if !ids {
		b = cutTod(b)
	}
	if h.named(b, ids) {
		return true
	}
	for end := bytes.LastIndexByte(b, ']'); ids && end > 0; end = bytes.LastIndexByte(b[:end], ']') {
		if end+1 < len(b) && b[end+1] == ' ' && h.named(b[:end+1], true) {
			return true
		}
	}
	known := cutMisc(cutTod(b))
	return len(known) < len(b) && h.named(known, ids)
}

// cutTod leaves out a time of day at the end: 2026-11-29 05:03:40.770099814.
func cutTod(b []byte) []byte {
	clock := bytes.LastIndexByte(b, ' ') + 1
	date := clock - len("2026-11-29 ")
	if date < 0 || len(b)-clock < len("05:03:40") || b[clock+2] != ':' || b[clock+5] != ':' || b[date+4] != '-' || b[date+7] != '-' || !isDigit(b[date]) {
		return b
	}
	return b[:skipBlanksBack(b, date)]
}

// cutMisc leaves out what tells the modes of a sample at the end, such as K or U.
func cutMisc(b []byte) []byte {
	start := bytes.LastIndexByte(b, ' ') + 1
	if start == len(b) || len(bytes.Trim(b[start:], "KUHGgMESp")) > 0 {
		return b
	}
	return b[:skipBlanksBack(b, start)]
}

// named reads name, ids and [cpu]. The name and the CPU may be missing, ids only
// where they are not asked for.
func (h *header) named(b []byte, ids bool) bool {
	h.pid, h.tid, h.cpu = -1, -1, -1
	if n := len(b); n > 0 && b[n-1] == ']' {
		open := n - 1
		for open > 0 && isDigit(b[open-1]) {
			open--
		}
		if open == 0 || b[open-1] != '[' {
			return false
		}
		cpu, ok := parseDec(b[open : n-1])
		if !ok || cpu >= CPUMax {
			return false
		}
		h.cpu = cpu
		b = b[:skipBlanksBack(b, open-1)]
	} else if ids {
		b = h.bareCPU(b)
	}
	if h.thread = ids; ids {
		start, ok := h.ids(b)
		if !ok {
			return false
		}
		b = b[:skipBlanksBack(b, start)]
	}
	h.comm = b[skipBlanks(b, 0):]
	return true
}

// bareCPU reads a CPU without brackets at the end of b, of perf script --Latency, and
// returns what stands before it. It is a number of three places behind the thread, which
// has five of its own, to its right where it follows a process's
// (perf_sample__fprintf_start).
func (h *header) bareCPU(b []byte) []byte {
	digits := len(b)
	for digits > 0 && isDigit(b[digits-1]) {
		digits--
	}
	end := skipBlanksBack(b, digits)
	cpu, ok := parseDec(b[digits:])
	if !ok || end == 0 || cpu > 999 { // a thread, rather
		return b
	}
	before := header{pid: -1, tid: -1}
	start, ok := before.ids(b[:end])
	blanks := 1 + max(0, 3-(len(b)-digits))
	if before.pid >= 0 {
		blanks += max(0, 5-len(b[bytes.LastIndexByte(b[:end], '/')+1:end]))
	}
	if !ok || digits-end != blanks || start > 0 && b[start-1] != ' ' {
		return b
	}
	h.cpu = cpu
	return b[:end]
}

// ids reads the process and thread at the end of b, and returns where they start.
func (h *header) ids(b []byte) (start int, ok bool) {
	start = len(b)
	slash := -1
	for start > 0 && b[start-1] != ' ' {
		start--
		if b[start] == '/' {
			slash = start
		}
	}
	if slash < 0 {
		h.tid, ok = parseID(b[start:])
	} else if h.pid, ok = parseID(b[start:slash]); ok {
		h.tid, ok = parseID(b[slash+1:])
	}
	return start, ok
}

// eventOf splits what stands after the time: perhaps a period, the event, fields.
func (h *header) eventOf(b []byte) bool {
	end := tokenEnd(b)
	if _, period := parseDec(b[:end]); period {
		b = b[skipBlanks(b, end):]
		end = tokenEnd(b)
	}
	if bytes.HasPrefix(b, []byte("PERF_RECORD_")) {
		h.event, h.rest = b, b
		return true
	}
	// Events of the processor have no system: cycles:. They are no use, but no
	// mistake; without ids a line must show more of what it is.
	system := bytes.IndexByte(b[:end], ':')
	if system <= 0 || b[end-1] != ':' || !h.thread && system == end-1 {
		return false
	}
	h.event, h.rest = b[:end-1], b[skipBlanks(b, end):]
	return true
}

// tokenEnd is where the first word of b ends.
func tokenEnd(b []byte) int {
	if i := bytes.IndexByte(b, ' '); i >= 0 {
		return i
	}
	return len(b)
}

// skipBlanks is where text goes on from b[i], len(b) at the end.
func skipBlanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	return i
}

// skipBlanksBack is where text before b[i] ends.
func skipBlanksBack(b []byte, i int) int {
	for i > 0 && b[i-1] == ' ' {
		i--
	}
	return i
}
