package fastcache_test

import (
	"container/list"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/testing/traffic"
)

// A crowd says which client makes a visit. Below zero it is one that never comes again.
type crowd func(rng *rand.Rand, visit int) (client int)

// visits plays a crowd, and returns the share of returns that resumed, the first half, in which
// everything fills, left out. use reports whether a session is still there and forgets it; store adds
// one. Ids begin at 1.
func (who crowd) visits(n int, use func(id int) bool, store func(id int), late bool) float64 {
	rng, newest := rand.New(rand.NewPCG(20, 26)), map[int]int{}
	resumed, returns := 0, 0
	for visit := 1; visit <= n; visit++ {
		client := who(rng, visit)
		if late {
			store(visit)
		}
		if old := newest[client]; client >= 0 && old != 0 {
			ok := use(old)
			if visit > n/2 {
				returns++
				if ok {
					resumed++
				}
			}
		}
		if !late {
			store(visit)
		}
		newest[client] = visit
	}
	return float64(resumed) / float64(returns)
}

// forgetful is the share of a first-in-first-out cache in which used sessions make room first.
func (who crowd) forgetful(n, places int, late bool) float64 {
	at, waiting, spent := map[int]*list.Element{}, list.New(), list.New()
	drop := func(from *list.List) { delete(at, from.Remove(from.Front()).(int)) }
	return who.visits(n, func(id int) bool {
		e, ok := at[id]
		if ok {
			waiting.Remove(e)
			at[id] = spent.PushBack(id)
		}
		return ok
	}, func(id int) {
		switch {
		case waiting.Len()+spent.Len() < places:
		case spent.Len() > 0:
			drop(spent)
		default:
			drop(waiting)
		}
		at[id] = waiting.PushBack(id)
	}, late)
}

// demoting is the share of a cache that is told of used sessions.
func (who crowd) demoting(t *testing.T, n, places, shards int, late bool) float64 {
	t.Helper()
	c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{MaxSessions: places, NoIndex: true})
	defer check(t, c)
	return who.visits(n, func(id int) bool {
		_, ok := c.Lookup(key("server", id))
		if ok {
			c.Demote(key("server", id))
		}
		return ok
	}, func(id int) { put(t, c, key("server", id), id) }, late)
}

// popularOf are clients of whom some come often, and a share of visits by clients that come once.
func popularOf(clients int, skew, strangers float64) crowd {
	popular := traffic.NewZipf(clients, skew)
	return func(rng *rand.Rand, _ int) int {
		if rng.Float64() < strangers {
			return -1
		}
		return popular.Pick(rng)
	}
}

// passing are clients that come a few times, within so many visits, and then no more.
func passing(within int) crowd {
	return func(rng *rand.Rand, visit int) int { return visit/4 + rng.IntN(within) }
}

// inTurns lets one crowd after the other make so many visits.
func inTurns(visits int, crowds ...crowd) crowd {
	return func(rng *rand.Rand, visit int) int {
		turn := visit / visits % len(crowds)
		client := crowds[turn](rng, visit)
		if client < 0 {
			return client
		}
		return client*len(crowds) + turn
	}
}

var crowds = []struct {
	name           string
	visits, places int
	who            crowd
	gain           float64 // at least, over the forgetful FIFO
	late           float64 // the same, where the Update comes before the Demote
}{
	{"popular clients", 240_000, 10_000, popularOf(60_000, 0.9, 0), 1.03, 0.99},
	{"some strangers", 240_000, 10_000, popularOf(60_000, 0.9, 0.2), 1.1, 0.99},
	{"most are strangers", 240_000, 10_000, popularOf(60_000, 0.9, 0.8), 1.2, 0.99},
	{"strangers, few places", 40_000, 100, popularOf(60_000, 0.9, 0.2), 1.3, 0.99},
	{"clients alike and strangers", 120_000, 5000, popularOf(10_000, 0, 0.4), 1.1, 0.99},
	{"clients alike", 120_000, 5000, popularOf(10_000, 0, 0), 0.99, 0.99},
	{"passing clients", 120_000, 5000, passing(7500), 0.99, 0.99},
	{"passing clients, few places", 120_000, 5000, passing(20_000), 0.99, 0.99},
	{"a loop", 60_000, 5000, func(_ *rand.Rand, visit int) int { return visit % 4000 }, 0.99, 0.99},
	{"twice each", 120_000, 5000, func(rng *rand.Rand, visit int) int {
		if visit%2 == 0 || visit < 8000 {
			return visit
		}
		return visit - 1 - 2*rng.IntN(3500)
		// Too late, the visits that will be followed by another are those that follow a Demote; but who
		// missed once is doubted, and then misses again. Of 40 runs 39 came to 0.97 or more, one to 0.95.
	}, 0.99, 0.9},
	{"passing clients after strangers", 160_000, 5000, inTurns(80_000, popularOf(30_000, 0.9, 0.5), passing(7500)), 0.9, 0.99},
	{"in turns", 160_000, 5000, inTurns(40_000, popularOf(30_000, 0.9, 0.5), passing(7500)), 0.92, 0.99},
}

