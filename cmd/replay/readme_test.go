package main

import (
	"os"
	"strings"
	"testing"
)

// The examples of the README run, and their output has the lines shown there, in
// that order.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := readmeExamples(string(data))
	ran := 0
	for _, e := range examples {
		args, ok := strings.CutPrefix(e.command, "go run ./cmd/replay ")
		if !ok {
			continue // the test command itself
		}
		ran++
		t.Chdir("../..")
		out := t.TempDir()
		fields := strings.Fields(args)
		for i := range fields {
			if fields[i] == "demo.run" {
				fields[i] = out + "/demo.run"
			}
		}
		var stdout, stderr strings.Builder
		if code := run(t.Context(), fields, strings.NewReader(""), &stdout, &stderr); code != 0 {
			t.Fatalf("%s: exit code %d\n%s", e.command, code, stderr.String())
		}
		rest := stdout.String()
		for _, line := range e.output {
			_, after, found := strings.Cut(rest, line)
			if !found {
				t.Errorf("%s: the README shows\n%s\nwhich is not in the output, or not in that order:\n%s", e.command, line, stdout.String())
				break
			}
			rest = after
		}
		t.Chdir("cmd/replay")
	}
	if ran < 2 {
		t.Errorf("vacuous: %d examples ran", ran)
	}
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
