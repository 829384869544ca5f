package scenario

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/replay"
	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

var policyScenarios = []Scenario{
	{Name: "rotation", Doc: "ticket rotation: 60,000 clients return to 10,000 places, a hit replaces its key", Takes: hasPolicy, Run: rotations, Rounds: 3},
	{Name: "hit-ratio", Doc: "recorded and generated access traces, each at several cache sizes", Takes: hasPolicy, Extra: []string{Belady}, Run: hitRatios, Rounds: 1},
}

// Belady is the yardstick that knows the future. Only hit-ratio can measure it.
const Belady = "Belady"

// hasPolicy leaves out the cache that differs from otter in its clock alone, and that which differs
// from fastcache in its index alone. ttlcache and golang-lru are LRUs, and so measure the harness.
func hasPolicy(p peers.Peer) bool {
	return p.Bounded() && p.Class != peers.Coarse && (p.Class != peers.Ours || p.Name == "fastcache")
}

// rotation is ticket traffic: clients return, some often and most seldom; each return uses the
// client's newest session once and leaves it a newer one under another id.
type rotation struct {
	clients, places, visits int
	oneTime                 float64 // the share of visits by clients that come once
}

func rotations(env Env, p peers.Peer) ([]Result, error) {
	var out []Result
	for _, oneTime := range []float64{0, 0.4} {
		for _, told := range []string{"false", "true", "probation"} {
			places := env.scaled(10_000)
			r := rotation{clients: 6 * places, places: places, visits: 48 * places, oneTime: oneTime}
			c := p.Open(peers.Config{Capacity: r.places, TTL: workload.TTL, Inline: true})
			d, ok := c.(peers.Demoter)
			if told != "false" && !ok {
				c.Close()
				continue
			}
			if told == "false" {
				d = nil
			}
			share, err := r.run(c, d, told == "probation")
			c.Close()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.Name, err)
			}
			out = append(out, Result{
				Sub:     fmt.Sprintf("one-time=%.0f/demote=%s", oneTime*100, told),
				N:       r.visits,
				Metrics: []Metric{{share * 100, "resumed-%"}},
			})
		}
	}
	return out, nil
}

// run plays the traffic and returns the share of the visits of returning clients that resumed,
// the first half, in which everything fills, left out. The cache is told of sessions that are used
// if there is a Demoter, and with probation of clients that showed none, too.
func (r rotation) run(c peers.Cache, d peers.Demoter, probation bool) (float64, error) {
	const skew = 0.9 // client i returns in proportion to 1/(i+1)^skew
	cumulative := make([]float64, r.clients)
	sum := 0.0
	for i := range cumulative {
		sum += math.Pow(float64(i+1), -skew)
		cumulative[i] = sum
	}
	rng := rand.New(rand.NewPCG(20, 26))
	l, s := workload.LoadOf(r.visits), new(workload.Session)
	newest := make([]string, r.clients) // by client, the key of its newest session
	resumed, counted := 0, 0
	for visit := range r.visits {
		key, ok := l.Key(uint64(visit)), false
		if rng.Float64() >= r.oneTime {
			client := sort.SearchFloat64s(cumulative, rng.Float64()*sum)
			ok = newest[client] != ""
			if ok {
				_, ok = c.Get(newest[client])
			}
			if ok && d != nil {
				d.Demote(newest[client])
			}
			if visit > r.visits/2 {
				counted++
				if ok {
					resumed++
				}
			}
			newest[client] = key
		}
		if probation && !ok {
			d.SetOnProbation(key, s)
		} else {
			c.Set(key, s)
		}
		c.Flush()
		if n := c.Len(); n > r.places {
			return 0, fmt.Errorf("%d sessions in %d places", n, r.places)
		}
	}
	return float64(resumed) / float64(counted), nil
}

func hitRatios(env Env, p peers.Peer) ([]Result, error) {
	var out []Result
	err := eachTrace(env, func(t *replay.Trace) error {
		keys := t.Keys()
		for _, size := range t.SizesOf() {
			hits := 0
			if p.Name == Belady {
				hits = t.Belady(size)
			} else {
				c := p.Open(peers.Config{Capacity: size, TTL: workload.TTL, Inline: true})
				hits = t.Hits(c, keys)
				n := c.Len()
				c.Close()
				if n > size {
					return fmt.Errorf("%s: %d sessions in %d places after %s", p.Name, n, size, t.Name)
				}
			}
			kind := "recorded"
			if t.Made {
				kind = "made"
			}
			out = append(out, Result{
				Sub:     fmt.Sprintf("kind=%s/trace=%s/places=%d", kind, t.Name, size),
				N:       len(t.Requests),
				Metrics: []Metric{{float64(hits) / float64(len(t.Requests)) * 100, "hit-%"}},
			})
		}
		return nil
	})
	return out, err
}

// eachTrace calls f with the recorded traces that it finds, and then with the generated ones.
func eachTrace(env Env, f func(*replay.Trace) error) error {
	files, err := replay.Files(env.Traces...)
	if err != nil {
		return err
	}
	for _, file := range files {
		t, err := replay.Read(file, env.MaxRequests)
		if err != nil {
			return err
		}
		if len(t.Requests) < 1000 {
			continue // a sample of a format, no trace
		}
		if err := f(t); err != nil {
			return err
		}
	}
	for _, t := range replay.Made(env.scaled(1_000_000)) {
		if err := f(t); err != nil {
			return err
		}
	}
	return nil
}
