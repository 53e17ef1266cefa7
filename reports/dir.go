package reports

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/traces/aside"
)

// ErrExists is returned for an output that is there already.
var ErrExists = errors.New("exists already; overwrite with --force, or choose another with -o")

// CheckDir reports whether a run may be written to dir, before the work is done.
// A folder that holds a run already is refused without force, and one that holds
// something else always: it would be replaced.
func CheckDir(dir string, force bool) error { return checkFolder(dir, "report.json", "run", force) }

// checkFolder reports whether a folder may be written that holds a file of that name, as
// what stands in messages.
func checkFolder(dir, file, what string, force bool) error {
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
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		return fmt.Errorf("output folder %s holds something that is no %s: choose another with -o", dir, what)
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
	if err := aside.Writable(name); err != nil {
		return fmt.Errorf("%s cannot be written: %w; choose another with -o", name, err)
	}
	return nil
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
	if res.Recorded != nil {
		out = append(out, file{"recorded.blame.pb.gz", func(w io.Writer) error { return WriteProfile(w, RecordedProfile(res)) }})
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

// TraceFile is the name that the trace has in the folder of a run of a raw capture.
const TraceFile = "trace.parquet"

// Dir is the folder of a run under way. It is filled aside, so that there is a whole
// run in its place, or what was there before.
type Dir struct {
	path   string
	force  bool
	folder *aside.Folder
}

// CreateDir begins the folder of a run, which replaces another only with force.
func CreateDir(path string, force bool) (*Dir, error) {
	if err := CheckDir(path, force); err != nil {
		return nil, err
	}
	folder, err := aside.CreateFolder(path)
	if err != nil {
		return nil, fmt.Errorf("output folder: %w", err)
	}
	return &Dir{path, force, folder}, nil
}

// Trace is where the trace of this run is to be made, to be kept with the reports.
func (d *Dir) Trace() string { return filepath.Join(d.folder.Name(), TraceFile) }

// Write writes all reports of res and puts the folder in its place.
func (d *Dir) Write(res *replay.Result) error {
	if err := CheckDir(d.path, d.force); err != nil {
		return err
	}
	return fill(d.folder, files(res))
}

// fill writes all files and puts the folder in its place.
func fill(folder *aside.Folder, all []file) error {
	errs := make([]error, len(all))
	var each sync.WaitGroup
	for i := range all {
		each.Go(func() { errs[i] = writeInto(folder.Name(), &all[i]) })
	}
	each.Wait()
	err := cmp.Or(errs...)
	if err == nil {
		err = folder.Commit()
	}
	if err != nil {
		return fmt.Errorf("output folder: %w", err)
	}
	return nil
}

// Abort removes what Write has not put in its place, so it can be deferred.
func (d *Dir) Abort() { d.folder.Abort() }

// WriteDir writes all reports of res into dir, which is made.
func WriteDir(dir string, res *replay.Result, force bool) error {
	d, err := CreateDir(dir, force)
	if err != nil {
		return err
	}
	defer d.Abort()
	return d.Write(res)
}

func writeInto(dir string, f *file) error {
	out, err := os.Create(filepath.Join(dir, f.name))
	if err != nil {
		return err
	}
	if err := buffered(out, f.write); err != nil {
		out.Close()
		return fmt.Errorf("write %s: %w", f.name, aside.Reason(err))
	}
	return out.Close()
}

// WriteFile writes a file aside and puts it in its place; without force it does
// not overwrite.
func WriteFile(name string, force bool, write func(io.Writer) error) error {
	if err := unused(name, force); err != nil {
		return err
	}
	f, err := aside.Create(name, force)
	if err != nil {
		return fmt.Errorf("write %w", err)
	}
	defer f.Abort()
	if err := buffered(f, write); err != nil {
		return fmt.Errorf("write %s: %w", name, aside.Reason(err))
	}
	return f.Commit()
}

func buffered(w io.Writer, write func(io.Writer) error) error {
	b := bufio.NewWriterSize(w, 64<<10)
	if err := write(b); err != nil {
		return err
	}
	return b.Flush()
}
