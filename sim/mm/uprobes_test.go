package mm

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestUprobes compares with a table of counts.
func TestUprobes(t *testing.T) {
	again := 0
	rapid.Check(t, func(t *rapid.T) {
		var u Uprobes
		consumers := make(map[place]int)
		ids := make(map[place]ProbeID)
		draw := func(t *rapid.T) place {
			return place{FileID(rapid.IntRange(1, 3).Draw(t, "file")), rapid.Uint64Range(0, 9).Draw(t, "offset") * 16}
		}
		version, tree := u.Version(), slices.Clone(u.tree)
		t.Repeat(map[string]func(*rapid.T){
			"register": func(t *rapid.T) {
				at := draw(t)
				id := u.Register(at.file, at.offset)
				if old, known := ids[at]; known && old != id {
					t.Fatalf("probe %d at %+v became %d", old, at, id)
				} else if known && consumers[at] == 0 {
					again++
				}
				ids[at] = id
				consumers[at]++
			},
			"unregister": func(t *rapid.T) {
				at := draw(t)
				if ok := u.Unregister(at.file, at.offset); ok != (consumers[at] > 0) {
					t.Fatalf("unregister %+v: %v with %d consumers", at, ok, consumers[at])
				} else if ok {
					consumers[at]--
				}
			},
			"": func(t *rapid.T) {
				checkUprobes(t, &u, consumers, ids)
				if now := u.Version(); now < version || now > version+1 || (now > version) != !slices.Equal(tree, u.tree) {
					t.Fatalf("from %+v to %+v the version went from %d to %d", tree, u.tree, version, now)
				}
				version, tree = u.Version(), slices.Clone(u.tree)
			},
		})
	})
	if again == 0 && !testing.Short() { // which runs a fifth of the sequences
		t.Error("never happened: a place was probed again")
	}
}

// checkDescent goes down the tree as a lookup does: the way ends at the uprobe, or at Last.
func checkDescent(t *rapid.T, u *Uprobes, at place) {
	last := NoProbe
	for id := u.Root(); id != NoProbe; {
		last = id
		file, offset := u.Place(id)
		here := place{file, offset}
		if here == at {
			break
		}
		id = u.Child(id, here.less(at))
	}
	found, ok := u.Find(at.file, at.offset)
	if want := u.Last(at.file, at.offset); last != want || ok && last != found {
		t.Fatalf("down to %+v the tree ends at %d, want %d (found %d, %v)", at, last, want, found, ok)
	}
}

func checkUprobes(t *rapid.T, u *Uprobes, consumers map[place]int, ids map[place]ProbeID) {
	live := 0
	for f := FileID(1); f <= 3; f++ {
		within := 0
		for offset := uint64(0); offset < 160; offset += 16 {
			at := place{f, offset}
			checkDescent(t, u, at)
			id, ok := u.Find(f, offset)
			if ok != (consumers[at] > 0) || ok && id != ids[at] || !ok && id != NoProbe {
				t.Fatalf("found %d, %v at %+v with %d consumers", id, ok, at, consumers[at])
			}
			if ok {
				within++
			}
			if known, is := ids[at]; is && u.Consumers(known) != consumers[at] {
				t.Fatalf("%d consumers at %+v, want %d", u.Consumers(known), at, consumers[at])
			}
			if last := u.Last(f, offset); ok && last != id || !ok && !neighbours(consumers, at, ids, last) {
				t.Fatalf("a lookup of %+v, found %v, ends at probe %d", at, ok, last)
			}
			if n := u.Within(f, 0, offset+1); n != within {
				t.Fatalf("%d uprobes up to %#x, want %d", n, offset, within)
			}
		}
		live += within
	}
	if live != u.Len() || len(ids) != u.Known() || u.Within(1, 32, 32) != 0 || u.Within(1, 32, 0) != 0 {
		t.Fatalf("%d uprobes of %d, want %d of %d", u.Len(), u.Known(), live, len(ids))
	}
	for at, id := range ids {
		if f, offset := u.Place(id); f != at.file || offset != at.offset {
			t.Fatalf("probe %d is at %d, %#x, want %+v", id, f, offset, at)
		}
		if l, r := u.Child(id, false), u.Child(id, true); consumers[at] == 0 && (l != NoProbe || r != NoProbe) {
			t.Fatalf("probe %d, which is not in the tree, has %d and %d below it", id, l, r)
		}
	}
}