// gainOf is how many times what a FIFO does is asked for: less under the race detector, which has
// sync.Pool, and so the cache, forget what it was told.
func gainOf(gain float64) float64 {
	if fastcache.Raced {
		return min(gain, 1.05)
	}
	return gain
}

// Who demotes what was used, and stores the next session after it, keeps more of the clients that
// come back; where that tells nothing of a newcomer, nothing is lost to first in, first out.
func TestDemoteTellsWhoWillReturn(t *testing.T) {
	fastcache.SkipUnderRace(t)
	for _, c := range crowds {
		t.Run(c.name, func(t *testing.T) {
			fifo := c.who.forgetful(c.visits, c.places, false)
			for _, shards := range []int{1, 4} {
				if c.places/shards < 100 {
					continue
				}
				got := c.who.demoting(t, c.visits, c.places, shards, false)
				t.Logf("%d shards: resumed %.4f, a forgetful FIFO %.4f (%.3f times)", shards, got, fifo, got/fifo)
				if gain := gainOf(c.gain); got < gain*fifo-0.003*float64(shards-1) {
					t.Errorf("%.4f of the returns resumed in %d shards; want %v times the FIFO's %.4f", got, shards, gain, fifo)
				}
			}
		})
	}
}

// Where the new session is stored before the used one is demoted, the session that follows a Demote
// is any client's. Then none is doubted.
func TestDemoteAfterTheUpdateTellsNothingAndCostsNothing(t *testing.T) {
	fastcache.SkipUnderRace(t)
	for _, c := range crowds {
		t.Run(c.name, func(t *testing.T) {
			fifo, got := c.who.forgetful(c.visits, c.places, true), c.who.demoting(t, c.visits, c.places, 1, true)
			t.Logf("resumed %.4f, a forgetful FIFO %.4f (%.3f times)", got, fifo, got/fifo)
			if late := c.late; got < late*fifo {
				t.Errorf("%.4f of the returns resumed; want %v times the forgetful FIFO's %.4f", got, late, fifo)
			}
		})
	}
}

// Servers serve many clients at once: a Demote is followed by another client's Update now and then.
func TestDemoteTellsWhoWillReturnToManyGoroutines(t *testing.T) {
	const goroutines, visits, places = 8, 30_000, 1000
	who := popularOf(6000, 0.9, 0.4)
	fifo := crowd(func(rng *rand.Rand, visit int) int {
		return max(-1, who(rng, visit)*goroutines+visit%goroutines)
	}).forgetful(goroutines*visits, places, false)
	c := open(t, layout{shards: 1, mask: fastcache.HashGood}, fastcache.Config[int]{MaxSessions: places, NoIndex: true})
	defer check(t, c)
	var resumed, returns atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			rng, newest := rand.New(rand.NewPCG(20, uint64(g))), map[int]int{}
			for visit := 1; visit <= visits; visit++ {
				client, id := who(rng, visit), visit*goroutines+g
				if old := newest[client]; client >= 0 && old != 0 {
					_, ok := c.Lookup(key("server", old))
					if ok {
						c.Demote(key("server", old))
					}
					if visit > visits/2 {
						returns.Add(1)
						if ok {
							resumed.Add(1)
						}
					}
				}
				if err := c.Update(key("server", id), id); err != nil {
					t.Error(err)
				}
				newest[client] = id
				runtime.Gosched() // all are served in turn
			}
		})
	}
	wg.Wait()
	got := float64(resumed.Load()) / float64(returns.Load())
	t.Logf("resumed %.4f, a forgetful FIFO %.4f (%.3f times)", got, fifo, got/fifo)
	if gain := gainOf(1.3); got < gain*fifo {
		t.Errorf("%.4f of the returns resumed; want %v times the forgetful FIFO's %.4f", got, gain, fifo)
	}
}
