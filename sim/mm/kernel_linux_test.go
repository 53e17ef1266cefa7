package mm

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// arena is where TestAgainstKernel maps: far below where the kernel, which
// searches from the top, and the Go runtime put anything.
const (
	arena     = 0x1000_0000_0000
	arenaSize = 64 * PageSize
)

const (
	mapFixed          = 0x10
	mapFixedNoReplace = 0x100000
	remapMayMove      = 1
	remapFixed        = 2
)

// real does to the own process what the address space is told.
type real struct {
	t     *testing.T
	space *AddressSpace
	files []*os.File // by FileID
	log   []string
}

func (r *real) call(trap uintptr, args ...uint64) error {
	var a [6]uintptr
	for i, arg := range args {
		a[i] = uintptr(arg)
	}
	if _, _, errno := syscall.Syscall6(trap, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

func (r *real) logf(format string, args ...any) { r.log = append(r.log, fmt.Sprintf(format, args...)) }

// must applies what the kernel accepted.
func (r *real) must(_ Effect, err error) {
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *real) mmap(v VMA) {
	flags, fd := uint64(mapFixed|syscall.MAP_PRIVATE), ^uint64(0)
	if v.Flags&Shared != 0 {
		flags = mapFixed | syscall.MAP_SHARED
	}
	if v.Flags&NoReserve != 0 {
		flags |= syscall.MAP_NORESERVE
	}
	if v.File == NoFile {
		flags |= syscall.MAP_ANON
	} else {
		fd = uint64(r.files[v.File].Fd())
	}
	r.logf("mmap %+v", v)
	if err := r.call(syscall.SYS_MMAP, v.Start, v.Len(), uint64(v.Prot), flags, fd, v.Pgoff); err != nil {
		r.t.Fatal("mmap: ", err)
	}
	r.must(r.space.Map(v))
}

func (r *real) munmap(start, length uint64) {
	r.logf("munmap %#x %#x", start, length)
	if err := r.call(syscall.SYS_MUNMAP, start, length); err != nil {
		r.t.Fatal("munmap: ", err)
	}
	r.must(r.space.Unmap(start, length))
}

func (r *real) mprotect(start, length uint64, prot Prot) {
	r.logf("mprotect %#x %#x %d", start, length, prot)
	err := r.call(syscall.SYS_MPROTECT, start, length, uint64(prot))
	if err == syscall.ENOMEM { // it stops at a hole
		length = r.mappedFrom(start, length)
	} else if err != nil {
		r.t.Fatal("mprotect: ", err)
	}
	if length == 0 {
		return
	}
	r.must(r.space.Protect(start, length, prot))
}

// mappedFrom is how many bytes of a range are mapped before the first hole.
func (r *real) mappedFrom(start, length uint64) uint64 {
	at := start
	for at < start+length {
		v, ok := r.space.Find(at)
		if !ok {
			break
		}
		at = v.End
	}
	return min(at-start, length)
}

func (r *real) madvise(start, length uint64, advice int32) {
	r.logf("madvise %#x %#x %d", start, length, advice)
	err := r.call(syscall.SYS_MADVISE, start, length, uint64(advice))
	if err != nil && err != syscall.ENOMEM { // it goes on after a hole
		r.t.Fatal("madvise: ", err)
	}
	r.must(r.space.Advise(start, length, advice))
}

// mremap is only tried on one mapping: before 6.17 the kernel takes no more.
// Untouched anonymous memory gets new offsets, which we do not model.
func (r *real) mremap(old, oldLen, now, newLen uint64) {
	v, ok := r.space.Find(old)
	if !ok || v.End < old+oldLen || v.File == NoFile {
		return
	}
	overlap := old < now+newLen && now < old+oldLen
	r.logf("mremap %#x %#x %#x %#x", old, oldLen, now, newLen)
	if old != now {
		err := r.call(syscall.SYS_MREMAP, old, oldLen, newLen, remapMayMove|remapFixed, now)
		if (err != nil) != overlap {
			r.t.Fatalf("mremap to another place: %v, overlap %v\n%s", err, overlap, strings.Join(r.log, "\n"))
		}
	} else if err := r.call(syscall.SYS_MREMAP, old, oldLen, newLen, 0, 0); err == syscall.ENOMEM {
		return // no room
	} else if err != nil {
		r.t.Fatal("mremap in place: ", err)
	}
	_, err := r.space.Remap(old, oldLen, now, newLen, 0)
	if old != now && (err != nil) != overlap {
		r.t.Fatalf("Remap: %v, overlap %v", err, overlap)
	}
}

// smaps reads the arena's mappings from /proc/self/smaps.
func (r *real) smaps() []VMA {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	var vmas []VMA
	in := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var v VMA
		var perms, dev, path string
		var inode uint64
		n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s %x %s %d %s", &v.Start, &v.End, &perms, &v.Pgoff, &dev, &inode, &path)
		if n >= 6 {
			if in = v.Start >= arena && v.End <= arena+arenaSize; in {
				vmas = append(vmas, r.vma(v, perms, path))
			}
		} else if words := strings.Fields(lines.Text()); in && len(words) > 0 && words[0] == "VmFlags:" {
			vmas[len(vmas)-1].Flags = vmFlags(words[1:])
		}
	}
	return vmas
}

func (r *real) vma(v VMA, perms, path string) VMA {
	for i, p := range "rwx" {
		if perms[i] == byte(p) {
			v.Prot |= 1 << i
		}
	}
	for id, f := range r.files {
		if f != nil && f.Name() == path {
			v.File = FileID(id)
		}
	}
	return v
}

func vmFlags(words []string) Flags {
	var flags Flags
	for name, flag := range map[string]Flags{
		"sh": Shared, "gd": GrowsDown, "nr": NoReserve, "ac": Accounted, "ht": HugeTLB, "sr": Sequential, "rr": Random,
		"dc": DontFork, "wf": WipeOnFork, "dd": DontDump, "hg": HugePage, "nh": NoHugePage,
	} {
		if slices.Contains(words, name) {
			flags |= flag
		}
	}
	return flags
}

// check compares bounds, files, offsets, rights and flags. The kernel shows no
// offsets of anonymous memory.
func (r *real) check() {
	want, got := r.smaps(), slices.Clone(r.space.VMAs())
	for i := range got {
		if got[i].File == NoFile {
			got[i].Pgoff = 0
		}
	}
	for i := range want {
		if want[i].File == NoFile { // shared memory does show them
			want[i].Pgoff = 0
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(VMA{}, "ID"), cmpopts.EquateEmpty()); diff != "" {
		r.t.Fatalf("mappings (-kernel +got) after\n%s\n%s", strings.Join(r.log, "\n"), diff)
	}
}

func (r *real) step(rng *rand.Rand) {
	pick := func() (start, length uint64) {
		page := rng.Uint64N(arenaSize/PageSize - 1)
		return arena + page*PageSize, (1 + rng.Uint64N(min(12, arenaSize/PageSize-page))) * PageSize
	}
	start, length := pick()
	switch rng.IntN(8) {
	case 0, 1, 2:
		v := VMA{Start: start, End: start + length, Prot: Read}
		switch rng.IntN(5) {
		case 0:
			v.Flags = Shared
		case 1:
			v.Flags = NoReserve
		case 2:
			v.File, v.Pgoff = 1, start-arena
		case 3:
			v.File, v.Pgoff, v.Flags = FileID(1+rng.IntN(2)), rng.Uint64N(4)*PageSize, Shared
		}
		r.mmap(v)
	case 3:
		r.munmap(start, length)
	case 4, 5:
		r.mprotect(start, length, []Prot{0, Read, Read | Write}[rng.IntN(3)])
	case 6:
		r.madvise(start, length, []int32{adviseNormal, adviseRandom, adviseSequential, adviseDontFork, adviseDoFork}[rng.IntN(5)])
	default:
		now, newLen := pick()
		if rng.IntN(3) == 0 {
			now, newLen = start, min(newLen, arena+arenaSize-start)
		}
		r.mremap(start, length, now, newLen)
	}
}

// skipUnlike skips on kernels whose rules differ from the modelled ones.
func skipUnlike(t *testing.T) {
	t.Helper()
	var major, minor, overcommit int
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err != nil {
		t.Skip(err)
	} else if _, err := fmt.Sscanf(string(release), "%d.%d", &major, &minor); err != nil || major < 6 || major == 6 && minor < 7 {
		t.Skipf("kernel %s: before 6.7, mprotect never takes VM_ACCOUNT away", strings.TrimSpace(string(release)))
	}
	if mode, err := os.ReadFile("/proc/sys/vm/overcommit_memory"); err == nil {
		fmt.Sscan(string(mode), &overcommit)
	}
	if overcommit == 2 {
		t.Skip("vm.overcommit_memory is 2: MAP_NORESERVE is ignored")
	}
	if os.Getpagesize() != PageSize {
		t.Skipf("pages have %d bytes", os.Getpagesize())
	}
}

// TestAgainstKernel does the same random system calls in its own process and in
// the model, and compares with /proc/self/smaps after each.
func TestAgainstKernel(t *testing.T) {
	skipUnlike(t)
	r := &real{t: t, space: new(AddressSpace), files: make([]*os.File, 1)}
	for range 2 {
		f, err := os.CreateTemp(t.TempDir(), "mapped")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := f.Truncate(2 * arenaSize); err != nil {
			t.Fatal(err)
		}
		r.files = append(r.files, f)
	}
	if err := r.call(syscall.SYS_MMAP, arena, arenaSize, 0, mapFixedNoReplace|syscall.MAP_PRIVATE|syscall.MAP_ANON, ^uint64(0), 0); err != nil {
		t.Skipf("no free range at %#x to map in: %v", uint64(arena), err)
	}
	defer r.call(syscall.SYS_MUNMAP, arena, arenaSize)
	for seed := range uint64(15) {
		rng := rand.New(rand.NewPCG(seed, 0))
		r.log = []string{fmt.Sprint("seed ", seed)}
		r.munmap(arena, arenaSize)
		for range 60 {
			r.step(rng)
			r.check()
		}
	}
}
