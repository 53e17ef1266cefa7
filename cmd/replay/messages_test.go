package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/replay/replay/ingest"
	"github.com/replay/replay/traces/tracetest"
)

// TestMessages shows what the program says to each kind of bad input and wrong
// use. None may print a result or leave a file behind.
func TestMessages(t *testing.T) {
	inFolder(t)
	whole, err := os.ReadFile("app.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty":             nil,
		"notes.txt":         []byte("hello there, this is no trace\n"),
		"truncated.parquet": whole[:len(whole)-100],
		"headonly.parquet":  whole[:8],
		"short.data":        []byte("PERFILE2 and no more"),
		"bad.txt":           []byte("# replay-trace 1\n12 hit addr=0x10\n13 hat addr=0x10\n"),
		"bad.yaml":          []byte("name: [\n"),
		"bad.json":          []byte("{\n}\n"),
		"nohits.txt":        []byte("# replay-trace 1\n12 munmap dur_ns=100 addr=0x1000 len=0x1000 ret=0\n"),
		"nolocks.txt":       []byte("# replay-trace 1\n12 hit cpu=0 pid=1 tid=1 addr=0x10 probe=a:b\n"),
	} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	succeed(t, "run", "-q", "-o", "app.run", "app.parquet")
	before := listing(t)
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(wrongCalls), "\n") {
		args := strings.Fields(line)
		r := call(t, args...)
		if r.code == exitOK || r.stdout != "" || r.stderr == "" {
			t.Errorf("replay %s: exit %d, %d bytes of output, %d of message", line, r.code, len(r.stdout), len(r.stderr))
		}
		b.WriteString(transcript(r, args...))
	}
	tracetest.Golden(t, filepath.Join(testdata, "messages.golden"), strings.ReplaceAll(b.String(), ingest.FormatList(), "FORMATS"))
	if after := listing(t); after != before {
		t.Errorf("files before:\n%s\nand after:\n%s", before, after)
	}
}

const wrongCalls = `
bogus
help bogus
info
info app.parquet lossy.parquet
info --bogus app.parquet
info missing.parquet
info tmp
info empty
info notes.txt
info truncated.parquet
info headonly.parquet
info short.data
info -
info --max-loss lots app.parquet
info --max-loss 1.5 app.parquet
info --on-bad-record maybe notes.txt
info --format morse notes.txt
ingest
ingest missing.data
ingest empty
ingest -o out.parquet notes.txt
ingest -o app.parquet lossy.parquet
ingest -o tmp lossy.parquet
ingest -o nowhere/out.parquet lossy.parquet
ingest app.parquet missing.data
ingest tmp
run
run missing.parquet
run notes.txt
run truncated.parquet
run --resolver magic app.parquet
run --timing sometimes app.parquet
run --placement anywhere app.parquet
run --speed fast app.parquet
run --speed 0 app.parquet
run --cpus none app.parquet
run --cpus 100000 app.parquet
run --cpus 1000 app.parquet
run --clone 0 app.parquet
run --resolver locked,locked app.parquet
run -o new.run nohits.txt
run -o nowhere/new.run app.parquet
validate nohits.txt
validate nolocks.txt
validate --using syscalls nolocks.txt
validate --using luck app.parquet
calibrate
calibrate nolocks.txt
calibrate -o app.parquet app.parquet
calibrate -o nowhere/m.yaml app.parquet
calibrate --bench bad.yaml
prove missing.case
prove notes.txt
prove range --mutate nonsense
prove --mutate rmb+
prove --resolver magic
prove --resolver ideal
prove --memory strong
prove --states 0
prove --schedule reader
prove range --resolver locked --memory sc --schedule nobody
prove range --resolver locked --memory sc --schedule reader:9
prove --resolver locked --mutate rmb
prove --promela
prove range --promela --memory weak
prove backing --litmus
bench app.parquet
bench --cpus 0
bench --cpus 1000
bench --resolver magic
bench --machine nosuch
capture
capture -- true
capture --probe app:f
capture --tool strace --probe app:f -- true
run --machine nosuch app.parquet
run --machine nosuch.yaml app.parquet
run --machine bad.yaml app.parquet
run --machine empty app.parquet
run -o app.run app.parquet
run -o tmp/.. app.parquet
run --color sometimes -o new.run app.parquet
dump
dump --json empty
dump empty
dump truncated.parquet
dump bad.txt
slice
slice app.parquet
slice -o out.parquet missing.parquet
slice -o out.parquet --max-loss lots app.parquet
slice -o out.parquet --format morse app.parquet
calibrate --max-loss 0 lossy.parquet
slice -o lossy.parquet app.parquet
slice -o out.parquet --time 1 app.parquet
slice -o out.parquet --time 2s,1s app.parquet
slice -o out.parquet --time x,y app.parquet
slice -o out.parquet --pid 77 app.parquet
slice -o out.parquet --pid -1 app.parquet
check
check app.run
check --baseline missing.json app.run
check --baseline bad.json app.run
check --baseline new.json --update bad.json
check --baseline new.json --update missing.run
check --baseline new.json --limit nonsense --update app.run
check --baseline new.json --limits missing app.run
check --baseline new.json --limits notes.txt app.run
check --baseline new.json --alpha 2 app.run
check --baseline new.json --to html=x app.run
check --baseline new.json --to junit app.run
check --baseline new.json --to junit=- --to github=- app.run
check --baseline new.json --json --to junit=- app.run
sweep
sweep missing.parquet
sweep -o app.run app.parquet
sweep --cpus 0 app.parquet
sweep --cpus 2,900 app.parquet
sweep --clone 1,9999 app.parquet
sweep --speed 1,x app.parquet
sweep --seed 1,-1 app.parquet
sweep --seed 1,1 app.parquet
sweep --layout flat app.parquet
sweep --placement up app.parquet
sweep --machine nosuch app.parquet
sweep --resolver nosuch app.parquet
sweep --what-if munmap app.parquet
whatif
whatif --resolver locked,ideal app.parquet
whatif --what-if nonsense app.parquet
whatif --cpus 600 app.parquet
whatif nolocks.txt
diff app.run
diff app.run missing.run
diff --per hour app.run app.run
diff --clone 2 app.run app.run
diff --cpus 4000 app.run app.parquet
machines nosuch
machines bad.yaml
machines notes.txt
completion
completion fish
`

