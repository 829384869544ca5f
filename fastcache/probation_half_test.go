package fastcache

import "testing"

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
// What an Update counts for its own session, and the room that it was given meanwhile, are nobody's.
func TestProbationGoesByWhatTheOthersHold(t *testing.T) {
	weigh := func(_ Key, v int) int64 { return int64(v) }
	for _, cfg := range []Config[int]{{MaxSessions: 8}, {MaxSessions: 7}, {MaxSessions: 9, MaxWeight: 20, Weigh: weigh}, {MaxWeight: 21, Weigh: weigh}} {
		c := NewForTest(cfg, 1, HashGood)
		for _, u := range []update[int]{
			{},
			{weight: 3, onProbation: true},
			{weight: 3, room: room{places: 1, weight: 2}},
			{weight: 3, onProbation: true, room: room{places: 2, weight: 5, probation: probationers{1, 4}}},
		} {
			for _, h := range holdings() {
				counted := u.own()
				counted.add(u.room.probation)
				counted.add(h.on)
				c.probation.places.begun.Store(int64(counted.places))
				c.probation.weight.begun.Store(counted.weight)
				c.places.Store(int64(h.proven.places + h.on.places + u.room.places))
				c.weight.Store(h.proven.weight + h.on.weight + u.room.weight)
				want := h.on.places > 0 && (cfg.MaxSessions == 0 || 2*h.proven.places < cfg.MaxSessions) &&
					(cfg.MaxWeight == 0 || 2*h.proven.weight < cfg.MaxWeight)
				if got := c.probationFirst(&u); got != want {
					t.Errorf("bounds %d and %d, %+v held, %+v in hand: those on probation go first: %v; want %v",
						cfg.MaxSessions, cfg.MaxWeight, h, u.room, got, want)
				}
			}
		}
	}
}
