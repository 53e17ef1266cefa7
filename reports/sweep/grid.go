package sweep

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/replay/machines"
	"github.com/replay/replay/replay/whatif"
	"github.com/replay/replay/sim"
)

// GridSchema names the shape of a Grid in JSON.
const GridSchema = "replay.grid/1"

// Grid is traces, and the values of each dimension. Its JSON is the manifest of a sweep.
type Grid struct {
	Schema     string     `json:"schema"`
	Traces     []string   `json:"traces"` // as they are opened
	Machines   []string   `json:"machines"`
	CPUs       []int      `json:"cpus"` // 0: as recorded
	Timings    []string   `json:"timings"`
	SpeedsPPM  []int64    `json:"speeds_ppm"`
	Clones     []int      `json:"clones"`
	Placements []string   `json:"placements"`
	Layouts    []string   `json:"layouts"` // "": the machine's
	Seeds      []uint64   `json:"seeds"`
	WhatIfs    [][]string `json:"what_ifs"` // each is rules that are applied together; none is nothing
	Resolvers  []string   `json:"resolvers"`
}

// MaxCells is how many cells of one trace a grid has at most.
const MaxCells = 100_000

// ErrGrid is wrapped by the errors of a grid that makes no sense.
var ErrGrid = errors.New("grid")

// Cell is one configuration, without a trace.
type Cell struct {
	Profile *machines.Profile
	Options replay.Options // with one resolver
}

// ReadGrid reads a manifest.
func ReadGrid(data []byte, name string) (*Grid, error) {
	g := new(Grid)
	if err := json.Unmarshal(data, g); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if g.Schema != GridSchema {
		return nil, fmt.Errorf("%s: not a %s document; replay sweep --manifest writes one", name, GridSchema)
	}
	return g, nil
}

// Cells are the configurations of the grid; the last dimension, the resolvers, goes round
// fastest. One that cannot be is an error: a grid has no holes.
func (g *Grid) Cells(load func(machine string) (*machines.Profile, error)) ([]Cell, error) {
	n := 1
	for _, d := range []struct {
		name string
		len  int
	}{
		{"machines", len(g.Machines)}, {"cpus", len(g.CPUs)}, {"timings", len(g.Timings)}, {"speeds", len(g.SpeedsPPM)}, {"clones", len(g.Clones)},
		{"placements", len(g.Placements)}, {"layouts", len(g.Layouts)}, {"seeds", len(g.Seeds)}, {"what_ifs", len(g.WhatIfs)}, {"resolvers", len(g.Resolvers)},
	} {
		if d.len == 0 {
			return nil, fmt.Errorf("%w: no %s", ErrGrid, d.name)
		}
		if n *= d.len; n > MaxCells {
			return nil, fmt.Errorf("%w: more than %d cells for each trace (MaxCells)", ErrGrid, MaxCells)
		}
	}
	cells := make([]Cell, 0, n)
	for _, name := range g.Machines {
		profile, err := load(name)
		if err != nil {
			return nil, err
		}
		for _, cpus := range g.CPUs {
			if cpus > profile.CPUs() || cpus < 0 {
				return nil, fmt.Errorf("%w: machine %s has %d CPUs, not %d", ErrGrid, name, profile.CPUs(), cpus)
			}
			if cells, err = g.cellsOf(cells, profile, cpus); err != nil {
				return nil, err
			}
		}
	}
	seen := make(map[string]bool, len(cells))
	for i := range cells {
		key := cells[i].Key("")
		if seen[key] {
			return nil, fmt.Errorf("%w: %s is in it twice", ErrGrid, cells[i])
		}
		seen[key] = true
	}
	return cells, nil
}

