package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/replay/replay/traces/tracetest"
)

// The examples of the READMEs run, and print all that is shown there; -update rewrites
// what is shown.
func TestReadme(t *testing.T) {
	ran := 0
	for _, name := range []string{"README.md", "reports/README.md"} {
		path, err := filepath.Abs(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for _, e := range readmeExamples(text) {
			args, ok := strings.CutPrefix(e.command, "go run ./cmd/replay ")
			if !ok {
				continue // the test command itself
			}
			ran++
			block := "$ " + e.command + "\n"
			text = strings.Replace(text, block+strings.Join(append(e.output, ""), "\n"), block+readmeOutput(t, args), 1)
		}
		tracetest.Golden(t, path, text)
	}
	if ran < 3 {
		t.Errorf("vacuous: %d examples ran", ran)
	}
}

// readmeOutput is what a command prints, the first lines where it ends in "| head -N".
func readmeOutput(t *testing.T, command string) string {
	t.Helper()
	command, head, cut := strings.Cut(command, " | head -")
	t.Chdir("../..")
	defer t.Chdir("cmd/replay")
	fields := strings.Fields(command)
	for i := range fields {
		if fields[i] == "demo.run" {
			fields[i] = filepath.Join(t.TempDir(), "demo.run")
		}
	}
	out := succeed(t, fields...)
	if !cut {
		return out
	}
	n, err := strconv.Atoi(head)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(out, "\n")
	return strings.Join(lines[:min(n, len(lines))], "")
}

type readmeExample struct {
	command string
	output  []string
}

// readmeExamples are the console blocks of a Markdown text.
func readmeExamples(text string) []readmeExample {
	var examples []readmeExample
	in := false
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case line == "```console":
			in = true
		case line == "```":
			in = false
		case !in:
		case strings.HasPrefix(line, "$ "):
			examples = append(examples, readmeExample{command: line[2:]})
		default:
			e := &examples[len(examples)-1]
			e.output = append(e.output, line)
		}
	}
	return examples
}
