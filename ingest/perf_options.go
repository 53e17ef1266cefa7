package ingest

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/replay/replay/traces"
)

// recordOptions are those of perf record that leave out part of what ran, as far as no
// event's attribute tells of them. The last of each counts.
type recordOptions struct {
	pid, tid, cpus string
	all, later     bool     // -a; what comes later is left out
	filters        []filter // --filter
}

// filter keeps some occurrences of one event.
type filter struct{ event, text string }

// Options of perf record with a value, which may be the next argument (builtin-record.c).
// That of others is part of the same argument, if there is one.
const shortWithValue = "eptrCcoFmGDujk"

var longWithValue = map[string]bool{
	"event": true, "filter": true, "pid": true, "tid": true, "realtime": true, "cpu": true, "count": true, "output": true,
	"freq": true, "mmap-pages": true, "max-size": true, "call-graph": true, "cgroup": true, "delay": true, "uid": true,
	"branch-filter": true, "clockid": true, "proc-map-timeout": true, "switch-max-files": true, "affinity": true,
	"mmap-flush": true, "synth": true, "control": true, "clang-path": true, "clang-opt": true, "vmlinux": true,
}

// parseRecord reads the command line of perf record. It ends where the recorded
// program's own begins.
func parseRecord(args []string) recordOptions {
	var o recordOptions
	event := ""
	for len(args) > 0 && args[0] != "record" {
		args = args[1:]
	}
	value := func(own string, has bool) string {
		if !has && len(args) > 1 {
			args = args[1:]
			own = args[0]
		}
		return own
	}
	for ; len(args) > 0; args = args[1:] {
		switch arg := args[0]; {
		case arg == "record":
		case arg == "--" || !strings.HasPrefix(arg, "-"):
			return o
		case strings.HasPrefix(arg, "--"):
			name, own, has := strings.Cut(arg[2:], "=")
			if longWithValue[name] {
				own = value(own, has)
			}
			o.set(name, own, &event)
		default:
			for i, c := range arg[1:] {
				if strings.ContainsRune(shortWithValue, c) {
					o.set(string(c), value(arg[i+2:], len(arg) > i+2), &event)
					break
				}
				if strings.ContainsRune("ISz", c) { // the rest is its value
					break
				}
				o.set(string(c), "", &event)
			}
		}
	}
	return o
}

// set takes in an option. The event is the last one before it.
func (o *recordOptions) set(name, value string, event *string) {
	switch name {
	case "p", "pid":
		o.pid = value
	case "t", "tid":
		o.tid = value
	case "C", "cpu":
		o.cpus = value
	case "a", "all-cpus":
		o.all = true
	case "i", "no-inherit", "per-thread":
		o.later = true
	case "e", "event":
		*event = value
	case "filter":
		o.filters = append(o.filters, filter{lastEvent(*event), value})
	}
}

// recordedEvent is one that perf was told to record, and what its rows tell, "" for one of no
// use.
type recordedEvent struct{ name, tells string }

// unknown is what the recording cannot tell because of its options. Processes win over
// threads, and both over CPUs (target__validate). CPUs online are 0 where it is unknown.
func (o *recordOptions) unknown(online int, forked bool, events []recordedEvent) []traces.Unknown {
	var list []traces.Unknown
	writers := func(why, remedy string) {
		list = append(list, traces.Unknown{What: traces.UnknownWriters, Why: why, Remedy: remedy})
	}
	single := o.tid != "" && o.pid == ""
	switch cpus := countCPUs(o.cpus); {
	case single:
		writers(fmt.Sprintf("perf record -t %s recorded single threads: what others of their processes did to the address space is not in it", o.tid), "record the process with perf record -p")
	case o.pid == "" && o.cpus != "" && cpus > 0 && (cpus < online || online == 0):
		writers(fmt.Sprintf("perf record -C %s recorded some of the CPUs: what ran on others is not in it, neither hits nor changes of address spaces", o.cpus), "record with perf record -a")
	}
	if o.later && forked && (o.pid != "" || single || !o.all && o.cpus == "") {
		writers("perf record --no-inherit or --per-thread recorded no thread and no process that came later: neither their hits nor what they did to address spaces is in it", "leave that option out")
	}
	for _, f := range o.filters {
		told := map[string]bool{"": true}
		for _, ev := range events {
			if is, _ := path.Match(f.event, ev.name); is && !told[ev.tells] {
				told[ev.tells] = true
				list = append(list, traces.Unknown{
					What: ev.tells, Why: fmt.Sprintf("perf record --filter %q left some of %s out: how many there were is not known", f.text, f.event),
					Remedy: "record without --filter",
				})
			}
		}
	}
	return list
}

// eventTerms are those of an event, a:b/call-graph=fp,max-stack=16/.
var eventTerms = regexp.MustCompile(`/[^/]*/`)

// lastEvent is the last one of a list, to which perf applies a filter (set_filter of
// parse-events.c); it may be a pattern.
func lastEvent(list string) string {
	list = eventTerms.ReplaceAllString(list, "")
	list, _, _ = strings.Cut(list[strings.LastIndexByte(list, ',')+1:], "}")
	return strings.TrimLeft(list, "{")
}

// countCPUs counts those of a list, 0-3,8; 0 where it makes no sense.
func countCPUs(list string) int {
	n := 0
	for _, part := range strings.Split(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		b := a
		if isRange && err == nil {
			b, err = strconv.Atoi(to)
		}
		if err != nil || b < a {
			return 0
		}
		n += b - a + 1
	}
	return n
}