func (g *Grid) cellsOf(cells []Cell, profile *machines.Profile, cpus int) ([]Cell, error) {
	o := replay.Options{CPUs: cpus}
	for _, timing := range g.Timings {
		var err error
		if o.Timing, err = replay.ParseTiming(timing); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrGrid, err)
		}
		for _, o.SpeedPPM = range g.SpeedsPPM {
			for _, o.Clone = range g.Clones {
				if o.SpeedPPM <= 0 || o.Clone < 1 {
					return nil, fmt.Errorf("%w: speed %d ppm, %d clones: want more", ErrGrid, o.SpeedPPM, o.Clone)
				}
				for _, placement := range g.Placements {
					if o.Placement, err = replay.ParsePlacement(placement); err != nil {
						return nil, fmt.Errorf("%w: %w", ErrGrid, err)
					}
					if cells, err = g.rest(cells, profile, o); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	return cells, nil
}

// rest goes through the dimensions from the layouts on.
func (g *Grid) rest(cells []Cell, profile *machines.Profile, o replay.Options) ([]Cell, error) {
	for _, o.Layout = range g.Layouts {
		if _, err := sim.ParseLayout(o.Layout); err != nil && o.Layout != "" {
			return nil, fmt.Errorf("%w: %w", ErrGrid, err)
		}
		for _, o.Seed = range g.Seeds {
			for _, rules := range g.WhatIfs {
				var err error
				if o.WhatIf, err = whatif.ParseAll(rules); err != nil {
					return nil, fmt.Errorf("%w: %w", ErrGrid, err)
				}
				for _, resolver := range g.Resolvers {
					if _, err := sim.FindResolver(resolver); err != nil {
						return nil, fmt.Errorf("%w: %w", ErrGrid, err)
					}
					o.Resolvers = []string{resolver}
					cells = append(cells, Cell{profile, o})
				}
			}
		}
	}
	return cells, nil
}

// config is what tells cells apart, in the order of the columns.
type config struct {
	Machine      string   `json:"machine"`
	Profile      string   `json:"profile"` // the digest of its figures
	ModelVersion int      `json:"model_version"`
	CPUs         int      `json:"cpus"` // asked for; 0: as recorded
	Timing       string   `json:"timing"`
	SpeedPPM     int64    `json:"speed_ppm"`
	Clone        int      `json:"clone"`
	Placement    string   `json:"placement"`
	Layout       string   `json:"layout"`
	Seed         uint64   `json:"seed"`
	WhatIf       []string `json:"what_if"`
	Resolver     string   `json:"resolver"`
}

func (c *Cell) config() config {
	o := &c.Options
	return config{
		c.Profile.Name, c.Profile.Digest(), replay.ModelVersion, o.CPUs, o.Timing.String(), o.SpeedPPM, o.Clone, o.Placement.String(), o.Layout, o.Seed,
		append([]string{}, o.WhatIf.Strings()...), o.Resolvers[0],
	}
}

// Key identifies the result of the cell on a trace of that SHA-256 by content: 32 hex
// digits, of the trace, the configuration and the version of the model. That of no trace
// is the configuration's.
func (c *Cell) Key(traceSHA256 string) string { return c.config().key(traceSHA256) }

func (c config) key(traceSHA256 string) string {
	text, err := json.Marshal(struct {
		Trace  string
		Config config
	}{traceSHA256, c})
	if err != nil {
		panic(err) // of our own
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// String is the configuration for people.
func (c Cell) String() string {
	o := &c.Options
	cpus := "as many CPUs as recorded"
	if o.CPUs > 0 {
		cpus = fmt.Sprintf("%d CPUs", o.CPUs)
	}
	text := fmt.Sprintf("%s, %s, timing %s, speed %gx, clone %d, placement %s, seed %d, %s",
		c.Profile.Name, cpus, o.Timing, float64(o.SpeedPPM)/1e6, o.Clone, o.Placement, o.Seed, o.Resolvers[0])
	if o.Layout != "" {
		text += ", layout " + o.Layout
	}
	for _, r := range o.WhatIf {
		text += ", what if " + r.String()
	}
	return text
}
