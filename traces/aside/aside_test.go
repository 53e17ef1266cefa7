package aside

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// holds fails unless folder dir has these files with these contents, and no others.
func holds(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := want[e.Name()]; !ok {
			t.Errorf("%s is left", e.Name())
		}
	}
	for name, text := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, text)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func begin(t *testing.T, path string, replace bool, text string) *File {
	t.Helper()
	f, err := Create(path, replace)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	f := begin(t, path, false, "new")
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("there before it is complete: %v", err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	f.Abort()
	holds(t, dir, map[string]string{"out": "new"})

	if f, err := Create(path, false); !errors.Is(err, ErrExists) || f != nil {
		t.Errorf("replaced unasked: %v", err)
	}
	f = begin(t, path, true, "newer")
	holdsWhileWriting := begin(t, path, true, "given up")
	holdsWhileWriting.Abort()
	holdsWhileWriting.Abort()
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, map[string]string{"out": "newer"})
}

// What appears at the name in the meantime is kept, unless it is to be replaced.
func TestFileKeepsWhatCameLater(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	f := begin(t, path, false, "new")
	write(t, path, "precious")
	if err := f.Commit(); !errors.Is(err, ErrExists) {
		t.Errorf("%v, want %v", err, ErrExists)
	}
	holds(t, dir, map[string]string{"out": "precious"})
}

// A file whose end fails leaves nothing: here it is closed already.
func TestFileFails(t *testing.T) {
	dir := t.TempDir()
	f := begin(t, filepath.Join(dir, "out"), false, "new")
	f.Close()
	if err := f.Commit(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v, want %v", err, os.ErrClosed)
	}
	holds(t, dir, nil)
}

// The modes are those of any new file: an output is not private to the user.
func TestModes(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	write(t, plain, "")
	f := begin(t, filepath.Join(dir, "out"), false, "")
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	like, _ := os.Stat(plain)
	got, err := os.Stat(filepath.Join(dir, "out"))
	if err != nil || got.Mode() != like.Mode() {
		t.Errorf("%v, %v; want %v", got.Mode(), err, like.Mode())
	}
}

func TestWhereNothingCanBe(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing", "out")
	for _, path := range []string{t.TempDir(), os.DevNull, missing} {
		if f, err := Create(path, true); err == nil || f != nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := Writable(missing); err == nil || strings.Contains(err.Error(), "missing") {
		t.Errorf("%v, want a reason without the name of what was to be made", err)
	}
	if f, err := CreateFolder(missing); f != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want %v", err, os.ErrNotExist)
	}
	dir := t.TempDir()
	if err := Writable(filepath.Join(dir, "out")); err != nil {
		t.Error(err)
	}
	holds(t, dir, nil)
}

// A name that is taken, by another that writes there or by what one left behind, is not
// used.
func TestTakenNames(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	one, two := begin(t, path, true, "one"), begin(t, path, true, "two")
	if one.Name() == two.Name() {
		t.Fatalf("both write to %s", one.Name())
	}
	if err := errors.Join(two.Commit(), one.Commit()); err != nil {
		t.Fatal(err)
	}
	holds(t, dir, map[string]string{"out": "one"})
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run")
	fill := func(path, text string) *Folder {
		f, err := CreateFolder(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(f.Name(), "report"), text)
		return f
	}
	first := fill(path+"/", "first")
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	first.Abort()
	write(t, filepath.Join(path, "note"), "of the first")
	fill(path, "second").Abort()
	holds(t, path, map[string]string{"report": "first", "note": "of the first"})
	if err := fill(path, "third").Commit(); err != nil {
		t.Fatal(err)
	}
	holds(t, path, map[string]string{"report": "third"})
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
