package timeline

// Found counts what a reader of the result must know.
type Found struct {
	ObservedArrivals, InferredArrivals int64 // of hits
	ObservedSections, ModelledSections int64 // for write
	UndecidedSections                  int64 // of these, which a lost event may have changed
	Unended                            int64 // locks still held at the end
	Untold                             int64 // hits that may have been of optimised probes
	Late                               int64 // operations that came too late to be in order
}

// section counts a write section.
func (n *Found) section(o *Origin) {
	if o.Undecided {
		n.UndecidedSections++
	}
	if o.Observed {
		n.ObservedSections++
	} else {
		n.ModelledSections++
	}
}
