package main

import (
	"fmt"
	"io"
	"net/url"

	"github.com/cli/browser"
	"github.com/urfave/cli/v2"

	"github.com/replay/replay/reports/web"
)

// Flags of what serves runs.
var (
	httpFlag      = &cli.StringFlag{Name: "http", Value: "127.0.0.1:0", Usage: "`ADDR` to listen on, HOST:PORT; without a host it is this machine alone, port 0 is any that is free"}
	noBrowserFlag = &cli.BoolFlag{Name: "no_browser", Aliases: []string{"no-browser"}, Usage: "open no browser"}
)

func webCommand(e *env) *cli.Command {
	return &cli.Command{
		Name: "web", Usage: "serve reports and pprof's views of their profiles to a browser", ArgsUsage: "DIR...",
		Description: "DIR is the folder of a run. Several are shown side by side. Nothing else is served, to\n" +
			"this machine alone unless -http says otherwise, until Ctrl-C. --json prints the address\n" +
			"as a document.\n\n" +
			"Example:\n\n   replay web before.run after.run",
		Flags: commonFlags(httpFlag, noBrowserFlag),
		Action: func(c *cli.Context) error {
			if c.NArg() == 0 {
				return usage("web: no folder of a run given; see replay web --help")
			}
			return e.serve(c, c.Args().Slice())
		},
	}
}

// serve serves folders of runs until it is interrupted.
func (e *env) serve(c *cli.Context, dirs []string) error {
	runs, err := web.Runs(dirs)
	if err != nil {
		return usage("web: %w", err)
	}
	s, err := web.Listen(c.String("http"), runs)
	if err != nil {
		return usage("-http %s: %w", c.String("http"), err)
	}
	if !s.Local() {
		fmt.Fprintf(e.stderr, "warning: whoever reaches %s can read these runs\n", c.String("http"))
	}
	if c.Command.Name == "web" && c.Bool("json") {
		err = e.announce(s)
	} else {
		_, err = fmt.Fprintf(e.announcements(c), "%s\n", s.URL())
		e.remark(c, "serving until Ctrl-C")
	}
	if err != nil {
		return err
	}
	if !c.Bool("no_browser") {
		open(s.URL())
	}
	if err := s.Serve(c.Context); err != nil {
		return err
	}
	e.remark(c, "stopped")
	return &coded{exitInterrupted, nil}
}

// checkWebFlags checks those of a command that may serve, before its work is done.
func checkWebFlags(c *cli.Context) error {
	if !c.Bool("web") {
		for _, name := range []string{"http", "no_browser"} {
			if c.IsSet(name) {
				return usage("%s: -%s is of --web", c.Command.Name, name)
			}
		}
		return nil
	}
	if err := web.CheckAddr(c.String("http")); err != nil {
		return usage("-http %s: %w", c.String("http"), err)
	}
	return nil
}

// announcements is where the address goes: standard output where it is the result.
func (e *env) announcements(c *cli.Context) io.Writer {
	if c.Command.Name == "web" {
		return e.stdout
	}
	return e.stderr
}

// announce prints where the server is, as a document.
func (e *env) announce(s *web.Server) error {
	type run struct {
		Dir string `json:"dir"`
		URL string `json:"url"`
	}
	doc := struct {
		Schema string `json:"schema"`
		URL    string `json:"url"`
		Runs   []run  `json:"runs"`
	}{"replay.web/1", s.URL(), []run{}}
	for _, r := range s.Runs() {
		doc.Runs = append(doc.Runs, run{r.Dir, s.URL() + url.PathEscape(r.Name) + "/"})
	}
	return writeJSON(e, doc)
}

// open shows the address in a browser, if there is one: it is printed in any case.
func open(address string) {
	browser.Stdout, browser.Stderr = io.Discard, io.Discard
	go browser.OpenURL(address)
}
