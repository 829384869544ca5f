package fastcache_test

import (
	"container/list"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
)

// rotation is ticket traffic: clients return, some often and most seldom; each return uses
// the client's newest session once and leaves it a newer one under another id.
type rotation struct {
	clients, places, visits int
	skew                    float64 // client i returns in proportion to 1/(i+1)^skew
	strangers               float64 // the share of visits by clients that never return
	hurried                 float64 // the share of returns that use a session twice at once
}

// run plays the traffic and returns the share of returns that resumed, the first half, in
// which everything fills, left out. use reports whether a session is still there; store
// adds one. Ids begin at 1.
func (r rotation) run(use func(id int) bool, store func(id int)) float64 {
	rng, popular := rand.New(rand.NewPCG(20, 26)), newZipf(r.clients, r.skew)
	newest := make([]int, r.clients) // by client, its newest session; 0: none yet
	resumed, returns := 0, 0
	for visit := 1; visit <= r.visits; visit++ {
		if rng.Float64() < r.strangers {
			store(visit)
			continue
		}
		client := popular.pick(rng)
		ok := newest[client] != 0 && use(newest[client])
		if ok && rng.Float64() < r.hurried {
			use(newest[client])
		}
		if visit > r.visits/2 {
			returns++
			if ok {
				resumed++
			}
		}
		newest[client] = visit
		store(visit)
	}
	return float64(resumed) / float64(returns)
}

// fifo is the share that a plain first-in-first-out cache resumes: of the last so many ids.
func (r rotation) fifo() float64 {
	latest := 0
	return r.run(func(id int) bool { return id > latest-r.places }, func(id int) { latest = id })
}

// lru is the share that a least-recently-used cache resumes.
func (r rotation) lru() float64 {
	recent, at := list.New(), map[int]*list.Element{}
	return r.run(func(id int) bool {
		e, ok := at[id]
		if ok {
			recent.MoveToFront(e)
		}
		return ok
	}, func(id int) {
		if recent.Len() == r.places {
			delete(at, recent.Remove(recent.Back()).(int))
		}
		at[id] = recent.PushFront(id)
	})
}

// cache is the share that a cache resumes, which has seen other traffic before. Its used sessions
// may be demoted.
func (r rotation) cache(t *testing.T, shards int, demote bool, before workload) float64 {
	t.Helper()
	c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{MaxSessions: r.places, NoIndex: true})
	defer check(t, c)
	before.hits(func(k int) bool {
		_, ok := c.Lookup(key("page", k))
		return ok
	}, func(k int) { put(t, c, key("page", k), k) })
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

var rotations = []struct {
	name string
	rotation
	gain float64 // what Demote is worth, at least
}{
	{"popular clients", rotation{clients: 60_000, places: 10_000, visits: 240_000, skew: 0.9}, 1.2},
	{"with strangers", rotation{clients: 60_000, places: 10_000, visits: 240_000, skew: 0.9, strangers: 0.4}, 1.2},
	{"hurried clients", rotation{clients: 6000, places: 1000, visits: 40_000, skew: 0.9, hurried: 0.2}, 1.2},
	{"clients alike", rotation{clients: 1500, places: 1000, visits: 40_000}, 1.3},
	{"few places", rotation{clients: 600, places: 100, visits: 40_000, skew: 0.9}, 1.2},
	{"very few places", rotation{clients: 100, places: 16, visits: 40_000, skew: 0.9}, 1.2},
}

// The eviction policy never resumes fewer than a FIFO or an LRU under ticket rotation, and clearly
// more where the used handles are demoted.
func TestTicketRotationResumesAtLeastAsFIFODoes(t *testing.T) {
	for _, r := range rotations {
		if raced && r.places > 1000 {
			continue
		}
		fifo, lru := r.fifo(), r.lru()
		for _, shards := range []int{1, 4} {
			if shards > 1 && r.places/shards < 25 {
				continue
			}
			t.Run(fmt.Sprintf("%s/shards=%d", r.name, shards), func(t *testing.T) {
				plain, demoting := r.cache(t, shards, false, nil), r.cache(t, shards, true, nil)
				t.Logf("resumed: FIFO %.4f, LRU %.4f, cache %.4f, cache with Demote %.4f (%.3f times FIFO)",
					fifo, lru, plain, demoting, demoting/fifo)
				least := max(fifo, lru)
				if shards > 1 { // where a shard gets more than its share by chance, its sessions go sooner
					least -= 0.3 / math.Sqrt(float64(r.places)/float64(shards))
				}
				if plain < least {
					t.Errorf("%.4f of the returns resumed; a FIFO resumes %.4f, an LRU %.4f", plain, fifo, lru)
				}
				if gain := gainOf(r.gain); demoting < gain*fifo {
					t.Errorf("%.4f of the returns resumed with Demote; want at least %v times the FIFO's %.4f", demoting, gain, fifo)
				}
			})
		}
	}
}

// What the cache has learnt from other traffic does no harm once sessions rotate.
func TestTicketRotationAfterPagesIsAFIFOAgain(t *testing.T) {
	r := rotation{clients: 6000, places: 1000, visits: 60_000, skew: 0.9}
	fifo := r.fifo()
	for name, pages := range map[string]workload{
		"frequency":   popular(60_000, 20_000, 0.9, 0),
		"a loop":      loop(30_000, 1300),
		"a long loop": loop(60_000, 6000),
		"bursts":      bursts(60_000, 600, 4),
	} {
		t.Run(name, func(t *testing.T) {
			got := r.cache(t, 1, false, pages)
			t.Logf("resumed: FIFO %.4f, cache %.4f", fifo, got)
			if got < fifo-0.005 {
				t.Errorf("%.4f of the returns resumed; a FIFO resumes %.4f", got, fifo)
			}
		})
	}
}
