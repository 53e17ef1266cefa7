package perfdata

import (
	"errors"
	"fmt"
)

// What can be wrong with a file.
var (
	ErrNotPerf     = errors.New("not a perf.data file")
	ErrTruncated   = errors.New("file ends too early")
	ErrCorrupt     = errors.New("corrupt file")
	ErrUnsupported = errors.New("unsupported file")
	ErrLimit       = errors.New("limit exceeded")
)

// Error is an error at a position of a file. It wraps one of the above.
type Error struct {
	File   string
	Offset int64  // in the file; in a compressed record: of that record
	What   string // the part of the file, such as "attribute section"
	Want   string // what was expected, and what to do
	Err    error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:@%d: %s: %v: %s", e.File, e.Offset, e.What, e.Err, e.Want)
}

func (e *Error) Unwrap() error { return e.Err }
