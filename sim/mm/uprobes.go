package mm

import "fmt"

// ProbeID names a uprobe: a place in a file. It is small, dense, and stays the
// same when the place is probed again later.
type ProbeID int32

// NoProbe is what lookups return when they find nothing.
const NoProbe ProbeID = -1

// place is the key of uprobes_tree. The kernel orders by the inode's address,
// which no trace shows.
type place struct {
	file   FileID
	offset uint64
}

func (a place) less(b place) bool {
	return a.file < b.file || a.file == b.file && a.offset < b.offset
}

// Uprobes is the kernel's uprobes_tree: every place with at least one consumer, in
// order of file and offset. The zero value is empty and ready to use.
type Uprobes struct {
	tree   []node // registered, in order
	probes []probe
	ids    map[place]ProbeID

	version uint64
}

type node struct {
	place
	id ProbeID
}

type probe struct {
	place
	consumers int
}

// Register adds a consumer to the uprobe at offset of file, and the uprobe if it
// is the first (uprobe_register).
func (u *Uprobes) Register(file FileID, offset uint64) ProbeID {
	at := place{file, offset}
	id, known := u.ids[at]
	if !known {
		if u.ids == nil {
			u.ids = make(map[place]ProbeID)
		}
		id = ProbeID(len(u.probes))
		u.ids[at] = id
		u.probes = append(u.probes, probe{place: at})
	}
	p := &u.probes[id]
	if p.consumers++; p.consumers == 1 {
		i := u.search(at)
		u.tree = append(u.tree, node{})
		copy(u.tree[i+1:], u.tree[i:])
		u.tree[i] = node{at, id}
		u.version++
	}
	return id
}

// Unregister takes a consumer off the uprobe, and the uprobe out of the tree with
// its last one (uprobe_unregister). False means that there is none.
func (u *Uprobes) Unregister(file FileID, offset uint64) bool {
	at := place{file, offset}
	id, known := u.ids[at]
	if !known || u.probes[id].consumers == 0 {
		return false
	}
	p := &u.probes[id]
	if p.consumers--; p.consumers == 0 {
		i := u.search(at)
		u.tree = append(u.tree[:i], u.tree[i+1:]...)
		u.version++
	}
	return true
}

// Find returns the uprobe at offset of file (find_uprobe_rcu), NoProbe and false
// when none is registered there.
func (u *Uprobes) Find(file FileID, offset uint64) (ProbeID, bool) {
	at := place{file, offset}
	if i := u.search(at); i < len(u.tree) && u.tree[i].place == at {
		return u.tree[i].id, true
	}
	return NoProbe, false
}

// Root is the uprobe at the root of the tree, which is perfectly balanced; NoProbe when it
// is empty.
func (u *Uprobes) Root() ProbeID { return u.middle(0, len(u.tree)) }

// Child is the uprobe to the left or right of one in the tree; NoProbe for none.
func (u *Uprobes) Child(id ProbeID, right bool) ProbeID {
	at := u.get(id).place
	for lo, hi := 0, len(u.tree); lo < hi; {
		mid := int(uint(lo+hi) / 2)
		switch {
		case u.tree[mid].id == id && right:
			return u.middle(mid+1, hi)
		case u.tree[mid].id == id:
			return u.middle(lo, mid)
		case at.less(u.tree[mid].place):
			hi = mid
		default:
			lo = mid + 1
		}
	}
	return NoProbe
}

// middle is the root of the part of the tree from index lo up to hi.
func (u *Uprobes) middle(lo, hi int) ProbeID {
	if lo >= hi {
		return NoProbe
	}
	return u.tree[int(uint(lo+hi)/2)].id
}

// Version is another number after each change of the tree.
func (u *Uprobes) Version() uint64 { return u.version }

// Last is the uprobe of the last node that a lookup of the place reads, with the tree
// perfectly balanced: the one at the place, or where there is none, the one below which
// it would be; NoProbe in an empty tree.
func (u *Uprobes) Last(file FileID, offset uint64) ProbeID {
	at, last := place{file, offset}, NoProbe
	for lo, hi := 0, len(u.tree); lo < hi; {
		mid := int(uint(lo+hi) / 2)
		last = u.tree[mid].id
		switch {
		case u.tree[mid].place == at:
			return last
		case at.less(u.tree[mid].place):
			hi = mid
		default:
			lo = mid + 1
		}
	}
	return last
}

// Within is the number of uprobes from offset start up to end of file: the
// breakpoints that a new mapping gets (build_probe_list).
func (u *Uprobes) Within(file FileID, start, end uint64) int {
	if start >= end {
		return 0
	}
	return u.search(place{file, end}) - u.search(place{file, start})
}

// Place returns where a uprobe is. It panics when id was not returned by Register.
func (u *Uprobes) Place(id ProbeID) (FileID, uint64) {
	p := u.get(id)
	return p.file, p.offset
}

// Consumers is the number of registrations of a uprobe. It panics when id was not
// returned by Register.
func (u *Uprobes) Consumers(id ProbeID) int { return u.get(id).consumers }

// Len is the number of uprobes in the tree.
func (u *Uprobes) Len() int { return len(u.tree) }

// Known is the number of uprobes that were ever registered; IDs are below it.
func (u *Uprobes) Known() int { return len(u.probes) }

func (u *Uprobes) get(id ProbeID) *probe {
	if id < 0 || int(id) >= len(u.probes) {
		panic(fmt.Sprintf("mm: uprobe %d of %d", id, len(u.probes)))
	}
	return &u.probes[id]
}

// search returns the index of the first uprobe at or after a place.
func (u *Uprobes) search(at place) int {
	lo, hi := 0, len(u.tree)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if u.tree[mid].less(at) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
