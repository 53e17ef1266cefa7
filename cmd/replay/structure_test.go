package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/replay/replay/"

// mayImport says which of our packages a folder may use. Nothing imports upwards.
var mayImport = map[string][]string{
	"traces":  {"traces"},
	"ingest":  {"traces", "ingest"},
	"sim":     {"sim"},
	"replay":  {"traces", "sim", "replay"},
	"reports": {"replay", "sim", "traces", "reports"},
	"cmd":     {"traces", "ingest", "sim", "replay", "reports", "cmd"},
}

// rooms are the packages of replay/: each may use those before it.
var rooms = []string{"replay/dist", "replay/machines", "replay/timeline", "replay", "replay/fit"}

// The packages depend on each other as the README says, sim on the standard
// library alone, and neither sim nor replay reads a clock or rolls dice of others.
func TestStructure(t *testing.T) {
	files := 0
	for folder, allowed := range mayImport {
		err := filepath.WalkDir("../../"+folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			for _, spec := range f.Imports {
				imported := strings.Trim(spec.Path.Value, `"`)
				checkImport(t, folder, path, imported, allowed)
				checkRoom(t, path, imported)
			}
			if folder == "sim" || folder == "replay" {
				checkClock(t, path, f)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 50 {
		t.Errorf("vacuous: only %d files seen", files)
	}
}

func checkImport(t *testing.T, folder, path, imported string, allowed []string) {
	t.Helper()
	rest, ours := strings.CutPrefix(imported, module)
	top, _, _ := strings.Cut(rest, "/")
	switch {
	case ours && !slices.Contains(allowed, top):
		t.Errorf("%s imports %s: %s may use only %v", path, imported, folder, allowed)
	case !ours && folder == "sim" && strings.Contains(imported, "."):
		t.Errorf("%s imports %s: sim is of the standard library alone", path, imported)
	case (folder == "sim" || folder == "replay") && (imported == "math/rand" || imported == "math/rand/v2"):
		t.Errorf("%s imports %s: randomness comes from sim.PRNG", path, imported)
	}
}

// checkRoom holds that no package of replay/ imports upwards.
func checkRoom(t *testing.T, path, imported string) {
	t.Helper()
	room := slices.Index(rooms, filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../../")))
	used := slices.Index(rooms, strings.TrimPrefix(imported, module))
	if room >= 0 && used >= room {
		t.Errorf("%s imports %s: a package of replay/ may use only %v", path, imported, rooms[:room])
	}
}

// checkClock finds calls that read the wall clock.
func checkClock(t *testing.T, path string, f *ast.File) {
	t.Helper()
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && (sel.Sel.Name == "Now" || sel.Sel.Name == "Since") {
				t.Errorf("%s reads the clock", path)
			}
		}
		return true
	})
}
