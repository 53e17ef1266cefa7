package machines

import (
	"io"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Write writes the profile out in full.
func (p *Profile) Write(w io.Writer) error {
	_, err := w.Write(p.YAML())
	return err
}

// CiteFitted gives every figure that differs from the profile before the source
// named: how they were fitted.
func (p *Profile) CiteFitted(before *Profile, source string) {
	for i := range figures {
		f := &figures[i]
		was, is := f.codec.format(before), f.codec.format(p)
		if is != nil && (was == nil || !equal(was, is)) {
			p.SetCite(f.path(), Cite{Key: "fitted", Source: source})
		}
	}
}

// equal reports whether two values are written alike.
func equal(a, b *yaml.Node) bool {
	return a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, equal)
}
