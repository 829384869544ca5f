//go:build sessioncache_orders

package fastcache

import (
	"fmt"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

var keyQ = Key{Partial: "q", ID: "alive"}

// swept checks at rest that no sweep is left over.
func (s *scene) swept() error {
	if running, listed := s.revoking.Load()&^everyLookup, s.sweeps.mu.oldest.Len(); running != 0 || listed != 0 {
		return fmt.Errorf("%d sweeps are counted and %d listed when all have ended", running, listed)
	}
	return nil
}

// evicted reports how many sessions have been evicted.
func (s *scene) evicted() (n uint64) {
	s.run.Look(func() {
		for sh := range s.eachShard {
			n += sh.mu.removed[Evicted]
		}
	})
	return n
}

// What DeletePartial has revoked, as any caller has seen, makes room before any live session, and is counted once, whichever call
// frees it. There may be several revocations, of which one is swept to its end by others.
func TestOrdersRevokedSessionsMakeRoomFirst(t *testing.T) {
	for _, tt := range []struct {
		name    string
		shards  int
		revoked int // sessions of the partial key
		updates int
	}{
		{"one of one shard", 1, 1, 1},
		{"two of one shard", 1, 2, 2},
		{"two of two shards", 2, 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := sharded(r, Config[int]{MaxSessions: tt.revoked + 1, TTL: later}, tt.shards).hold()
				near, far := s.keysOf()
				revoked := []Key{near[0], far}[:tt.revoked]
				stored := []int{100}
				s.put(keyQ, 100, later)
				for i, key := range revoked {
					s.put(key, i+1, later)
					stored = append(stored, i+1)
				}
				count := 0
				r.Go("DeletePartial", func() { count = s.DeletePartial("p") })
				for i := range tt.updates {
					stored = append(stored, 10+i)
				}
				r.Go("Updates", func() {
					_, alive := s.Lookup(revoked[0])
					for i := range tt.updates {
						s.put(Key{"new", fmt.Sprint(i)}, 10+i, later)
						s.within()
					}
					if n := s.evicted(); n > 0 && !alive {
						r.Failf("%d sessions were evicted, after others were seen revoked", n)
					}
				})
				r.AtRest(s.swept)
				r.AtRest(func() error {
					gone := 0
					for i := range s.reporters {
						for _, report := range s.reporters[i].mu.reports {
							if report.Reason == Revoked {
								gone++
							}
						}
					}
					if count != gone {
						return fmt.Errorf("DeletePartial counts %d; %d were revoked", count, gone)
					}
					return s.account(stored, nil)
				})
			})
		})
	}
}

// An Update takes an expired session's room from another shard, whose timer is late, or has it from the timer that
// comes meanwhile.
func TestOrdersExpiredOfAnotherShardGoFirst(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := sharded(r, Config[int]{MaxSessions: 2, NoIndex: true}, 2).hold()
		near, far := s.keysOf()
		s.put(near[0], 1, soon)
		s.put(far, 2, later)
		another := s.neighbourOf(far)
		r.SetClock(soon + 2*aTick)
		r.Go("Update", func() { s.put(another, 3, later) })
		r.AtRest(func() error {
			if n := s.evicted(); n > 0 {
				return fmt.Errorf("%d sessions were evicted, and one had expired", n)
			}
			return s.account([]int{1, 2, 3}, nil)
		})
	})
}

// While it does so, a session there gets an earlier deadline, which is not forgotten. The timer comes at rest.
func TestOrdersExpiredOfAnotherShardMeetAnEarlierDeadline(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := &scene{newCache(Config[int]{MaxSessions: 3, NoIndex: true}, 2, 2), r}
		s.hold()
		near, far := s.keysOf()
		s.put(near[0], 1, soon)
		s.put(near[1], 2, later)
		s.put(far, 3, later)
		another := s.neighbourOf(far)
		s.alarm.mu.timer.Stop()
		r.SetClock(soon + 2*aTick)
		r.Go("Update with an earlier deadline", func() { s.put(near[1], 5, soon/2) })
		r.Go("Update in the other shard", func() { s.put(another, 4, later) })
		r.AtRest(func() error {
			s.wake()
			return s.alarmed()
		})
		r.AtRest(func() error { return s.account([]int{1, 2, 3, 4, 5}, nil) })
	})
}

// neighbourOf returns another key of a key's shard, of two.
func (s *scene) neighbourOf(key Key) Key {
	another := key
	for i := 0; another == key || s.digest(another)>>63 != s.digest(key)>>63; i++ {
		another.ID = fmt.Sprint("another ", i)
	}
	return another
}

// All sessions of a partial key are revoked at one instant: who has missed one gets none of them afterwards, whether
// its Lookup came by the group or by what DeletePartial leaves in each session.
func TestOrdersWhoMissesARevokedSessionMissesAll(t *testing.T) {
	for _, tt := range []struct {
		name    string
		revoked []Key
		counted bool // Lookup has a way of its own
	}{{"1", []Key{keyA}, false}, {"2", []Key{keyA, keyB}, false}, {"counted 1", []Key{keyA}, true}, {"counted 2", []Key{keyA, keyB}, true}} {
		t.Run(tt.name, func(t *testing.T) {
			revoked := tt.revoked
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{RecordStats: tt.counted}).hold()
				for i, key := range revoked {
					s.put(key, i+1, far)
				}
				r.Go("DeletePartial", func() { s.DeletePartial("p") })
				r.Go("Lookups", func() {
					first, second := revoked[0], revoked[len(revoked)-1]
					_, found := s.Lookup(first)
					if _, next := s.Lookup(second); next && !found {
						r.Failf("Lookup returns a session, and one that was revoked with it was missed before")
					}
				})
				r.AtRest(s.swept)
			})
		})
	}
}
