package sim

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestWaitlistAgainstASlice compares with one list in order of arrival, which is searched
// from its begin.
func TestWaitlistAgainstASlice(t *testing.T) {
	m := testMachine()
	m.Sockets, m.CoresPerSocket = 3, 2 // CPUs 0 to 5 are threads of six cores, 6 to 11 their siblings
	topo, err := NewTopology(m, 0)
	if err != nil {
		t.Fatal(err)
	}
	took := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		var pool waitPool
		type one struct {
			*waitlist
			naive []request
		}
		lists := []*one{{waitlist: newWaitlist(3, 6)}, {waitlist: newWaitlist(3, 6)}} // one pool
		most := 0
		core := func(r request) int32 { return topo.cpus[r.cpu].core }
		for n := range rapid.IntRange(1, 200).Draw(t, "steps") {
			q := lists[rapid.IntRange(0, 1).Draw(t, "list")]
			if len(q.naive) == 0 || rapid.Bool().Draw(t, "push") {
				r := request{cpu: int32(rapid.IntRange(0, 11).Draw(t, "CPU")), since: Time(n)}
				q.push(&pool, r, topo.cpus[r.cpu])
				q.naive = append(q.naive, r)
				most = max(most, len(lists[0].naive)+len(lists[1].naive))
				continue
			}
			here := topo.cpus[rapid.IntRange(0, 11).Draw(t, "here")]
			own := slices.IndexFunc(q.naive, func(r request) bool { return core(r) == here.core })
			local := slices.IndexFunc(q.naive, func(r request) bool {
				return core(r) != here.core && topo.cpus[r.cpu].socket == here.socket
			})
			at := func(id int32) int {
				if id == 0 {
					return -1
				}
				return slices.Index(q.naive, pool.entries[id].request)
			}
			if got := [3]int{at(q.oldest(pool)), at(q.cores[here.core].first), at(q.local(pool, here))}; got != [3]int{0, own, local} {
				t.Fatalf("oldest, own and local are requests %v, want 0, %d, %d of %+v", got, own, local, q.naive)
			}
			what, id, i := "oldest", q.oldest(pool), 0
			if pick := rapid.IntRange(0, 2).Draw(t, "which"); pick == 1 && own >= 0 {
				what, id, i = "own", q.cores[here.core].first, own
			} else if pick == 2 && local >= 0 {
				what, id, i = "local", q.local(pool, here), local
			}
			if i > 0 {
				took[what]++
			}
			if got := q.take(&pool, id, topo); got != q.naive[i] {
				t.Fatalf("took %+v, want %+v", got, q.naive[i])
			}
			q.naive = slices.Delete(q.naive, i, i+1)
			cores := map[int32]bool{}
			for _, r := range q.naive {
				cores[core(r)] = true
			}
			if q.n != len(q.naive) || q.waiting != int64(len(cores)) {
				t.Fatalf("%d requests of %d cores, want %d of %d", q.n, q.waiting, len(q.naive), len(cores))
			}
		}
		if len(pool.entries) > most+1 {
			t.Fatalf("%d entries for %d requests at a time: those taken are not used again", len(pool.entries), most)
		}
	})
	if took["own"] == 0 || took["local"] == 0 {
		t.Errorf("vacuous: %v were taken from the middle", took)
	}
}
