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
	// Skippable says that it is one record that is bad: the next call of
	// Reader.Next goes on behind it. After all other errors, Next repeats them.
	Skippable bool
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:@%d: %s: %v: %s", e.File, e.Offset, e.What, e.Err, e.Want)
}

func (e *Error) Unwrap() error { return e.Err }

// Skippable reports whether Next goes on behind what err is about.
func Skippable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Skippable
}

func (r *Reader) fail(offset int64, what string, err error, want string, args ...any) error {
	return &Error{File: r.name, Offset: offset, What: what, Err: err, Want: fmt.Sprintf(want, args...)}
}

// damaged is the error for a record that makes no sense inside its bounds.
func (r *Reader) damaged(rec *Record, want string, args ...any) error {
	return &Error{
		File: r.name, Offset: rec.Offset, What: rec.Type.String(), Err: ErrCorrupt,
		Want: fmt.Sprintf(want, args...), Skippable: true,
	}
}

// readError is the failure of the file system or of the pipe.
func (r *Reader) readError(offset int64, what string, err error) error {
	return fmt.Errorf("%s:@%d: read %s: %w", r.name, offset, what, err)
}
