package main

import (
	"regexp"
	"testing"
)

func TestVersion(t *testing.T) {
	if got := succeed(t, "--version"); !regexp.MustCompile(`^replay version \S.*, go1\.\d+\S*\n$`).MatchString(got) {
		t.Errorf("%q", got)
	}
	inFolder(t)
	if r := call(t, "info", "-v", "app.parquet"); r.code != exitOK {
		t.Errorf("-v is not --verbose any more: exit %d, %s", r.code, r.stderr)
	}
}
