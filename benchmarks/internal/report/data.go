// Package report reads the raw file of a comparison and writes what a person reads: one Markdown
// page with the targets, a table per scenario, and plots.
package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
)

// RawFile is the name of the file with the raw results, in the format of Go's benchmarks.
const RawFile = "compare.txt"

// Units, as golang.org/x/perf names them: nanoseconds become seconds.
const (
	secPerOp    = "sec/op"
	cpuPerOp    = "cpu-sec/op"
	bytesEach   = "B/session"
	gcCPU       = "gc-cpu-sec"
	worstTime   = "worst-sec"
	worstCPU    = "worst-cpu-sec"
	tailTime    = "p99.9-sec"
	lateTime    = "late-sec"
	expiryCPU   = "expiry-cpu-sec"
	hitPercent  = "hit-%"
	resumedUnit = "resumed-%"
	keptUnit    = "newest-kept-%"
	overUnit    = "over-bound-%"
	allocsUnit  = "allocs/op"
)

// A cell names what was measured: a scenario, one of its variants ("op=select"; most have none),
// with a cache.
type cell struct{ scenario, variant, cache string }

// Data is what a raw file holds.
type Data struct {
	config   [][2]string // what the file says of itself, in order; "module" comes many times
	failures []string
	rounds   int
	values   map[cell]map[string]map[int]float64 // by unit and round
	order    []cell                              // as they first come
}

// Load reads a raw file.
func Load(path string) (*Data, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parse(f, path)
}

func parse(in io.Reader, name string) (*Data, error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	d := &Data{values: map[cell]map[string]map[int]float64{}}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if failure, ok := strings.CutPrefix(line, "# FAILED "); ok {
			d.failures = append(d.failures, failure)
		}
		if key, value, ok := strings.Cut(line, ": "); ok && len(d.order) == 0 && !strings.ContainsAny(key, " #\t/") && key != "round" {
			d.config = append(d.config, [2]string{key, value})
		}
	}
	r := benchfmt.NewReader(strings.NewReader(string(text)), name)
	for r.Scan() {
		switch rec := r.Result().(type) {
		case *benchfmt.SyntaxError:
			return nil, rec
		case *benchfmt.Result:
			if err := d.add(rec); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if r.Err() == nil && len(d.order) == 0 {
		return nil, fmt.Errorf("%s holds no results", name)
	}
	return d, r.Err()
}

// add adds a line, whose name is Compare/scenario=.../cache=.../variant-procs.
func (d *Data) add(rec *benchfmt.Result) error {
	name := string(rec.Name.Full())
	name = name[:max(0, strings.LastIndexByte(name, '-'))]
	parts := strings.SplitN(name, "/", 4)
	if len(parts) < 3 || !strings.HasPrefix(parts[1], "scenario=") || !strings.HasPrefix(parts[2], "cache=") {
		return fmt.Errorf("unknown benchmark %q", rec.Name)
	}
	c := cell{scenario: parts[1][len("scenario="):], cache: parts[2][len("cache="):]}
	if len(parts) == 4 {
		c.variant = parts[3]
	}
	round := 0
	if _, err := fmt.Sscan(rec.GetConfig("round"), &round); err != nil {
		return fmt.Errorf("%s is in no round", name)
	}
	d.rounds = max(d.rounds, round)
	if d.values[c] == nil {
		d.values[c] = map[string]map[int]float64{}
		d.order = append(d.order, c)
	}
	for _, v := range rec.Values {
		if d.values[c][v.Unit] == nil {
			d.values[c][v.Unit] = map[int]float64{}
		}
		d.values[c][v.Unit][round] = v.Value
	}
	return nil
}

// setting returns what the file says of itself under a key.
func (d *Data) setting(key string) string {
	for _, c := range d.config {
		if c[0] == key {
			return c[1]
		}
	}
	return "unknown"
}

// A summary is the median of a number of rounds, with its confidence interval (95 %), or, where
// there are too few rounds for one, the least and the largest value.
type summary struct {
	n              int
	center, lo, hi float64
	least          float64
	most           float64
}

func summarize(values []float64) summary {
	s := benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	sum := benchmath.AssumeNothing.Summary(s, 0.95)
	out := summary{len(values), sum.Center, sum.Lo, sum.Hi, s.Values[0], s.Values[len(s.Values)-1]}
	if math.IsInf(sum.Lo, 0) || math.IsInf(sum.Hi, 0) {
		out.lo, out.hi = out.least, out.most
	}
	return out
}

// get returns a summary of what was measured, if anything was.
func (d *Data) get(c cell, unit string) (summary, bool) {
	byRound := d.values[c][unit]
	if len(byRound) == 0 {
		return summary{}, false
	}
	values := make([]float64, 0, len(byRound))
	for _, v := range byRound {
		values = append(values, v)
	}
	return summarize(values), true
}

// ratio returns the ratio of the medians of two cells, over the rounds that measured both. Its
// interval is that of the ratios within a round, whose two runs met the same machine.
func (d *Data) ratio(a, b cell, unit string) (summary, bool) {
	var as, bs, paired []float64
	for round, v := range d.values[a][unit] {
		if w, ok := d.values[b][unit][round]; ok && w != 0 {
			as, bs, paired = append(as, v), append(bs, w), append(paired, v/w)
		}
	}
	if len(paired) == 0 {
		return summary{}, false
	}
	s := summarize(paired)
	s.center = summarize(as).center / summarize(bs).center
	return s, true
}

// caches returns the caches that a scenario's variant has a unit of, the least first.
func (d *Data) caches(scenario, variant, unit string) (names []string) {
	for _, c := range d.order {
		if c.scenario == scenario && c.variant == variant && len(d.values[c][unit]) > 0 {
			names = append(names, c.cache)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int {
		x, _ := d.get(cell{scenario, variant, a}, unit)
		y, _ := d.get(cell{scenario, variant, b}, unit)
		return cmp.Compare(x.center, y.center)
	})
	return names
}

// variants returns the variants of a scenario, in the order of the file.
func (d *Data) variants(scenario string) (names []string) {
	for _, c := range d.order {
		if c.scenario == scenario && !slices.Contains(names, c.variant) {
			names = append(names, c.variant)
		}
	}
	return names
}
