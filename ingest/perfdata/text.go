package perfdata

import "bytes"

// textShown is how much is kept of the text in a pipe.
const textShown = 80

// skipText moves past text that stands in a pipe where a record should: perf record -o -
// says on standard error what it did (2>&1), and the recorded program has the same
// standard output.
func (r *Reader) skipText() {
	for skipped := false; ; skipped = true {
		if head := r.in.peek(recordHeaderSize); len(head) < 2 && !skipped || len(head) >= 2 && head[1] == 0 {
			return
		}
		n := textBefore(r.in.peek(recordSizeMax))
		if n == 0 {
			return
		}
		r.takeText(n)
	}
}

// takeText moves past n bytes of text, and notes them.
func (r *Reader) takeText(n int) {
	text := r.in.peek(n)
	if room := textShown - len(r.info.TextBegin); room > 0 {
		r.info.TextBegin += string(bytes.ToValidUTF8(text[:min(n, room)], []byte("?")))
	}
	r.info.Text += int64(n)
	r.in.take(n)
}

// pipeMagic begins what perf record -o - writes: a magic and the header's size.
var pipeMagic = []byte("PERFILE2\x10\x00\x00\x00\x00\x00\x00\x00")

// PipeAfterText is where a pipe's header is in an input that begins with text, as perf's
// warnings before a recording are (2>&1); 0: at the beginning, or nowhere.
func PipeAfterText(prefix []byte) int {
	n := bytes.Index(prefix, pipeMagic)
	if n <= 0 || !isText(prefix[:n]) {
		return 0
	}
	return n
}

// textBefore is the length of the text that b begins with. A record ends it, whose type
// is small: its second byte to its fourth are zero, and no text is. b ends where the
// file does, or is recordSizeMax long.
func textBefore(b []byte) int {
	n := len(b)
	if zero := bytes.IndexByte(b, 0); zero >= 0 {
		if !bytes.HasPrefix([]byte{0, 0, 0}, b[zero:min(zero+3, n)]) {
			return 0
		}
		n = zero - 1
	} else if n == recordSizeMax {
		n-- // may be a record's first byte
	}
	if !isText(b[:n]) {
		return 0
	}
	return n
}

func isText(b []byte) bool {
	return !bytes.ContainsFunc(b, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' && c != '\r' && c != '\x1b' })
}
