package machines

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFileBytes is the size of the largest profile that Parse reads.
const MaxFileBytes = 1 << 20

// Parse reads a profile. The name stands for the file in errors.
func Parse(name string, data []byte) (*Profile, error) {
	if len(data) > MaxFileBytes {
		return nil, fmt.Errorf("%s: %d bytes: a machine profile has at most %d", name, len(data), MaxFileBytes)
	}
	root, err := document(name, data)
	if err != nil {
		return nil, err
	}
	r := reader{file: name, sources: make(map[string]*source)}
	p, err := r.profile(root)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// document returns the top-level mapping of the one document in data.
func document(name string, data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: empty: want a machine profile (see replay machines generic)", name)
	} else if err != nil {
		return nil, fmt.Errorf("%s:%s; want a machine profile (see replay machines generic)", name, yamlMessage(err))
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more than one document: want one machine profile", name)
	}
	return doc.Content[0], nil
}

// yamlMessage turns "yaml: line 3: text" into "3: text", and anything else into
// " text".
func yamlMessage(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		return rest
	}
	return " " + text
}

// reader is the state of reading one profile.
type reader struct {
	file    string
	sources map[string]*source
}

type source struct {
	text string
	node *yaml.Node
	used bool
}

// errorf is an error at a node.
func (r *reader) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d:%d: "+format, append([]any{r.file, n.Line, n.Column}, args...)...)
}

// entry is a key of a mapping and its value.
type entry struct{ key, value *yaml.Node }

// entries returns the entries of a mapping in order.
func (r *reader) entries(n *yaml.Node, what string) ([]entry, error) {
	if n.Kind != yaml.MappingNode {
		return nil, r.errorf(n, "%s is %s: want a mapping", what, describe(n))
	}
	var list []entry
	seen := make(map[string]bool)
	for i := 0; i < len(n.Content); i += 2 {
		e := entry{n.Content[i], n.Content[i+1]}
		if e.key.Kind != yaml.ScalarNode || e.value.Kind == yaml.AliasNode || e.value.Anchor != "" {
			return nil, r.errorf(e.key, "anchors, aliases and keys that are not words are not supported")
		}
		if seen[e.key.Value] {
			return nil, r.errorf(e.key, "%q is given twice", e.key.Value)
		}
		seen[e.key.Value] = true
		list = append(list, e)
	}
	return list, nil
}

// profile reads the whole file.
func (r *reader) profile(root *yaml.Node) (*Profile, error) {
	top, err := r.entries(root, "a machine profile")
	if err != nil {
		return nil, err
	}
	p, err := r.base(root, top)
	if err != nil {
		return nil, err
	}
	for _, e := range top {
		if err := r.top(p, e); err != nil {
			return nil, err
		}
	}
	return p, r.complete(p, root)
}

// base returns what the figures are laid over, and reads the sources, which may
// follow their use.
func (r *reader) base(root *yaml.Node, top []entry) (*Profile, error) {
	p := &Profile{Sections: make(SectionModel), cites: make(map[string]Cite)}
	for _, e := range top {
		switch e.key.Value {
		case "based_on":
			base, err := builtin(e.value.Value)
			if err != nil {
				return nil, r.errorf(e.value, "based_on: %w", err)
			}
			p = base
		case "sources":
			if err := r.readSources(e.value); err != nil {
				return nil, err
			}
		}
	}
	p.Name, p.About = "", ""
	return p, nil
}

func (r *reader) readSources(n *yaml.Node) error {
	list, err := r.entries(n, "sources")
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.value.Kind != yaml.ScalarNode || strings.TrimSpace(e.value.Value) == "" {
			return r.errorf(e.value, "source %q is %s: want a URL, a message-id, or how the figures were found", e.key.Value, describe(e.value))
		}
		r.sources[e.key.Value] = &source{text: e.value.Value, node: e.key}
	}
	return nil
}

// top reads an entry of the top level.
func (r *reader) top(p *Profile, e entry) error {
	switch key := e.key.Value; key {
	case "machine", "about":
		if e.value.Kind != yaml.ScalarNode || e.value.Value == "" {
			return r.errorf(e.value, "%s is %s: want text", key, describe(e.value))
		}
		if key == "machine" {
			p.Name = e.value.Value
		} else {
			p.About = e.value.Value
		}
		return nil
	case "based_on", "sources":
		return nil
	default:
		if !slices.Contains(sectionNames(), key) {
			return r.errorf(e.key, "unknown key %q: want machine, about, based_on, sources, %s", key, strings.Join(sectionNames(), ", "))
		}
		return r.section(p, e)
	}
}

