// Package scenario holds what is measured. Each run measures one scenario with one cache, in a
// process of its own, and checks the results that it times.
package scenario

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
)

// An Env is the size of a run and what it may use.
type Env struct {
	// Scale multiplies the number of sessions and of operations; 1 is the reference. It must be
	// large enough that a thousand sessions remain.
	Scale float64

	// Traces are directories with access traces, for the hit ratio.
	Traces []string

	// MaxRequests bounds how much of a trace is replayed. Zero means all of it.
	MaxRequests int
}

// scaled returns n at the scale of the run, but at least 1000.
func (e Env) scaled(n int) int { return max(1000, int(float64(n)*e.Scale)) }

// million is the number of sessions of most scenarios.
func (e Env) million() int { return e.scaled(1_000_000) }

// A Metric is a measured value with its unit, in the form of Go's benchmarks.
type Metric struct {
	Value float64
	Unit  string
}

// A Result is one line of a run.
type Result struct {
	Sub     string // "key=value" where a run has several results; else empty
	N       int    // operations
	Metrics []Metric
}

// A Scenario is one thing to measure.
type Scenario struct {
	Name string
	Doc  string // a sentence for the report

	// Takes says whether a cache can be measured so.
	Takes func(peers.Peer) bool

	// Extra names what else it measures, and only it.
	Extra []string

	Run func(Env, peers.Peer) ([]Result, error)

	// Rounds bounds the number of rounds; zero means as many as asked for. Scenarios that hardly
	// vary, or that a minute is too dear for, set it.
	Rounds int
}

// All returns the scenarios, in the order of the report.
func All() []Scenario {
	return slices.Concat(readScenarios, writeScenarios, selectScenarios, otpScenarios, memoryScenarios, timeScenarios, policyScenarios)
}

// Find returns the scenario of a name.
func Find(name string) (Scenario, bool) {
	all := All()
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
	if i < 0 {
		return Scenario{}, false
	}
	return all[i], true
}

// Peers returns what the scenario measures.
func (s Scenario) Peers() (ps []peers.Peer) {
	for _, p := range peers.All() {
		if s.Takes(p) {
			ps = append(ps, p)
		}
	}
	for _, name := range s.Extra {
		ps = append(ps, peers.Peer{Name: name, Class: peers.Yardstick, Core: true})
	}
	return ps
}

// Write writes the lines of a run in the format of Go's benchmarks.
func Write(w io.Writer, scenario, cache string, results []Result) error {
	for _, r := range results {
		name := "BenchmarkCompare/scenario=" + scenario + "/cache=" + cache
		if r.Sub != "" {
			name += "/" + r.Sub
		}
		if _, err := fmt.Fprintf(w, "%s-%d\t%d", name, runtime.GOMAXPROCS(0), r.N); err != nil {
			return err
		}
		for _, m := range r.Metrics {
			if _, err := fmt.Fprintf(w, "\t%s %s", strconv.FormatFloat(m.Value, 'g', 6, 64), m.Unit); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	return nil
}

// real reports whether a peer is a cache or a map and no yardstick.
func real(p peers.Peer) bool { return p.Class != peers.Yardstick && p.Class != peers.Harness }

// bounded reports whether a peer is a cache that keeps to a number of sessions.
func bounded(p peers.Peer) bool { return p.Bounded() && real(p) }
