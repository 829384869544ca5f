package scenario

import (
	"fmt"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

// accesses is the length of the traces of most scenarios.
const accesses = 1 << 22

func notYardstick(p peers.Peer) bool { return p.Class != peers.Yardstick }

var readScenarios = []Scenario{
	{Name: "hit-zipf", Doc: "lookups over 1 M sessions, Zipf with s = 1.01; all hit", Takes: notYardstick, Run: hits(workload.Load.Zipf)},
	{Name: "hit-uniform", Doc: "lookups over 1 M sessions, each as likely; all hit", Takes: notYardstick, Run: hits(workload.Load.Uniform)},
	{Name: "miss", Doc: "lookups of unknown ids of known hosts in 1 M sessions; none hits", Takes: notYardstick, Run: misses},
	{Name: "mixed-90", Doc: "90 % lookups, 10 % updates of present keys, Zipf over 1 M sessions; no lookup misses", Takes: notYardstick, Run: mixed(10)},
	{Name: "mixed-75", Doc: "75 % lookups, 25 % updates of present keys, Zipf over 1 M sessions; no lookup misses", Takes: notYardstick, Run: mixed(4)},
	{Name: "scaling", Doc: "hit-zipf and mixed-90 with 1 to 64 goroutines per processor", Takes: scales, Run: scaling, Rounds: 3},
}

// scales leaves the slow ones out: their curves would only flatten the plot.
func scales(p peers.Peer) bool { return p.Core && real(p) }

// lookUp looks up n accesses of a trace, from one on and around its end.
func (c filled) lookUp(t *workload.Trace, from, n int, sum *tally) {
	hits, wrong, left := 0, 0, n
	for i := from; left > 0; left-- {
		if s, ok := c.Get(t.Key(i)); ok {
			hits++
			if number := t.Number(i); number == workload.Absent || s != &c.sessions[number] {
				wrong++
			}
		}
		if i++; i == t.Len() {
			i = 0
		}
	}
	sum.add(n, hits, wrong)
}

// readers times workers that look a trace up, together each access so many times.
func (c filled) readers(workers int, t *workload.Trace, times int) (timing, *tally) {
	n, sum := t.Len()*times, &tally{}
	return timeWorkers(workers, n, func(w int) {
		from, _ := part(t.Len(), w, workers)
		begin, end := part(n, w, workers)
		c.lookUp(t, from, end-begin, sum)
	}), sum
}

func hits(trace func(workload.Load, int) *workload.Trace) func(Env, peers.Peer) ([]Result, error) {
	return func(env Env, p peers.Peer) ([]Result, error) { return reads(env, p, trace, true) }
}

func misses(env Env, p peers.Peer) ([]Result, error) { return reads(env, p, workload.Load.New, false) }

func reads(env Env, p peers.Peer, trace func(workload.Load, int) *workload.Trace, wantHits bool) ([]Result, error) {
	c, err := fill(p, workload.LoadOf(env.million()))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	t := trace(c.load, env.scaled(accesses))
	took, sum := c.readers(processors(), t, 2)
	return []Result{{N: took.n, Metrics: took.metrics()}}, sum.check(p, wantHits)
}

// mix looks up a part of a trace and replaces the session of every so-manyth access. It passes
// each access once: a cache may hold on to the key of an update, and must not meet it again.
func (c filled) mix(t *workload.Trace, from, to, writeEvery int, sum *tally) {
	gets, hits, wrong, untilWrite := 0, 0, 0, writeEvery
	for i := from; i < to; i++ {
		s := &c.sessions[t.Number(i)]
		if untilWrite--; untilWrite == 0 {
			untilWrite = writeEvery
			c.Set(t.Key(i), s)
			continue
		}
		gets++
		if found, ok := c.Get(t.Key(i)); ok {
			hits++
			if found != s {
				wrong++
			}
		}
	}
	sum.add(gets, hits, wrong)
}

func (c filled) mixers(workers int, t *workload.Trace, writeEvery int) (timing, *tally) {
	sum := &tally{}
	return timeWorkers(workers, t.Len(), func(w int) {
		from, to := part(t.Len(), w, workers)
		c.mix(t, from, to, writeEvery, sum)
	}), sum
}

func mixed(writeEvery int) func(Env, peers.Peer) ([]Result, error) {
	return func(env Env, p peers.Peer) ([]Result, error) {
		c, err := fill(p, workload.LoadOf(env.million()))
		if err != nil {
			return nil, err
		}
		defer c.Close()
		took, sum := c.mixers(processors(), c.load.Zipf(env.scaled(accesses)), writeEvery)
		return []Result{{N: took.n, Metrics: took.metrics()}}, sum.check(p, true)
	}
}

func scaling(env Env, p peers.Peer) ([]Result, error) {
	c, err := fill(p, workload.LoadOf(env.million()))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var out []Result
	t := c.load.Zipf(env.scaled(accesses))
	for _, writeEvery := range []int{0, 10} {
		for _, perCore := range []int{1, 4, 16, 64} {
			var took timing
			var sum *tally
			name := "hit-zipf"
			if workers := perCore * processors(); writeEvery == 0 {
				took, sum = c.readers(workers, t, 1)
			} else {
				name = "mixed-90"
				t = t.Copy() // or accesses would meet the very keys that the last pass stored
				took, sum = c.mixers(workers, t, writeEvery)
			}
			if err := sum.check(p, true); err != nil {
				return nil, err
			}
			out = append(out, Result{fmt.Sprintf("load=%s/per-core=%d", name, perCore), took.n, took.metrics()})
		}
	}
	return out, nil
}
