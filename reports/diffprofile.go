package reports

import (
	"fmt"
	"io"

	"github.com/google/pprof/profile"

	"github.com/replay/replay/replay"
	"github.com/replay/replay/traces/aside"
)

// Profiles are the profiles of a run by the names of their files: RESOLVER.pb.gz and
// RESOLVER.blame.pb.gz.
type Profiles func(name string) (*profile.Profile, error)

// CheckDiffDir reports whether a difference may be written to dir, before the work is done.
func CheckDiffDir(dir string, force bool) error {
	return checkFolder(dir, "diff.json", "difference", force)
}

// WriteDir writes the difference into dir, which is made: as diff.json, as diff.txt, and the
// differential profiles of each resolver in both.
func (d *Difference) WriteDir(dir string, base, now Profiles, force bool) error {
	if err := CheckDiffDir(dir, force); err != nil {
		return err
	}
	all := []file{
		{"diff.json", func(w io.Writer) error { return writeJSON(w, d) }},
		{"diff.txt", func(w io.Writer) error { return d.Text(w, TextOptions{}) }},
	}
	for i, c := range d.Changes {
		if i > 0 && d.Changes[i-1].Resolver == c.Resolver {
			continue
		}
		for _, name := range []string{c.Resolver + ".pb.gz", c.Resolver + ".blame.pb.gz"} {
			a, err := base(name)
			if err != nil {
				return err
			}
			b, err := now(name)
			if err != nil {
				return err
			}
			p, err := d.DiffProfile(a, b, c.Resolver)
			if err != nil {
				return err
			}
			all = append(all, file{name, func(w io.Writer) error { return WriteProfile(w, p) }})
		}
	}
	folder, err := aside.CreateFolder(dir)
	if err != nil {
		return fmt.Errorf("output folder: %w", err)
	}
	defer folder.Abort()
	return fill(folder, all)
}

// ProfilesOf are those of a result.
func ProfilesOf(res *replay.Result) Profiles {
	return func(name string) (*profile.Profile, error) {
		for i := range res.Runs {
			switch r := &res.Runs[i]; name {
			case r.Resolver + ".pb.gz":
				return HitProfile(res, r), nil
			case r.Resolver + ".blame.pb.gz":
				return BlameProfile(res, r), nil
			}
		}
		return nil, fmt.Errorf("no run has a profile %s", name)
	}
}

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
	for i := range base.Comments {
		base.Comments[i] = "base " + base.Comments[i]
	}
	for i := range now.Comments {
		now.Comments[i] = "new " + now.Comments[i]
	}
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