// TestUnreadable opens files as a user who may not. Root may read everything, so
// the test gives that up, for its thread alone.
func TestUnreadable(t *testing.T) {
	inFolder(t)
	if err := os.Chmod("app.parquet", 0); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if os.Geteuid() == 0 {
		const root, nobody = 0, 65534
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		setFileUser(nobody)
		defer setFileUser(root)
	}
	if f, err := os.Open("app.parquet"); err == nil {
		f.Close()
		t.Skip("this user reads files whatever their mode")
	}
	for _, line := range []string{"info app.parquet", "run app.parquet", "ingest -o tmp/x.parquet app.parquet"} {
		args := strings.Fields(line)
		r := call(t, args...)
		if r.code != exitUsage {
			t.Errorf("replay %s: exit %d, want %d", line, r.code, exitUsage)
		}
		b.WriteString(transcript(r, args...))
	}
	b.WriteString(readOnly(t))
	setFileUser(os.Geteuid()) // golden files are the tester's
	tracetest.Golden(t, filepath.Join(testdata, "unreadable.golden"), b.String())
}

// readOnly writes into folders that may not be written to, which has to fail before
// the work is done, and with a word on what to do.
func readOnly(t *testing.T) string {
	setFileUser(os.Geteuid())
	writeTrace(t, "open.parquet", smallTrace(), smallMeta)
	succeed(t, "run", "-q", "-o", "open.run", "open.parquet")
	if os.Geteuid() == 0 {
		setFileUser(65534)
	} else if err := os.Chmod(".", 0o555); err != nil {
		t.Fatal(err)
	} else {
		defer os.Chmod(".", 0o755)
	}
	var b strings.Builder
	for _, line := range []string{
		"run open.parquet", "run -f -o open.run open.parquet", "ingest -o new.parquet open.parquet", "slice -o new.parquet open.parquet",
		"calibrate -o new.yaml open.parquet", "check --update --baseline new.json open.run",
	} {
		args := strings.Fields(line)
		r := call(t, args...)
		if r.code != exitUsage || r.stdout != "" {
			t.Errorf("replay %s: exit %d, want %d, and %d bytes of output", line, r.code, exitUsage, len(r.stdout))
		}
		b.WriteString(temporary.ReplaceAllString(transcript(r, args...), "TEMPORARY"))
	}
	return b.String()
}

// temporary is the name of a trace until it is whole.
var temporary = regexp.MustCompile(`\.new\.parquet\.[0-9.]+tmp`)

// setFileUser makes this thread open files as that user, if it may.
func setFileUser(uid int) { unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0) }
