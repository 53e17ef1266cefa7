package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay/machines"
)

var machineFlag = &cli.StringFlag{Name: "machine", Aliases: []string{"m"}, Value: machines.Generic, Usage: "`NAME` of a built-in profile, or a YAML or JSON file; see replay machines"}

func machinesCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "machines", Usage: "list the built-in machine profiles and their sources", ArgsUsage: "[NAME|FILE]...",
		Description: "Lists the profiles and where their figures come from. One profile by name is\n" +
			"printed as a file, to change and give to --machine; with -v as a table of every\n" +
			"figure with its meaning, its source and what is to be known about it.\n\n" +
			"Example:\n\n   replay machines xeon-6138x2 > mine.yaml",
		Flags: commonFlags(),
		Action: func(c *cli.Context) error {
			names := c.Args().Slice()
			if len(names) == 0 {
				names = machines.Names()
			}
			var profiles []*machines.Profile
			for _, name := range names {
				p, err := loadMachine(name)
				if err != nil {
					return err
				}
				profiles = append(profiles, p)
			}
			switch {
			case c.Bool("json"):
				return machines.WriteJSON(e.stdout, profiles)
			case c.Bool("verbose"):
				return writeTables(e.stdout, profiles)
			case c.NArg() == 1:
				return profiles[0].Write(e.stdout)
			}
			return machines.WriteList(e.stdout, profiles)
		},
	}
}

// writeTables prints the profiles in full, one after the other.
func writeTables(w io.Writer, profiles []*machines.Profile) error {
	for i, p := range profiles {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := p.WriteTable(w); err != nil {
			return err
		}
	}
	return nil
}

// loadMachine reads a profile, built in or a file.
func loadMachine(name string) (*machines.Profile, error) {
	p, err := machines.Load(name)
	if errors.Is(err, machines.ErrUnknown) {
		return nil, usage("%w", err)
	}
	return p, badInput(err)
}
