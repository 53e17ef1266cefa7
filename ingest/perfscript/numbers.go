package perfscript

import "bytes"

func isDigit(c byte) bool { return c-'0' <= 9 }

func isHex(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' }

// parseDec reads a decimal number without a sign.
func parseDec(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	n := int64(0)
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// parseHex reads a number in hexadecimal, without 0x.
func parseHex(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 16 {
		return 0, false
	}
	n := uint64(0)
	for _, c := range b {
		switch {
		case isDigit(c):
			n = n<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// parseNumber reads a decimal number, negative too, or one in hexadecimal with 0x.
func parseNumber(b []byte) (uint64, bool) {
	if len(b) > 2 && b[0] == '0' && b[1] == 'x' {
		return parseHex(b[2:])
	}
	if len(b) > 0 && b[0] == '-' {
		n, ok := parseDec(b[1:])
		return uint64(-n), ok
	}
	n, ok := parseDec(b)
	return uint64(n), ok
}

// parseValue reads a number, or one of the names that mmap_lock events print for
// a bool.
func parseValue(b []byte) (uint64, bool) {
	switch string(b) {
	case "true":
		return 1, true
	case "false":
		return 0, true
	}
	return parseNumber(b)
}

// parseID reads a process or thread, which is -1 for the kernel itself.
func parseID(b []byte) (int64, bool) {
	if bytes.Equal(b, []byte("-1")) {
		return -1, true
	}
	n, ok := parseDec(b)
	return n, ok && n < 1<<31
}
