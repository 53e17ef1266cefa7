package capture

import (
	"fmt"
	"strings"

	"github.com/replay/replay/ingest/bpftrace"
)

// Script is the plan as commands of a shell, for a machine without this program.
// trace is what the recording is to be made into.
func (p *Plan) Script(trace string) string {
	var b strings.Builder
	fmt.Fprintln(&b, "# As root, where the probed files are the same as here.")
	fmt.Fprintln(&b, "trap : INT # Ctrl-C ends the recording; what follows it is done all the same")
	if p.options.Tool == BPFtrace {
		p.bpftraceScript(&b, trace)
	} else {
		p.perfScript(&b, trace)
	}
	return b.String()
}

func (p *Plan) perfScript(b *strings.Builder, trace string) {
	for i := range p.Definitions {
		d := &p.Definitions[i]
		fmt.Fprintf(b, "echo %s >> %s/%s\n", Quote(d.String()), mounts[0], d.file())
	}
	arrive := p.options.arrive()
	fmt.Fprintf(b, arriveScript, mounts[0], kprobeEvents, &arrive, arrive.Event())
	fmt.Fprintln(b, quoteAll(p.args[:2]), "$arrive", quoteAll(p.args[2:]))
	for i := range p.Definitions {
		d := &p.Definitions[i]
		fmt.Fprintf(b, "echo %s >> %s/%s\n", Quote(d.removal()), mounts[0], d.file())
	}
	fmt.Fprintf(b, "[ -z \"$arrive\" ] || echo %s >> %s/%s\n", arrive.removal(), mounts[0], kprobeEvents)
	fmt.Fprintf(b, "replay ingest -o %s %s\n", Quote(trace), Quote(p.options.Output))
}

// arriveScript adds the kprobe that tells when each hit arrived.
const arriveScript = `if [ -e %[1]s/%[2]s ]; then # when each hit arrives
  echo '%[3]s' >> %[1]s/%[2]s
  arrive='-e %[4]s'
fi
`

// bpftraceScript records as JSON, since only that tells where losses are.
func (p *Plan) bpftraceScript(b *strings.Builder, trace string) {
	output := Quote(p.options.Output)
	fmt.Fprintf(b, "cat > record.bt <<'END'\n%sEND\n", p.program)
	inputs := output
	if p.options.PID != 0 || p.options.All {
		fmt.Fprintf(b, "{ %s; } > maps.txt # the mappings that are there already\n", bpftrace.SnapshotCommand(p.options.PID))
		inputs = "maps.txt " + output
	}
	run := quoteAll(p.env) + " " + quoteAll(p.args) + " -o " + output + " record.bt"
	switch c := p.options.Command; {
	case len(c) > 0:
		fmt.Fprintf(b, holdScript, run, output, bpftrace.Prefix, quoteAll(c))
	case p.options.PID != 0:
		fmt.Fprintf(b, watchScript, run, p.options.PID)
	default:
		fmt.Fprintln(b, run)
	}
	fmt.Fprintf(b, "cat %s | replay ingest --format bpftrace-json -o %s -\n", inputs, Quote(trace))
}

// holdScript runs a program in a process that waits until all probes are there. What
// that does before it becomes the program is not recorded.
const holdScript = `mkfifo id ahead
{ read program < id; exec env %[1]s $program; } & recorder=$!
{ while kill -0 $recorder && ! grep -q '%[3]s script' %[2]s; do sleep 0.1; done 2> /dev/null
  kill -0 $recorder && echo > ahead || : > ahead; } &
sh -c 'echo $$ > id; read go < ahead && exec "$@"' sh %[4]s
sleep 2 # bpftrace drops what is in its buffers when it is interrupted
kill -INT $recorder
wait $recorder
rm id ahead
`

// watchScript records until a process ends.
const watchScript = `stop=
trap 'stop=1' INT
env %[1]s & recorder=$!
while [ -z "$stop" ] && kill -0 %[2]d && kill -0 $recorder; do sleep 0.1; done 2> /dev/null
sleep 2 # bpftrace drops what is in its buffers when it is interrupted
kill -INT $recorder
wait $recorder
`

func quoteAll(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = Quote(a)
	}
	return strings.Join(quoted, " ")
}

// Quote makes one word of a shell of s.
func Quote(s string) string {
	plain := func(r rune) bool { return r < 0x80 && isWord(byte(r)) || strings.ContainsRune("@%+=:,./-", r) }
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
