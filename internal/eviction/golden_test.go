package eviction_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/traffic"
)

var update = flag.Bool("update", false, "write testdata/evictions.txt anew: only for a change of policy that is meant")

// Which session the policy evicts follows from the calls alone, so a record of its choices shows any
// change, also one that no hit ratio shows. The record says what the policy does, not what is right: the
// tests of promises do, and hitratio_test.go and rotation_test.go of fastcache. It is there so that a change of policy
// is meant and not slipped in with another. If a change is meant, look at the hit ratios (docs/adr/0008),
// runs
//
//	go test ./internal/eviction -run TestEvictionDecidesAsRecorded -update
//
// and commits the new record with the change, which tells how many hits each traffic won or lost.
func TestEvictionDecidesAsRecorded(t *testing.T) {
	const file = "testdata/evictions.txt"
	var got bytes.Buffer
	for _, tc := range recordedTraffic() {
		p := newReplay(tc.places)
		hits := tc.play(p)
		if err := p.Check(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		fmt.Fprintf(&got, "%-42s  %6d hits %6d evicted %016x\n", tc.name, hits, p.evicted, p.trace)
	}
	exact := !fuses(1+1.0/(1<<30), 1-1.0/(1<<30), -1)
	if *update {
		if !exact {
			t.Fatal("write the record where products and sums are rounded apart, as by default on amd64")
		}
		if err := os.WriteFile(file, got.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sameRecord(t, strings.Split(got.String(), "\n"), strings.Split(string(want), "\n"), exact)
}

// sameRecord compares what was decided with the record, line by line. Where a product and a sum are
// rounded once, not twice, some decisions may differ: there the hits may, by a hundredth.
func sameRecord(t *testing.T, got, want []string, exact bool) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d lines of decisions; the record has %d", len(got), len(want))
	}
	for i, line := range got {
		if line == want[i] {
			continue
		}
		var hits, recorded int
		name, decided, _ := strings.Cut(line, "  ")
		if rest, ok := strings.CutPrefix(want[i], name+"  "); ok && !exact {
			fmt.Sscan(decided, &hits)
			fmt.Sscan(rest, &recorded)
			if diff := hits - recorded; diff*100 <= recorded && -diff*100 <= recorded {
				continue
			}
		}
		t.Errorf("decided:\n%s\nrecorded:\n%s\nIf the policy was meant to change, -update writes the record anew.", line, want[i])
	}
}

// fuses reports whether the compiler turns a product and a sum into one operation, where a·b is less
// than -c by so little that only such an operation sees it.
//
//go:noinline
func fuses(a, b, c float64) bool { return a*b+c != 0 }

// A recorded is traffic, played against the queues of one shard: how often it found what it asked for.
type recorded struct {
	name   string
	places int
	play   func(p *replay) (hits int)
}

// recordedTraffic is small and varied: what the policy tells apart, in shards that are tiny, small
// and large for it, and every operation that it knows.
func recordedTraffic() []recorded {
	return []recorded{
		{"frequency, 1 place", 1, pages(traffic.Popular(5000, 20, 1, 0))},
		{"frequency, 3 places", 3, pages(traffic.Popular(20_000, 30, 0.9, 0))},
		{"frequency, 16 places", 16, pages(traffic.Popular(80_000, 300, 0.9, 0))},
		{"frequency, 100 places", 100, pages(traffic.Popular(60_000, 3000, 0.9, 0))},
		{"frequency, 600 places", 600, pages(traffic.Popular(100_000, 30_000, 0.9, 0))},
		{"frequency, 2500 places", 2500, pages(traffic.Popular(100_000, 30_000, 0.8, 0))},
		{"moving ranks, 300 places", 300, pages(traffic.Popular(60_000, 6000, 0.9, 20))},
		{"a loop of 20, 16 places", 16, pages(traffic.Loop(80_000, 20))},
		{"a loop of 600, 100 places", 100, pages(traffic.Loop(60_000, 600))},
		{"a loop of 1300, 1000 places", 1000, pages(traffic.Loop(60_000, 1300))},
		{"a loop of 6000, 1000 places", 1000, pages(traffic.Loop(150_000, 6000))},
		{"recency with scans, 100 places", 100, pages(traffic.Recent(50_000, 80, 1.5, 0.1).Scanned(1000, 400))},
		{"recency with scans, 700 places", 700, pages(traffic.Recent(60_000, 800, 1.2, 0.1).Scanned(7000, 3000))},
		{"bursts, 60 places", 60, pages(traffic.Bursts(40_000, 50, 4))},
		{"bursts, too little room, 600 places", 600, pages(traffic.Bursts(80_000, 1000, 4))},
		{"recency, a loop, frequency, 500 places", 500,
			pages(traffic.Recent(30_000, 250, 1, 0.2).Then(traffic.Loop(30_000, 750)).Then(traffic.Popular(30_000, 15_000, 1, 0)))},
		{"bursts, a loop, bursts, 200 places", 200,
			pages(traffic.Bursts(20_000, 60, 4).Then(traffic.Loop(20_000, 250)).Then(traffic.Bursts(20_000, 60, 4)))},
		{"rotation, 100 places", 100, tickets(traffic.Rotation{Clients: 600, Visits: 40_000, Skew: 0.9, Hurried: 0.2}, false)},
		{"rotation, demoted, 100 places", 100, tickets(traffic.Rotation{Clients: 600, Visits: 40_000, Skew: 0.9}, true)},
		{"rotation with strangers, 1000 places", 1000, tickets(traffic.Rotation{Clients: 6000, Visits: 60_000, Skew: 0.9, Strangers: 0.4}, false)},
		{"strangers, demoted, 16 places", 16, tickets(traffic.Rotation{Clients: 100, Visits: 40_000, Skew: 0.9, Strangers: 0.4}, true)},
		{"strangers, demoted, 1000 places", 1000, tickets(traffic.Rotation{Clients: 6000, Visits: 60_000, Skew: 0.9, Strangers: 0.4}, true)},
		{"rotation, pages, rotation, 600 places", 600, inTurn(
			tickets(traffic.Rotation{Clients: 3000, Visits: 20_000, Skew: 0.9, Hurried: 0.3}, false),
			pages(traffic.Popular(30_000, 10_000, 1, 0)),
			tickets(traffic.Rotation{Clients: 3000, Visits: 40_000, Skew: 0.9, Hurried: 0.3}, false))},
		{"tickets among pages, 400 places", 400,
			mixed(traffic.Rotation{Clients: 3000, Visits: 30_000, Skew: 0.9, Hurried: 0.2}, traffic.Popular(30_000, 3000, 1, 0))},
		{"tickets among recent pages, 1000 places", 1000,
			mixed(traffic.Rotation{Clients: 6000, Visits: 20_000, Skew: 0.9, Hurried: 0.2}, traffic.Recent(60_000, 500, 1, 0.2))},
		{"every operation, 7 places", 7, everything(40_000, 20)},
		{"every operation, 150 places", 150, everything(60_000, 500)},
		{"every operation, 1200 places", 1200, everything(80_000, 4000)},
		{"a shard that grows, 200 to 3000 places", 200, growing(traffic.Popular(30_000, 20_000, 0.8, 0), 200, 500, 3000)},
		{"a shard that grows amid a loop", 250, growing(traffic.Loop(30_000, 1100), 250, 257, 700)},
	}
}

// pages asks for keys and stores what it misses.
func pages(w traffic.Workload) func(*replay) int {
	return func(p *replay) int {
		hits := 0
		for _, key := range w {
			if p.Lookup(key) {
				hits++
			} else {
				p.Store(key)
			}
		}
		return hits
	}
}

// tickets is ticket rotation, whose used tickets may be demoted.
func tickets(r traffic.Rotation, demote bool) func(*replay) int {
	return func(p *replay) int {
		hits := 0
		r.Run(func(id int) bool {
			ok := p.Lookup(-id)
			if ok {
				hits++
			}
			if ok && demote {
				p.Demote(-id)
			}
			return ok
		}, func(id int) { p.Store(-id) })
		return hits
	}
}

// inTurn plays one traffic after the other.
func inTurn(parts ...func(*replay) int) func(*replay) int {
	return func(p *replay) int {
		hits := 0
		for _, play := range parts {
			hits += play(p)
		}
		return hits
	}
}

// mixed is rotation of tickets while others ask for pages.
func mixed(r traffic.Rotation, w traffic.Workload) func(*replay) int {
	return func(p *replay) int {
		hits, asked := 0, 0
		r.Run(func(id int) bool {
			ok := p.Lookup(-id)
			if ok {
				hits++
			}
			return ok
		}, func(id int) {
			p.Store(-id)
			until := len(w) * id / r.Visits
			hits += pages(w[asked:until])(p)
			asked = until
		})
		return hits
	}
}

// everything asks for popular keys and does now and then what else can be done with one.
func everything(n, keys int) func(*replay) int {
	return func(p *replay) int {
		rng, hits := rand.New(rand.NewPCG(4, uint64(keys))), 0
		for _, key := range traffic.Popular(n, keys, 0.7, 100) {
			switch rng.IntN(40) {
			case 0:
				p.Demote(key)
			case 1:
				p.Delete(key)
			case 2, 3:
				p.Outgrow(key)
			case 4, 5, 6:
				p.Store(key)
			default:
				hits += pages(traffic.Workload{key})(p)
			}
		}
		return hits
	}
}

// growing asks for keys of a shard that may hold more and more.
func growing(w traffic.Workload, bounds ...int) func(*replay) int {
	return func(p *replay) int {
		hits := 0
		for i, places := range bounds {
			p.Grow(places)
			hits += pages(w[len(w)*i/len(bounds) : len(w)*(i+1)/len(bounds)])(p)
		}
		return hits
	}
}
