package mm

import (
	"fmt"
	"testing"
)

// sizes are the mappings of a small process, a JVM, and one at the kernel's
// default limit.
var sizes = []int{50, 500, 65530}

// spaced returns n one-page mappings with a gap between any two.
func spaced(b *testing.B, n int) *AddressSpace {
	b.Helper()
	s := new(AddressSpace)
	for i := range uint64(n) {
		if _, err := s.Map(rx(4*i*PageSize, (4*i+1)*PageSize, 0)); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// stride visits addresses in no order that a cache could guess.
const stride = 0x9e3779b1

func BenchmarkFind(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := spaced(b, n)
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				if _, ok := s.Find(i * stride % uint64(n) * 4 * PageSize); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkMapUnmap(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := spaced(b, n)
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				at := (i*stride%uint64(n)*4 + 2) * PageSize
				if _, err := s.Map(anon(at, at+PageSize)); err != nil {
					b.Fatal(err)
				}
				if _, err := s.Unmap(at, PageSize); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkProtect(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := spaced(b, n)
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				if _, err := s.Protect(i*stride%uint64(n)*4*PageSize, PageSize, Prot(i&1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkUprobesFind(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var u Uprobes
			for i := range uint64(n) {
				u.Register(file, i*16)
			}
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				if _, ok := u.Find(file, i*stride%uint64(n)*16); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}
