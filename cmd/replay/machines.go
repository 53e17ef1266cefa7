package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/replay/replay/replay/machines"
)

var machineFlag = &cli.StringFlag{Name: "machine", Aliases: []string{"m"}, Value: machines.Generic, Usage: "`NAME` of a built-in profile, or a YAML or JSON file; see replay machines"}

func machinesCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "machines", Usage: "list the built-in machine profiles and their sources", ArgsUsage: "[NAME|FILE]...",
		Description: "Prints every figure of a profile with where it comes from; with -v also those\n" +
			"taken over from the profile that it is based on.\n\n" +
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
			case c.NArg() == 1:
				return profiles[0].Write(e.stdout)
			}
			return machines.WriteList(e.stdout, profiles)
		},
	}
}

// loadMachine reads a profile, built in or a file.
func loadMachine(name string) (*machines.Profile, error) {
	p, err := machines.Load(name)
	if errors.Is(err, machines.ErrUnknown) {
		return nil, usage("%w", err)
	}
	return p, badInput(err)
}
