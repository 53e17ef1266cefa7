package capture

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A function of C++ is found by its name in the source, or by that of its symbol.
func TestMangled(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "names")
	if out, err := exec.Command("c++", "-O1", "-o", bin, "testdata/names.cc").CombinedOutput(); err != nil {
		t.Skipf("no C++ compiler: %v %s", err, out)
	}
	for name, symbol := range map[string]string{
		"ns::A::f":                             "_ZN2ns1A1fEi",
		"ns::A::f(int)":                        "_ZN2ns1A1fEi",
		"_ZN2ns1A1fEi":                         "_ZN2ns1A1fEi",
		"ns::A::over(long)":                    "_ZN2ns1A4overEl",
		"ns::A::g":                             "_ZN2ns1A1gIiEET_S2_",
		"ns::A::g<int>":                        "_ZN2ns1A1gIiEET_S2_",
		"int ns::A::g<int>(int)":               "_ZN2ns1A1gIiEET_S2_",
		"ns::A::operator<":                     "_ZNK2ns1AltERKS0_",
		"ns::A::operator<(ns::A const&) const": "_ZNK2ns1AltERKS0_",
	} {
		got, err := sites(t, bin, name)
		if err != nil || len(got) != 1 || got[0].Symbol != symbol {
			t.Errorf("%s: %+v, %v; want %s", name, got, err, symbol)
		}
	}
	if got, err := sites(t, bin, "ns::A::~A"); err != nil || len(got) != 1 {
		t.Errorf("a destructor has two symbols at one place: %+v, %v", got, err)
	}
	for name, says := range map[string]string{
		"ns::A::over": "there are 2 functions named ns::A::over: _ZN2ns1A4over",
		"A::f":        "there is _ZN2ns1A1fEi",
		"ns::A::h":    "function ns::A::h not found",
	} {
		if got, err := sites(t, bin, name); err == nil || !strings.Contains(err.Error(), says) || errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %+v, %v; want %q", name, got, err, says)
		}
	}
}
