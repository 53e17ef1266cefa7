package sim

import (
	"fmt"
	"runtime/debug"
)

// Fault is a mistake of this package, or of what it was given: the machine came into a
// state that cannot be, and stopped there.
type Fault struct {
	At    Time
	Task  int32  // id of the thread whose turn it was
	What  string // such as an answer that the oracle refuses
	Stack []byte // of the host's goroutine
}

func (f *Fault) Error() string { return "a fault of the simulator: " + f.What }

// caught turns a panic into an error. It is deferred.
func (s *System) caught(err *error) {
	if p := recover(); p != nil {
		*err = &Fault{At: s.now, Task: int32(s.turn.order >> threadShift & (maxThreads - 1)), What: fmt.Sprint(p), Stack: debug.Stack()}
	}
}
