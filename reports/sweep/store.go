package sweep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/replay/replay/traces/aside"
)

// Store keeps records in a folder, by their keys. A record is there as a whole or not at
// all, also when the program is killed.
type Store struct{ dir string }

// OpenStore opens the folder, which is made.
func OpenStore(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("store of cells: %w", err)
	}
	return &Store{dir}, nil
}

// storedRecord is a record and its profile in a file.
type storedRecord struct {
	*Record
	Profile []byte `json:"profile_pb_gz"`
}

// Encode is the record with its profile, as a store and a pipeline have it.
func (r *Record) Encode() ([]byte, error) { return json.Marshal(storedRecord{r, r.Profile}) }

// DecodeRecord reads what Encode wrote.
func DecodeRecord(data []byte) (*Record, error) {
	s := storedRecord{Record: &Record{}}
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	s.Record.Profile = s.Profile
	return s.Record, nil
}

// storedMerged is a sum and its profile.
type storedMerged struct {
	*Merged
	Profile []byte `json:"profile_pb_gz"`
}

// Encode is the sum with its profile, as a pipeline has it.
func (m *Merged) Encode() ([]byte, error) { return json.Marshal(storedMerged{m, m.Profile}) }

// DecodeMerged reads what Encode wrote.
func DecodeMerged(data []byte) (*Merged, error) {
	s := storedMerged{Merged: &Merged{}}
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	s.Merged.Profile = s.Profile
	return s.Merged, nil
}

func (s *Store) path(key string) string { return filepath.Join(s.dir, key[:2], key+".json") }

// Get is the record of a key, nil where there is none. A file that is no record of that
// key counts as none: it is written anew.
func (s *Store) Get(key string) (*Record, error) {
	data, err := os.ReadFile(s.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store of cells: %w", err)
	}
	r, err := DecodeRecord(data)
	if err != nil || r.Key != key {
		return nil, nil
	}
	return r, nil
}

// Put keeps a record.
func (s *Store) Put(r *Record) error {
	data, err := r.Encode()
	if err != nil {
		return err
	}
	name := s.path(r.Key)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return fmt.Errorf("store of cells: %w", err)
	}
	f, err := aside.Create(name, true)
	if err != nil {
		return fmt.Errorf("store of cells: %w", err)
	}
	defer f.Abort()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("store of cells: %w", aside.Reason(err))
	}
	return f.Commit()
}
