package fastcache_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
)

// rotation is ticket traffic: clients return, some often and most seldom; each return uses
// the client's newest session once and leaves it a newer one under another id.
type rotation struct {
	clients, places, visits int
	skew                    float64 // client i returns in proportion to 1/(i+1)^skew
}

// run plays the traffic and returns the share of visits that resumed, the first half, in
// which everything fills, left out. use reports whether a session is still there; store
// adds one.
func (r rotation) run(use func(id int) bool, store func(id int)) float64 {
	rng := rand.New(rand.NewPCG(20, 26))
	cumulative := make([]float64, r.clients)
	sum := 0.0
	for i := range cumulative {
		sum += math.Pow(float64(i+1), -r.skew)
		cumulative[i] = sum
	}
	newest := make([]int, r.clients) // by client, its newest session; 0: none yet
	resumed := 0
	for visit := 1; visit <= r.visits; visit++ {
		client := sort.SearchFloat64s(cumulative, rng.Float64()*sum)
		if newest[client] != 0 && use(newest[client]) && visit > r.visits/2 {
			resumed++
		}
		newest[client] = visit
		store(visit)
	}
	return float64(resumed) / float64(r.visits-r.visits/2)
}

// fifo is the share that a plain first-in-first-out cache resumes: of the last so many ids.
func (r rotation) fifo() float64 {
	latest := 0
	return r.run(func(id int) bool { return id > latest-r.places }, func(id int) { latest = id })
}

func (r rotation) cache(t *testing.T, shards int, demote bool) float64 {
	t.Helper()
	c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{MaxSessions: r.places, NoIndex: true})
	return r.run(func(id int) bool {
		v, ok := c.Lookup(key("server", id))
		if ok && v != id {
			t.Fatalf("Lookup of session %d = %d", id, v)
		}
		if ok && demote {
			c.Demote(key("server", id))
		}
		return ok
	}, func(id int) { put(t, c, key("server", id), id) })
}

// The eviction policy never resumes fewer than a FIFO under ticket rotation, and clearly
// more where the used handles are demoted.
func TestTicketRotationResumesAtLeastAsFIFODoes(t *testing.T) {
	r := rotation{clients: 60_000, places: 10_000, visits: 240_000, skew: 0.9}
	if raced {
		r = rotation{clients: 6_000, places: 1_000, visits: 24_000, skew: 0.9}
	}
	fifo := r.fifo()
	for _, shards := range []int{1, 4} {
		t.Run(fmt.Sprintf("shards=%d", shards), func(t *testing.T) {
			plain, demoting := r.cache(t, shards, false), r.cache(t, shards, true)
			t.Logf("resumed: FIFO %.4f, cache %.4f, cache with Demote %.4f (%.3f times FIFO)", fifo, plain, demoting, demoting/fifo)
			least := fifo
			if shards > 1 {
				least -= 0.003 // where a shard gets more than its share by chance, its sessions go sooner
			}
			if plain < least {
				t.Errorf("%.4f of the visits resumed; a FIFO resumes %.4f", plain, fifo)
			}
			if demoting < 1.10*fifo {
				t.Errorf("%.4f of the visits resumed with Demote; want at least 1.10 times the FIFO's %.4f", demoting, fifo)
			}
		})
	}
}
