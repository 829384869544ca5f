package fastcache

import (
	"sync"
	"sync/atomic"
	"testing"
)

// A holding is what sessions hold that are stored: the proven ones, and those on probation.
type holding struct{ proven, on probationers }

// holdings are such with more and less than half of a small bound.
func holdings() (all []holding) {
	for proven := range 10 {
		for on := range 4 {
			for weight := range int64(13) {
				all = append(all, holding{probationers{proven, weight}, probationers{on, 5 * int64(on)}})
			}
		}
	}
	return all
}

// Those on probation go first while there are some and the others hold less than half of either bound.
// What an Update counts for its own session, and the room that it was given meanwhile, are no other session's.
func TestProbationGoesByWhatTheOthersHold(t *testing.T) {
	weigh := func(_ Key, v int) int64 { return int64(v) }
	for _, cfg := range []Config[int]{{MaxSessions: 8}, {MaxSessions: 7}, {MaxSessions: 9, MaxWeight: 20, Weigh: weigh}, {MaxWeight: 21, Weigh: weigh}} {
		c := NewForTest(cfg, 1, HashGood)
		for _, u := range []update[int]{
			{},
			{weight: 3, onProbation: true},
			{weight: 3, room: room{sessions: 1, weight: 2}},
			{weight: 3, onProbation: true, room: room{sessions: 2, weight: 5, probation: probationers{1, 4}}},
		} {
			for _, h := range holdings() {
				counted := u.own()
				counted.add(u.room.probation)
				counted.add(h.on)
				c.probation.sessions.begun.Store(int64(counted.sessions))
				c.probation.weight.begun.Store(counted.weight)
				c.sessions.Store(int64(h.proven.sessions + h.on.sessions + u.room.sessions))
				c.weight.Store(h.proven.weight + h.on.weight + u.room.weight)
				want := h.on.sessions > 0 && (cfg.MaxSessions == 0 || 2*h.proven.sessions < cfg.MaxSessions) &&
					(cfg.MaxWeight == 0 || 2*h.proven.weight < cfg.MaxWeight)
				if got := c.probationFirst(&u); got != want {
					t.Errorf("bounds %d and %d, %+v held, %+v in hand: those on probation go first: %v; want %v",
						cfg.MaxSessions, cfg.MaxWeight, h, u.room, got, want)
				}
			}
		}
	}
}

// giveBack uncounts a session on probation only when its place has been given back: who reads both
// in between never takes it for a proven one.
func TestASessionOnProbationIsUncountedAfterItsPlaceIsGivenBack(t *testing.T) {
	c := NewForTest(Config[int]{MaxWeight: 1 << 40, Weigh: func(Key, int) int64 { return 1 }}, 1, HashGood)
	defer c.Close()
	meet(t, func(start func()) bool {
		var phase atomic.Int64 // odd while giveBack is at work
		var wg sync.WaitGroup
		var stop atomic.Bool
		wg.Go(func() {
			defer stop.Store(true)
			start()
			for range 50_000 {
				c.probation.sessions.begun.Add(1)
				c.probation.weight.begun.Add(1)
				c.claimSession()
				c.claimWeight(1)
				phase.Add(1)
				c.giveBack(room{sessions: 1, weight: 1, probation: probationers{1, 1}})
				phase.Add(1)
			}
		})
		wg.Go(func() {
			start()
			for !stop.Load() {
				began := phase.Load()
				onPlaces, onWeight := c.probation.sessions.load(), c.probation.weight.load()
				places, weight := c.sessions.Load(), c.weight.Load()
				if began%2 == 1 && phase.Load() == began && (places > onPlaces || weight > onWeight) {
					t.Errorf("%d places, %d on probation, weights %d and %d: a session on probation looks proven",
						places, onPlaces, weight, onWeight)
					return
				}
			}
		})
		wg.Wait()
		return true
	})
}
