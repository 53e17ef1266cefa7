package assemble

// sortRuns sorts records by merging their runs: a source writes the buffers of
// its CPUs one after the other, each in order.
func (a *Assembler) sortRuns(rs []*Record) []*Record {
	for {
		out := a.merge[:0]
		runs := 0
		for i := 0; i < len(rs); {
			j := runEnd(rs, i)
			k := runEnd(rs, j)
			out = mergeRuns(out, rs[i:j], rs[j:k])
			i = k
			runs++
		}
		a.merge = rs
		rs = out
		if runs <= 1 {
			return rs
		}
	}
}

func runEnd(rs []*Record, i int) int {
	if i >= len(rs) {
		return i
	}
	for i++; i < len(rs) && !rs[i].before(rs[i-1]); i++ {
	}
	return i
}

func mergeRuns(out, x, y []*Record) []*Record {
	for len(x) > 0 && len(y) > 0 {
		if y[0].before(x[0]) {
			out = append(out, y[0])
			y = y[1:]
		} else {
			out = append(out, x[0])
			x = x[1:]
		}
	}
	return append(append(out, x...), y...)
}
