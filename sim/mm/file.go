package mm

import "fmt"

// FileID names a file of a [Files] table. It is small and dense.
type FileID int32

// NoFile is the FileID of anonymous memory.
const NoFile FileID = 0

// File is a file's identity. An inode number alone is reused after a deletion;
// the generation tells the two files apart.
type File struct {
	Dev   uint64 // see Dev
	Inode uint64 // 0: unknown, or no file at all
	Gen   uint64 // inode generation; 0: unknown
	Path  string // as first seen; the identity of a file with unknown inode
}

// Dev packs a device number for File.Dev.
func Dev(major, minor int32) uint64 { return uint64(uint32(major))<<32 | uint64(uint32(minor)) }

// Anonymous reports whether f is what recorders write for memory without a file:
// nothing, a name in brackets such as "[heap]", or perf's "//anon".
func (f File) Anonymous() bool {
	return f.Inode == 0 && (f.Path == "" || f.Path[0] == '[' || f.Path == "//anon")
}

// Files gives each file a small number. What one source of events knows of a
// file and another does not is joined: an unknown generation equals any, and a
// file known by its path alone is the first one seen with that path. The zero
// value is an empty table.
type Files struct {
	files   []File // files[0] is NoFile
	byInode map[inode]FileID
	byPath  map[string]FileID
}

// inode is the key of a known inode. Generation 0 leads to the latest file.
type inode struct{ dev, number, gen uint64 }

// ID returns f's number, giving it one if it has none yet.
func (t *Files) ID(f File) FileID {
	if f.Anonymous() {
		return NoFile
	}
	if t.files == nil {
		t.files = make([]File, 1)
		t.byInode = make(map[inode]FileID)
		t.byPath = make(map[string]FileID)
	}
	id, ok := t.find(f)
	if !ok {
		id = FileID(len(t.files))
		t.files = append(t.files, f)
	}
	t.learn(id, f)
	return id
}

// find returns the file that f is, as far as both are known.
func (t *Files) find(f File) (FileID, bool) {
	if f.Inode == 0 {
		id, ok := t.byPath[f.Path]
		return id, ok
	}
	if id, ok := t.byInode[inode{f.Dev, f.Inode, f.Gen}]; ok {
		return id, true
	}
	if id, ok := t.byInode[inode{f.Dev, f.Inode, 0}]; ok && t.files[id].Gen == 0 {
		return id, true
	}
	if id, ok := t.byPath[f.Path]; ok && t.files[id].Inode == 0 {
		return id, true
	}
	return NoFile, false
}

// learn adds to the file id what f knows better, and makes it findable.
func (t *Files) learn(id FileID, f File) {
	known := &t.files[id]
	if known.Inode == 0 {
		known.Dev, known.Inode = f.Dev, f.Inode
	}
	if known.Gen == 0 {
		known.Gen = f.Gen
	}
	if known.Path == "" {
		known.Path = f.Path
	}
	if known.Inode != 0 {
		t.byInode[inode{known.Dev, known.Inode, known.Gen}] = id
		t.byInode[inode{known.Dev, known.Inode, 0}] = id
	}
	if _, ok := t.byPath[f.Path]; !ok && f.Path != "" {
		t.byPath[f.Path] = id
	}
}

// File returns the identity of id, the zero File for NoFile. It panics when id is
// not of this table.
func (t *Files) File(id FileID) File {
	if id == NoFile {
		return File{}
	}
	if id < 0 || int(id) >= len(t.files) {
		panic(fmt.Sprintf("mm: file %d of %d", id, t.Len()))
	}
	return t.files[id]
}

// Len is the number of files, NoFile not counted.
func (t *Files) Len() int { return max(len(t.files)-1, 0) }