// neighbours reports whether no live uprobe is between a place without one and a probe:
// what a search in an ordered tree ends at. NoProbe is right where there is none at all.
func neighbours(consumers map[place]int, at place, ids map[place]ProbeID, last ProbeID) bool {
	low, high, live := NoProbe, NoProbe, 0
	for _, other := range slices.SortedFunc(maps.Keys(consumers), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.offset, b.offset))
	}) {
		switch {
		case consumers[other] == 0:
			continue
		case other.less(at):
			low = ids[other]
		case high == NoProbe:
			high = ids[other]
		}
		live++
	}
	return live == 0 && last == NoProbe || live > 0 && last != NoProbe && (last == low || last == high)
}

func TestFiles(t *testing.T) {
	libc := File{Dev: Dev(8, 1), Inode: 42, Gen: 7, Path: "/lib/libc.so.6"}
	for _, test := range []struct {
		name string
		in   []File
		want []FileID
		last File // identity of the last
	}{
		{"anonymous", []File{{}, {Path: "[heap]"}, {Path: "//anon"}, {Dev: 1, Path: "[stack]"}}, []FileID{0, 0, 0, 0}, File{}},
		{"same", []File{libc, libc}, []FileID{1, 1}, libc},
		{"other device", []File{libc, {Dev(8, 2), 42, 7, "/lib/libc.so.6"}}, []FileID{1, 2}, File{Dev(8, 2), 42, 7, "/lib/libc.so.6"}},
		{"hard link", []File{libc, {Dev(8, 1), 42, 7, "/lib/libc-2.36.so"}, {Path: "/lib/libc-2.36.so"}}, []FileID{1, 1, 1}, libc},
		{"inode used again", []File{libc, {Dev(8, 1), 42, 8, "/tmp/x"}, libc}, []FileID{1, 2, 1}, libc},
		{"generation learnt", []File{{Dev(8, 1), 42, 0, "/lib/libc.so.6"}, libc}, []FileID{1, 1}, libc},
		{"generation unknown", []File{libc, {Dev(8, 1), 42, 0, ""}}, []FileID{1, 1}, libc},
		{"generation unknown of two", []File{libc, {Dev(8, 1), 42, 8, "/tmp/x"}, {Dev(8, 1), 42, 0, ""}}, []FileID{1, 2, 2}, File{Dev(8, 1), 42, 8, "/tmp/x"}},
		{"path alone", []File{{Path: "/a"}, {Path: "/b"}, {Path: "/a"}}, []FileID{1, 2, 1}, File{Path: "/a"}},
		{"inode learnt", []File{{Path: libc.Path}, libc, {Path: libc.Path}}, []FileID{1, 1, 1}, libc},
		{"path of a known inode", []File{libc, {Path: libc.Path}}, []FileID{1, 1}, libc},
		{"path learnt", []File{{Dev(8, 1), 42, 7, ""}, libc}, []FileID{1, 1}, libc},
		{"path taken over", []File{libc, {Dev(8, 1), 99, 1, libc.Path}, {Path: libc.Path}}, []FileID{1, 2, 1}, libc},
	} {
		t.Run(test.name, func(t *testing.T) {
			var files Files
			var last FileID
			for i, f := range test.in {
				if last = files.ID(f); last != test.want[i] {
					t.Errorf("file %d is %d, want %d", i, last, test.want[i])
				}
			}
			if got := files.File(last); got != test.last {
				t.Errorf("the last is %+v, want %+v", got, test.last)
			}
			most := FileID(0)
			for _, id := range test.want {
				most = max(most, id)
			}
			if files.Len() != int(most) {
				t.Errorf("%d files, want %d", files.Len(), most)
			}
		})
	}
}

func TestWrongID(t *testing.T) {
	for name, do := range map[string]func(){
		"file":  func() { new(Files).File(1) },
		"probe": func() { new(Uprobes).Place(0) },
		"no probe": func() {
			var u Uprobes
			u.Register(1, 0)
			u.Place(NoProbe)
		},
		"next file": func() {
			var f Files
			f.File(f.ID(File{Path: "/a"}) + 1)
		},
		"next probe": func() {
			var u Uprobes
			u.Place(u.Register(1, 0) + 1)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of nowhere is accepted", name)
				}
			}()
			do()
		}()
	}
}
