package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/replay/replay/replay"
)

// ErrExists is returned for an output that is there already.
var ErrExists = errors.New("exists already; overwrite with --force, or choose another with -o")

// CheckDir reports whether a run may be written to dir, before the work is done.
// A folder that holds a run already is refused without force, and one that holds
// something else always: it would be replaced.
func CheckDir(dir string, force bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("output folder: %w", err)
	}
	if err := writable(dir); err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, "report.json")); err != nil {
		return fmt.Errorf("output folder %s holds something that is no run: choose another with -o", dir)
	}
	if !force {
		return fmt.Errorf("%s %w", dir, ErrExists)
	}
	return nil
}

// CheckFile reports whether an output may be written, before the work is done.
func CheckFile(name string, force bool) error {
	if err := unused(name, force); err != nil {
		return err
	}
	return writable(name)
}

func unused(name string, force bool) error {
	if _, err := os.Stat(name); err == nil && !force {
		return fmt.Errorf("%s %w", name, ErrExists)
	}
	return nil
}

// writable reports whether an output of that name can be made aside and put in its
// place.
func writable(name string) error {
	aside, err := os.MkdirTemp(filepath.Dir(filepath.Clean(name)), ".replay.")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w; choose another with -o", name, reason(err))
	}
	return os.Remove(aside)
}

// reason is err without the name of a file that was made aside.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// file is one output of a run.
type file struct {
	name  string
	write func(io.Writer) error
}

// files are the outputs of a run, in a fixed order.
func files(res *replay.Result) []file {
	out := []file{
		{"report.json", func(w io.Writer) error { return JSON(w, res) }},
		{"report.txt", func(w io.Writer) error { return Text(w, res, TextOptions{}) }},
		{"report.html", func(w io.Writer) error { return HTML(w, res) }},
		{"benchfmt.txt", func(w io.Writer) error { return Benchfmt(w, res) }},
		{"timeline.json.gz", func(w io.Writer) error { return Timeline(w, res) }},
	}
	for i := range res.Runs {
		r := &res.Runs[i]
		out = append(out,
			file{r.Resolver + ".pb.gz", func(w io.Writer) error { return WriteProfile(w, HitProfile(res, r)) }},
			file{r.Resolver + ".blame.pb.gz", func(w io.Writer) error { return WriteProfile(w, BlameProfile(res, r)) }},
		)
	}
	return out
}

// WriteDir writes all reports of res into dir, which is made. They are written
// aside first, so that dir holds a whole run or what it held before.
func WriteDir(dir string, res *replay.Result, force bool) error {
	if err := CheckDir(dir, force); err != nil {
		return err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	aside, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".")
	if err != nil {
		return fmt.Errorf("output folder: %w", err)
	}
	defer os.RemoveAll(aside)
	for _, f := range files(res) {
		if err := WriteFile(filepath.Join(aside, f.name), true, f.write); err != nil {
			return err
		}
	}
	if err := os.Chmod(aside, 0o755); err != nil {
		return err
	}
	return replace(aside, dir)
}

// replace puts a finished folder in the place of dir.
func replace(aside, dir string) error {
	old := aside + ".old"
	err := os.Rename(dir, old)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("output folder: %w", err)
	}
	defer os.RemoveAll(old)
	if err := os.Rename(aside, dir); err != nil {
		return fmt.Errorf("output folder: %w", err)
	}
	return nil
}

// WriteFile writes a file aside and puts it in its place; without force it does
// not overwrite.
func WriteFile(name string, force bool, write func(io.Writer) error) error {
	if err := unused(name, force); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, reason(err))
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, reason(err))
	}
	return os.Rename(f.Name(), name)
}
