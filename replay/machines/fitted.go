package machines

import (
	"io"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/sim"
)

// Write writes the profile out in full.
func (p *Profile) Write(w io.Writer) error {
	_, err := w.Write(p.YAML())
	return err
}

// CiteFitted gives every figure that differs from the machine before the source
// named: how they were fitted.
func (p *Profile) CiteFitted(before *sim.Machine, source string) {
	old := &replay.Profile{Machine: *before, Recorder: p.Recorder, Sections: p.Sections}
	for i := range figures {
		f := &figures[i]
		was, is := f.codec.format(old), f.codec.format(&p.Profile)
		if was != nil && is != nil && was.Value != is.Value {
			p.SetCite(f.path(), Cite{Key: "fitted", Source: source})
		}
	}
}
