package machines

import (
	"fmt"
	"os"
	"testing"
)

func TestZZ(t *testing.T) {
	var ps []*Profile
	for _, n := range Names() {
		p, err := Load(n)
		if err != nil {
			t.Error(err)
			continue
		}
		ps = append(ps, p)
		q, err := Parse("rt", p.YAML())
		if err != nil {
			t.Error(err)
		}
		if string(q.YAML()) != string(p.YAML()) {
			t.Error("rt")
		}
	}
	WriteList(os.Stdout, ps)
	ps[len(ps)-1].WriteTable(os.Stdout)
	fmt.Println(string(ps[0].YAML()))
}
