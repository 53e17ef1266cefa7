package machines

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"
)

// readAll reads a profile, and a byte more than it may have.
func readAll(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, MaxFileBytes+1)) }

// YAML writes the profile out in full. Parse reads it back as the same.
func (p *Profile) YAML() []byte {
	root := recordNode("machine", textNode(p.Name), "about", textNode(p.About), "sources", p.sourcesNode())
	root.Style = 0
	for _, name := range sectionNames() {
		section := &yaml.Node{Kind: yaml.MappingNode}
		for i := range figures {
			if f := &figures[i]; f.section == name {
				if n := p.figureNode(f); n != nil {
					section.Content = append(section.Content, textNode(f.key), n)
				}
			}
		}
		if len(section.Content) > 0 {
			root.Content = append(root.Content, textNode(name), section)
		}
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		panic(err) // a tree of our own, to memory
	}
	return out.Bytes()
}

// sourcesNode lists the sources in the order of their first use.
func (p *Profile) sourcesNode() *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	seen := make(map[string]bool)
	for i := range figures {
		c, ok := p.cites[figures[i].path()]
		if ok && !seen[c.Key] {
			seen[c.Key] = true
			n.Content = append(n.Content, textNode(c.Key), textNode(c.Source))
		}
	}
	return n
}

// figureNode is a value with its source, nil when the value is not set.
func (p *Profile) figureNode(f *figure) *yaml.Node {
	value := f.codec.format(p)
	if value == nil {
		return nil
	}
	c := p.cites[f.path()]
	n := recordNode("value", value, "source", textNode(c.Key))
	if c.Note != "" {
		n.Content = append(n.Content, textNode("note"), textNode(c.Note))
	}
	return n
}

// recordNode is a mapping on one line, of keys and values in turn.
func recordNode(keysAndValues ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for i := 0; i < len(keysAndValues); i += 2 {
		n.Content = append(n.Content, textNode(keysAndValues[i].(string)), keysAndValues[i+1].(*yaml.Node))
	}
	return n
}

// WriteList prints one line for each profile, and then where their figures come
// from.
func WriteList(w io.Writer, profiles []*Profile) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "MACHINE\tCPUS\tSOCKETS\tCORES\tSMT\tABOUT")
	for _, p := range profiles {
		fmt.Fprintf(tab, "%s\t%d\t%d\t%d\t%d\t%s\n", p.Name, p.CPUs(), p.Sockets, p.Sockets*p.CoresPerSocket, p.SMT, p.About)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	return writeSources(w, profiles...)
}

// writeSources prints each source once, in the order of profiles and figures.
func writeSources(w io.Writer, profiles ...*Profile) error {
	text := []string{"\nSources\n"}
	for _, p := range profiles {
		sources := p.sourcesNode().Content
		for i := 0; i < len(sources); i += 2 {
			if line := fmt.Sprintf("  [%s] %s\n", sources[i].Value, sources[i+1].Value); !slices.Contains(text, line) {
				text = append(text, line)
			}
		}
	}
	_, err := io.WriteString(w, strings.Join(text, ""))
	return err
}

// WriteTable prints every figure of a profile with its meaning and its source,
// and the sources below.
func (p *Profile) WriteTable(w io.Writer) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tab, "%s: %s\n\nFIGURE\tVALUE\tSOURCE\tMEANING\n", p.Name, p.About)
	var notes []string
	for i := range figures {
		f := &figures[i]
		value := f.codec.format(p)
		if value == nil {
			continue
		}
		c := p.cites[f.path()]
		fmt.Fprintf(tab, "%s\t%s\t[%s]\t%s\n", f.path(), compact(value), c.Key, f.about)
		if c.Note != "" {
			notes = append(notes, fmt.Sprintf("  %s: %s\n", f.path(), c.Note))
		}
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	if len(notes) > 0 {
		if _, err := io.WriteString(w, "\nNotes\n"+strings.Join(notes, "")); err != nil {
			return err
		}
	}
	return writeSources(w, p)
}

// compact writes a value for a table: steps and shares without their keys.
func compact(n *yaml.Node) string {
	var parts []string
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			parts = append(parts, compact(item))
		}
		return strings.Join(parts, ", ")
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			parts = append(parts, n.Content[i].Value)
		}
		return strings.Join(parts, ": ")
	default:
		return n.Value
	}
}

// jsonDocument is what WriteJSON writes.
type jsonDocument struct {
	Schema   string        `json:"schema"`
	Machines []jsonMachine `json:"machines"`
}

type jsonMachine struct {
	Name    string       `json:"name"`
	About   string       `json:"about"`
	CPUs    int          `json:"cpus"`
	Sockets int          `json:"sockets"`
	SMT     int          `json:"smt"`
	Figures []jsonFigure `json:"figures"`
}

type jsonFigure struct {
	Figure string `json:"figure"`
	Value  any    `json:"value"`
	About  string `json:"about"`
	Source string `json:"source"`
	Note   string `json:"note,omitempty"`
}

// WriteJSON writes the profiles as one document.
func WriteJSON(w io.Writer, profiles []*Profile) error {
	doc := jsonDocument{Schema: "machines/1", Machines: []jsonMachine{}}
	for _, p := range profiles {
		m := jsonMachine{Name: p.Name, About: p.About, CPUs: p.CPUs(), Sockets: p.Sockets, SMT: p.SMT}
		for i := range figures {
			f := &figures[i]
			if n := f.codec.format(p); n != nil {
				c := p.cites[f.path()]
				m.Figures = append(m.Figures, jsonFigure{f.path(), plain(n), f.about, c.Source, c.Note})
			}
		}
		doc.Machines = append(doc.Machines, m)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

// plain is a value as JSON has it.
func plain(n *yaml.Node) any {
	var v any
	if err := n.Decode(&v); err != nil {
		panic(err) // a tree of our own
	}
	return v
}
