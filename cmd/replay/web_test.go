package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

// TestWeb serves a run until it is interrupted.
func TestWeb(t *testing.T) {
	inFolder(t)
	succeed(t, "run", "-q", "app.parquet")
	for _, args := range [][]string{
		{"web", "-http", ":0", "-no_browser", "app.parquet.run"},
		{"run", "--web", "--no-browser", "-o", "web.run", "app.parquet"},
	} {
		cmd, _ := program(t, args...)
		cmd.Stderr = nil
		pipe, err := cmd.StdoutPipe()
		if args[0] == "run" {
			pipe, err = cmd.StderrPipe() // standard output is the report's
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said, address := bufio.NewReader(pipe), ""
		for address == "" {
			line, err := said.ReadString('\n')
			if err != nil {
				t.Fatalf("%q: it ends without an address: %v", args, err)
			}
			if strings.HasPrefix(line, "http://127.0.0.1:") {
				address = strings.TrimSpace(line)
			}
		}
		resp, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(body), ".run") {
			t.Errorf("%q: %v\n%.300s", args, err, body)
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, said)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
			t.Errorf("%q: exit %d", args, code)
		}
	}
}

func TestWebRefuses(t *testing.T) {
	inFolder(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"web"}, "no folder of a run given"},
		{[]string{"web", "."}, "holds no run"},
		{[]string{"web", "app.parquet"}, "holds no run"},
		{[]string{"web", "nowhere"}, "no such folder"},
		{[]string{"run", "-http", ":0", "app.parquet"}, "-http is of --web"},
		{[]string{"run", "--web", "-http", "nonsense", "app.parquet"}, "want HOST:PORT"},
	} {
		if r := call(t, test.args...); r.code != exitUsage || !strings.Contains(r.stderr, test.want) || r.stdout != "" {
			t.Errorf("%q: exit %d, want %q: %s%s", test.args, r.code, test.want, r.stdout, r.stderr)
		}
	}
	if _, err := os.Stat("app.parquet.run"); err == nil {
		t.Error("a run was made")
	}
	succeed(t, "run", "-q", "app.parquet")
	if r := call(t, "web", "-http", "127.0.0.1:99999", "app.parquet.run"); r.code != exitUsage || !strings.Contains(r.stderr, "want 0 to 65535") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}
