// Package aside writes files and folders beside the place that they are for, and puts
// them there when they are complete: a name holds all of the new, or what it held
// before, whatever fails in between.
package aside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrExists is wrapped by the error for a file that is there already and is not to be
// replaced.
var ErrExists = errors.New("file exists")

// File is a file that is being written aside.
type File struct {
	*os.File
	path    string
	replace bool
	ended   bool
}

// Create begins a file that Commit will put at path. Its folder must exist; a file that
// is already there is refused with ErrExists unless it is to be replaced.
func Create(path string, replace bool) (*File, error) {
	if err := mayReplace(path, replace); err != nil {
		return nil, err
	}
	var file *os.File
	_, err := unused(path, func(name string) (err error) {
		file, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, Reason(err))
	}
	return &File{File: file, path: path, replace: replace}, nil
}

// Commit puts the file in its place. On an error nothing is left behind.
func (f *File) Commit() error {
	err := f.Close()
	if err == nil {
		err = putInPlace(f.Name(), f.path, f.replace)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	f.ended = true
	return err
}

// Abort removes what was written. After Commit it does nothing, so it can be deferred.
func (f *File) Abort() {
	if !f.ended {
		f.ended = true
		f.Close()
		os.Remove(f.Name())
	}
}

// Folder is a folder that is being filled aside.
type Folder struct {
	path, dir string
	ended     bool
}

// CreateFolder begins a folder that Commit will put in the place of path, whatever is
// there.
func CreateFolder(path string) (*Folder, error) {
	path = filepath.Clean(path)
	dir, err := unused(path, func(name string) error { return os.Mkdir(name, 0o777) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, Reason(err))
	}
	return &Folder{path: path, dir: dir}, nil
}

// Name is where the folder is until Commit.
func (f *Folder) Name() string { return f.dir }

// Commit puts the folder in its place. On an error nothing is left behind.
func (f *Folder) Commit() error {
	defer f.Abort()
	old := f.dir + ".old"
	missing := os.Rename(f.path, old)
	if missing != nil && !errors.Is(missing, fs.ErrNotExist) {
		return missing
	}
	if err := os.Rename(f.dir, f.path); err != nil {
		if missing == nil {
			err = errors.Join(err, os.Rename(old, f.path))
		}
		return err
	}
	return os.RemoveAll(old)
}

// Abort removes the folder and what is in it. After Commit it does nothing, so it can
// be deferred.
func (f *Folder) Abort() {
	if !f.ended {
		f.ended = true
		os.RemoveAll(f.dir)
	}
}

// Writable reports why nothing can be made next to path, before work is done for it.
func Writable(path string) error {
	dir, err := unused(filepath.Clean(path), func(name string) error { return os.Mkdir(name, 0o700) })
	if err != nil {
		return Reason(err)
	}
	return os.Remove(dir)
}

// Reason is err without the name of what was made aside.
func Reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// unused makes something of a name that is not taken, hidden next to path. Functions of
// os that do so make it private to the user; an output has the mode of any new file.
func unused(path string, create func(name string) error) (string, error) {
	const tries = 1000
	dir, base := filepath.Split(path)
	for i := range tries {
		name := fmt.Sprintf("%s.%s.%d.%d.tmp", dir, base, os.Getpid(), i)
		if err := create(name); !errors.Is(err, fs.ErrExist) {
			return name, err
		}
	}
	return "", fmt.Errorf("%d temporary files of that name are already there; remove them", tries)
}

// mayReplace reports why a file may not be written to path.
func mayReplace(path string, replace bool) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file; name a file to write to", path)
	case !replace:
		return fmt.Errorf("%s: %w; choose another name or ask to replace it", path, ErrExists)
	}
	return nil
}

// putInPlace moves temp to path. A file that is not to be replaced and has appeared at
// path meanwhile is kept: link, unlike rename, replaces nothing.
func putInPlace(temp, path string, replace bool) error {
	if !replace {
		err := os.Link(temp, path)
		if err == nil {
			return os.Remove(temp)
		}
		if errors.Is(err, fs.ErrExist) {
			return mayReplace(path, false)
		}
		// Some file systems have no links; rename is the best they offer.
	}
	if err := mayReplace(path, replace); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
