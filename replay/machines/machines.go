package machines

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// Generic is the built-in profile that stands for no machine in particular.
const Generic = "generic"

// ErrUnknown is returned for a name that is neither built in nor a file.
var ErrUnknown = errors.New("unknown machine")

//go:embed profiles/*.yaml
var profiles embed.FS

// Names lists the built-in profiles in order.
func Names() []string {
	files, err := profiles.ReadDir("profiles")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// Load returns the built-in profile of that name, else reads the file.
func Load(nameOrPath string) (*Profile, error) {
	if slices.Contains(Names(), nameOrPath) {
		return builtin(nameOrPath)
	}
	f, err := os.Open(nameOrPath)
	if errors.Is(err, os.ErrNotExist) && !strings.ContainsAny(nameOrPath, "./") {
		return nil, fmt.Errorf("%w %q: want one of %s, or a file", ErrUnknown, nameOrPath, strings.Join(Names(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("machine profile: %w", err)
	}
	defer f.Close()
	data, err := readAll(f)
	if err != nil {
		return nil, fmt.Errorf("machine profile %s: %w", nameOrPath, err)
	}
	p, err := Parse(nameOrPath, data)
	if err != nil {
		return nil, err
	}
	p.from = nameOrPath
	return p, nil
}

// builtin parses a profile of the program. Those are tested, and based on each
// other at most one deep.
func builtin(name string) (*Profile, error) {
	data, err := profiles.ReadFile(path.Join("profiles", name+".yaml"))
	if err != nil {
		return nil, fmt.Errorf("%w %q: want one of %s", ErrUnknown, name, strings.Join(Names(), ", "))
	}
	return Parse(name+".yaml", data)
}
