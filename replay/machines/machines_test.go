package machines

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/replay/replay/sim"
)

// Every built-in profile loads, makes a machine, cites a source for each figure,
// and reads back from what it prints.
func TestBuiltins(t *testing.T) {
	names := Names()
	for _, want := range []string{"epyc-7742x2", "epyc-7r13x2", "epyc-9274fx2", "generic", "graviton3", "xeon-6138x2"} {
		if !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("no built-in profile %s", want)
		}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			p, err := Load(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sim.NewTopology(&p.Machine, 0); err != nil {
				t.Error(err)
			}
			for i := range figures {
				f := &figures[i]
				if f.codec.format(p) != nil && p.Cite(f.path()).Source == "" {
					t.Errorf("%s has no source", f.path())
				}
			}
			again, err := Parse("printed", p.YAML())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(p, again, cmp.AllowUnexported(Profile{})); diff != "" {
				t.Errorf("the printed profile reads back otherwise:\n%s", diff)
			}
		})
	}
}

// A profile that is wrong is refused with the position of what is wrong.
func TestBadProfiles(t *testing.T) {
	generic, err := profiles.ReadFile("profiles/generic.yaml")
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, now string) string {
		if !bytes.Contains(generic, []byte(old)) {
			t.Fatalf("generic.yaml has no %q", old)
		}
		return strings.Replace(string(generic), old, now, 1)
	}
	tests := []struct{ name, content, says string }{
		{"empty", "", "empty"},
		{"no mapping", "- 1\n- 2\n", "want a mapping"},
		{"misspelt figure", replace("rmw_cycles:", "rwm_cycles:"), "rwm_cycles"},
		{"no unit", replace("transfer_remote: {value: 135 ns", "transfer_remote: {value: 135"), "135"},
		{"no source", replace("load_cycles: {value: 4, source: anandtech-14694}", "load_cycles: {value: 4}"), "source"},
		{"too many CPUs", replace("cores_per_socket: {value: 128", "cores_per_socket: {value: 4096"), "CPUs"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bad.yaml")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path)
			if err == nil || !strings.Contains(err.Error(), "bad.yaml") || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v: want the file and %q", err, test.says)
			}
		})
	}
	if _, err := Load("no-such-machine"); err == nil || !strings.Contains(err.Error(), "xeon-6138x2") {
		t.Errorf("%v: want the list of names", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"generic", "xeon-6138x2"} {
		data, err := profiles.ReadFile("profiles/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("machine: x\nbased_on: generic\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse("fuzz", data)
		if (p == nil) == (err == nil) {
			t.Fatalf("profile %v and error %v", p, err)
		}
	})
}

// Every figure is in the digest, and nothing else is.
func TestDigest(t *testing.T) {
	base, err := Load("xeon-6138x2")
	if err != nil {
		t.Fatal(err)
	}
	p := base.Clone()
	p.Name, p.About = "mine", "of another name"
	p.SetCite("line.rmw_cycles", Cite{Key: "me", Source: "measured"})
	if p.Digest() != base.Digest() || len(base.Digest()) != 16 {
		t.Errorf("digest %s became %s by its name and sources", base.Digest(), p.Digest())
	}
	seen := map[string]bool{base.Digest(): true}
	for _, change := range []func(*Profile){
		func(p *Profile) { p.Line.RMWCycles++ }, func(p *Profile) { p.Turbo[0].KHz++ }, func(p *Profile) { p.Recorder.HitLag++ },
		func(p *Profile) { p.Sections["munmap"] = KindModel{1, 2} }, func(p *Profile) { p.Layout++ }, func(p *Profile) { p.CoresPerSocket++ },
	} {
		p := base.Clone()
		change(p)
		if seen[p.Digest()] {
			t.Error("a figure is not in the digest")
		}
		seen[p.Digest()] = true
	}
}
