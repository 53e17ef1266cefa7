package reports

import (
	"fmt"

	"github.com/google/pprof/profile"
)

// DiffProfile is what a profile has more than a base, which counts negative: pprof shows
// it as with -diff_base. At a rate the base is taken as if its run had been as long as
// the new one, in hits or in simulated time; a comment says by how much.
func (d *Difference) DiffProfile(base, now *profile.Profile, resolver string) (*profile.Profile, error) {
	ratio, err := d.ratio(resolver)
	if err != nil {
		return nil, err
	}
	base, now = base.Copy(), now.Copy()
	base.Scale(-ratio)
	base.SetLabel("pprof::base", []string{"true"}) // so that percentages are of the base
	both, err := profile.Merge([]*profile.Profile{base, now})
	if err != nil {
		return nil, fmt.Errorf("profiles of %s: %w", resolver, err)
	}
	both.Comments = append([]string{fmt.Sprintf("difference: base, times %g, is negative; per %s", ratio, d.Per)}, both.Comments...)
	return both, nil
}

// ratio is how much longer the new run is.
func (d *Difference) ratio(resolver string) (float64, error) {
	metric := map[Rate]string{PerHit: "hits", PerSecond: "makespan_ns"}[d.Per]
	if metric == "" {
		return 1, nil
	}
	for i := range d.Changes {
		if c := &d.Changes[i]; c.Resolver == resolver && c.Metric == metric && c.Base.Known && c.New.Known && c.Base.Milli > 0 {
			return float64(c.New.Milli) / float64(c.Base.Milli), nil
		}
	}
	return 0, fmt.Errorf("resolver %s: %s of both runs are not known: no difference per %s", resolver, metric, d.Per)
}