// section reads the figures of one section.
func (r *reader) section(p *Profile, section entry) error {
	list, err := r.entries(section.value, section.key.Value)
	if err != nil {
		return err
	}
	for _, e := range list {
		path := section.key.Value + "." + e.key.Value
		f := findFigure(path)
		if f == nil {
			return r.errorf(e.key, "unknown figure %q: want one of %s", path, strings.Join(keysOf(section.key.Value), ", "))
		}
		if err := r.figure(p, f, e.value); err != nil {
			return err
		}
	}
	return nil
}

// figure reads a value and its source.
func (r *reader) figure(p *Profile, f *figure, n *yaml.Node) error {
	list, err := r.entries(n, f.path())
	if err != nil {
		return err
	}
	var value *yaml.Node
	var cite Cite
	for _, e := range list {
		switch e.key.Value {
		case "value":
			value = e.value
		case "source":
			cite.Key = e.value.Value
		case "note":
			cite.Note = e.value.Value
		default:
			return r.errorf(e.key, "unknown key %q in %s: want value, source, note", e.key.Value, f.path())
		}
	}
	if value == nil || cite.Key == "" {
		return r.errorf(n, "%s lacks a value or a source: want {value: ..., source: KEY}", f.path())
	}
	s, ok := r.sources[cite.Key]
	if !ok {
		return r.errorf(n, "%s: source %q is not among the sources of this file", f.path(), cite.Key)
	}
	s.used, cite.Source = true, s.text
	if err := f.codec.parse(p, value); err != nil {
		return r.errorf(value, "%s: %w", f.path(), err)
	}
	p.cites[f.path()] = cite
	return nil
}

// complete checks that nothing is missing, and that all fits together.
func (r *reader) complete(p *Profile, root *yaml.Node) error {
	if p.Name == "" || p.About == "" {
		return r.errorf(root, "the profile lacks machine or about")
	}
	for i := range figures {
		if _, given := p.cites[figures[i].path()]; !given && !figures[i].optional {
			return r.errorf(root, "%s is missing: give it, or say based_on: %s", figures[i].path(), Generic)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.sources)) {
		if s := r.sources[key]; !s.used {
			return r.errorf(s.node, "source %q is not used by any figure", key)
		}
	}
	if err := p.disambiguate(); err != nil {
		return r.errorf(root, "%w", err)
	}
	if err := p.Check(); err != nil {
		return r.errorf(root, "%w", err)
	}
	return nil
}

// disambiguate refuses one key for two sources, its own and one of the profile it
// is based on.
func (p *Profile) disambiguate() error {
	texts := make(map[string]string)
	for i := range figures {
		c, ok := p.cites[figures[i].path()]
		if !ok {
			continue
		}
		if text, known := texts[c.Key]; known && text != c.Source {
			return fmt.Errorf("source %q means another one in the profile that this is based on: choose another key", c.Key)
		}
		texts[c.Key] = c.Source
	}
	return nil
}

// sectionNames lists the sections in order.
func sectionNames() []string {
	var names []string
	for i := range figures {
		if n := len(names); n == 0 || names[n-1] != figures[i].section {
			names = append(names, figures[i].section)
		}
	}
	return names
}

// keysOf lists the figures of a section in order.
func keysOf(section string) []string {
	var keys []string
	for i := range figures {
		if figures[i].section == section {
			keys = append(keys, figures[i].key)
		}
	}
	return keys
}

// record returns the values of a mapping that has exactly the keys.
func record(n *yaml.Node, keys ...string) ([]*yaml.Node, error) {
	fields := make([]*yaml.Node, len(keys))
	if n.Kind == yaml.MappingNode && len(n.Content) == 2*len(keys) {
		for i := 0; i < len(n.Content); i += 2 {
			if k := slices.Index(keys, n.Content[i].Value); k >= 0 {
				fields[k] = n.Content[i+1]
			}
		}
	}
	if slices.Contains(fields, nil) {
		return nil, fmt.Errorf("%s is not {%s}", describe(n), strings.Join(keys, ", "))
	}
	return fields, nil
}

// describedMax is how many bytes of a value an error shows.
const describedMax = 60

// describe names what a node is, for errors.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.ScalarNode:
		if len(n.Value) > describedMax {
			return fmt.Sprintf("%q...", n.Value[:describedMax])
		}
		return fmt.Sprintf("%q", n.Value)
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "an alias"
	}
}
