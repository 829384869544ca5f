//go:build sessioncache_orders

package fastcache

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// fullShard returns a cache of one shard that is full and splits with the next new session, keys of sessions in its two
// halves, which are there with the values 0 and 1, and keys that are new, one of each half. The other sessions live longer.
func fullShard(r *orders.Run, cfg Config[int]) (s *scene, there, fresh [2]Key) {
	s = &scene{newCache(cfg, 1, 2), r}
	s.hold()
	s.splitSlots, s.splitAhead = smallShard, 0
	r.AtRest(s.CheckInvariantsForTest)
	r.AtRest(s.alarmed)
	var keys [2][]Key
	for i := 0; len(keys[0]) <= smallShard/2 || len(keys[1]) <= smallShard/2; i++ {
		key := Key{"p", strconv.Itoa(i)}
		half := s.digest(key) >> 63
		keys[half] = append(keys[half], key)
	}
	for half := range keys {
		there[half], fresh[half] = keys[half][0], keys[half][smallShard/2]
		s.put(there[half], half, soon)
		for i, key := range keys[half][1 : smallShard/2] {
			s.put(key, 100*(half+1)+i, later)
		}
	}
	return s, there, fresh
}

// A shard that splits loses no session, whoever looks for it meanwhile.
func TestOrdersASplitLosesNothing(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s, there, fresh := fullShard(r, Config[int]{NoIndex: true})
		r.Go("Update", func() { s.put(fresh[1], 2, later) })
		r.Go("Lookup", func() {
			for half, key := range there {
				if v, ok := s.Lookup(key); !ok || v != half {
					r.Failf("Lookup(%v) = %d, %v; want %d", key, v, ok, half)
				}
			}
		})
		r.AtRest(func() error {
			if v, ok := s.Lookup(fresh[1]); !ok || v != 2 || !s.manyShards() {
				return fmt.Errorf("Lookup of the new session = %d, %v; the shard has split: %v", v, ok, s.manyShards())
			}
			return nil
		})
	})
}

// What a call changes in one of the halves, every call sees that begins later.
func TestOrdersASplitMeetsOtherWriters(t *testing.T) {
	for half := range 2 {
		for name, change := range map[string]func(s *scene, key Key) (after int, there bool){
			"Delete": func(s *scene, key Key) (int, bool) { s.Delete(key); return 0, false },
			"Update": func(s *scene, key Key) (int, bool) { s.put(key, 7, later); return 7, true },
			"Touch":  func(s *scene, key Key) (int, bool) { s.Touch(key, later); return half, true },
		} {
			t.Run(fmt.Sprint(name, " in half ", half), func(t *testing.T) {
				orders.All(t, func(r *orders.Run) {
					s, there, fresh := fullShard(r, Config[int]{NoIndex: true})
					r.Go("Update", func() { s.put(fresh[0], 2, later) })
					r.Go(name, func() {
						want, is := change(s, there[half])
						if v, ok := s.Lookup(there[half]); ok != is || ok && v != want {
							r.Failf("Lookup = %d, %v after %s; want %d, %v", v, ok, name, want, is)
						}
					})
				})
			})
		}
	}
}

// Two who find the shard full make two shards of it.
func TestOrdersTwoSplitAShardOnce(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s, _, fresh := fullShard(r, Config[int]{NoIndex: true})
		for half, key := range fresh {
			r.Go(fmt.Sprint("Update ", half), func() {
				s.put(key, 2+half, later)
				if v, ok := s.Lookup(key); !ok || v != 2+half {
					r.Failf("Lookup = %d, %v after Update; want %d", v, ok, 2+half)
				}
			})
		}
	})
}

// A session of either half expires while they part, and the timer is set for those that are left.
func TestOrdersASplitMeetsTheTimer(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s, _, fresh := fullShard(r, Config[int]{NoIndex: true})
		r.Go("clock", func() { r.SetClock(soon + aTick) })
		r.Go("Update", func() { s.put(fresh[1], 2, later) })
	})
}

// A new session of the half that has parted gets an earlier deadline than any other while the timer makes its pass.
func TestOrdersASplitMeetsAnEarlierDeadline(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s, _, fresh := fullShard(r, Config[int]{NoIndex: true})
		r.Go("pass", s.wake)
		r.Go("Update", func() { s.put(fresh[1], 2, soon/2) })
	})
}

// Clear ends what was there before it in both halves.
func TestOrdersASplitMeetsClear(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s, there, fresh := fullShard(r, Config[int]{NoIndex: true})
		r.Go("Update", func() { s.put(fresh[0], 2, later) })
		r.Go("Clear", func() {
			s.Clear()
			for _, key := range there {
				if _, ok := s.Lookup(key); ok {
					r.Failf("Lookup finds %v after Clear", key)
				}
			}
		})
	})
}
