package scenario

import (
	"fmt"
	"runtime"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
	"github.com/sessioncache/sessioncache/fastcache"
)

var selectScenarios = []Scenario{
	{Name: "select", Doc: "all ten sessions of a host among 1 M sessions; no Go peer can", Takes: hasIndex, Run: selectTen},
}

func hasIndex(p peers.Peer) bool { return p.Name == "fastcache" }

// An unwrapper gives access to what no peer has.
type unwrapper interface {
	Unwrap() *fastcache.Cache[*workload.Session]
}

func selectTen(env Env, p peers.Peer) ([]Result, error) {
	filled, err := fill(p, workload.LoadOf(env.million()))
	if err != nil {
		return nil, err
	}
	defer filled.Close()
	c := filled.Cache.(unwrapper).Unwrap()
	t := filled.load.Uniform(env.scaled(1 << 20))
	workers, sum := processors(), &tally{}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	took := timeWorkers(workers, t.Len(), func(w int) {
		seen := 0
		from, to := part(t.Len(), w, workers)
		for i := from; i < to; i++ {
			for _, s := range c.SelectSession(t.Key(i)[:workload.PartialLen]) {
				if s != nil {
					seen++
				}
			}
		}
		sum.add(to-from, seen, 0)
	})
	runtime.ReadMemStats(&after)
	perHost := filled.load.Sessions / filled.load.Hosts
	if want := sum.gets * perHost; sum.hits != want {
		return nil, fmt.Errorf("%s selected %d sessions; want %d", p.Name, sum.hits, want)
	}
	allocs := (after.Mallocs - before.Mallocs) / uint64(sum.gets) // whole ones, as go test counts
	return []Result{{N: took.n, Metrics: append(took.metrics(), Metric{float64(allocs), "allocs/op"})}}, nil
}
