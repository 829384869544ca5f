//go:build sessioncache_orders

package fastcache

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// within checks that no bound of the configuration is exceeded at any step that the calling thread sees.
func (s *scene) within() {
	s.run.Look(func() {
		n, w, most, heaviest := s.sessions.Load(), s.weight.Load(), s.maxSessions.Load(), s.maxWeight.Load()
		if n > most || w > heaviest || n < 0 || w < 0 {
			s.run.Failf("%d places are taken of %d, and weight %d of %d", n, most, w, heaviest)
		}
	})
}

// Places and weight are claimed by a compare-and-swap: of those who claim at once as many get it as fit.
func TestOrdersClaimsStayWithinTheBound(t *testing.T) {
	for name, claim := range map[string]func(*scene) bool{
		"places": func(s *scene) bool { return s.claimSession() },
		"weight": func(s *scene) bool { return s.claimWeight(2) },
	} {
		t.Run(name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := &scene{&Cache[int]{}, r}
				s.maxSessions.Store(2)
				s.maxWeight.Store(4)
				claimed := 0
				for range 3 {
					r.Go("claims", func() {
						if claim(s) {
							claimed++
						}
						s.within()
					})
				}
				r.Go("looks", func() { s.sessions.Load(); s.weight.Load(); s.within() })
				r.AtRest(func() error {
					if got := int(s.sessions.Load() + s.weight.Load()/2); claimed != 2 || got != 2 {
						return fmt.Errorf("%d of 3 claimed, %d are counted; want 2", claimed, got)
					}
					return nil
				})
			})
		})
	}
}

// Updates that meet at the quota leave as many sessions as it allows, and each of them ends once, in whichever
// shard it is; so does one that is taken while it has to go.
func TestOrdersTheQuotaHoldsForUpdatesThatMeet(t *testing.T) {
	for _, tt := range []struct {
		name   string
		shards int
		quota  int
		meets  bool // another Update; else a Take of what has to go
	}{{"of one shard", 1, 1, true}, {"of two shards", 2, 2, true}, {"and a Take", 2, 1, false}} {
		t.Run(tt.name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := sharded(r, Config[int]{MaxPerPartial: tt.quota}, tt.shards).hold()
				near, far := s.keysOf()
				taken, stored := map[int]int{}, []int{1, 3}
				s.put(near[0], 1, soon)
				if tt.meets {
					stored = append(stored, 2)
					r.Go("Update", func() { s.put(near[1], 2, later) })
				} else {
					s.takes("Take", taken, func() (int, bool) { return s.Take(near[0]) })
				}
				r.Go("Update far", func() { s.put(far, 3, later) })
				r.AtRest(func() error {
					count := 0
					for key := range s.All() {
						if key.Partial == "p" {
							count++
						}
					}
					if count != tt.quota {
						return fmt.Errorf("%d sessions of a partial key; its quota is %d", count, tt.quota)
					}
					return s.account(stored, taken)
				})
			})
		})
	}
}

// A quota pushes a session out that another shard is about to store: it is complete for all who find it.
func TestOrdersAQuotaPushesOutWhatIsBeingStored(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := sharded(r, Config[int]{MaxPerPartial: 1}, 2).hold()
		near, far := s.keysOf()
		r.Go("Update", func() { s.put(near[0], 1, soon) })
		r.Go("makes room, in another shard", func() {
			sh, u := s.shardOf(s.digest(far)), &update[int]{key: far}
			sh.mu.Lock()
			out := sh.enforceQuotaLocked(u)
			sh.unlock()
			if out == victimWaits {
				s.giveBack(s.removeNode(u.victim, Quota))
			}
		})
	})
}

// keysOf returns keys of one partial key: two of one shard, and one of another if there is another.
func (s *scene) keysOf() (near [2]Key, far Key) {
	var of [2][]Key
	for i := 0; len(of[0]) < 2 || len(of[1]) < 1; i++ {
		key := Key{"p", strconv.Itoa(i)}
		shard := s.digest(key) >> 63
		of[shard] = append(of[shard], key)
	}
	if !s.manyShards() {
		return [2]Key{keyA, keyB}, keyC
	}
	return [2]Key(of[0][:2]), of[1][0]
}

// Who needs room that another shard must give takes it there, and the bound holds all along.
func TestOrdersRoomOfAnotherShard(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := sharded(r, Config[int]{MaxSessions: 1, NoIndex: true, TTL: soon}, 2).hold()
		near, far := s.keysOf()
		s.put(far, 1, soon)
		r.Go("Update", func() { s.put(near[0], 2, soon); s.within() })
		r.Go("Delete", func() { s.Delete(far); s.within() })
		r.AtRest(func() error { return s.account([]int{1, 2}, nil) })
	})
}

// A bound that is lowered while others store holds when the call returns, and from then on.
func TestOrdersALowerBoundMeetsUpdates(t *testing.T) {
	for _, tt := range []struct {
		name   string
		shards int
		before int // sessions that there are
	}{
		{"one has to go", 1, 2},
		{"none has to go", 1, 1},
		{"one has to go, of two shards", 2, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := sharded(r, Config[int]{MaxSessions: 3, NoIndex: true, TTL: soon}, tt.shards).hold()
				near, far := s.keysOf()
				for i, key := range []Key{near[0], far}[:tt.before] {
					s.put(key, i, soon)
				}
				lowered := false
				within := func() {
					r.Look(func() {
						if n := s.sessions.Load(); lowered && n > 1 {
							r.Failf("%d sessions; want 1 at most, the bound", n)
						}
					})
				}
				r.Go("Update", func() { s.put(near[1], 2, soon); within() })
				r.Go("SetMaxSessions", func() {
					if err := s.SetMaxSessions(1); err != nil {
						r.Failf("SetMaxSessions = %v", err)
					}
					lowered = true
					within()
				})
				r.AtRest(func() error {
					if n := s.Size(); n != 1 {
						return fmt.Errorf("%d sessions are left; want 1", n)
					}
					return s.account(append([]int{0, 1}[:tt.before:tt.before], 2), nil)
				})
			})
		})
	}
}

// An Update that has begun with a session which a lower bound would not hold is refused, or its session goes.
func TestOrdersALowerWeightMeetsAnUpdate(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{MaxWeight: 8, NoIndex: true, Weigh: func(_ Key, v int) int64 { return int64(v) }}).hold()
		r.Go("Update", func() {
			if err := s.UpdateTTL(keyA, 5, soon); err != nil && !errors.Is(err, ErrTooHeavy) {
				r.Failf("UpdateTTL = %v", err)
			}
		})
		r.Go("SetMaxWeight", func() {
			if err := s.SetMaxWeight(3); err != nil {
				r.Failf("SetMaxWeight = %v", err)
			}
		})
		r.AtRest(func() error {
			if n, w := s.Size(), s.weight.Load(); n != 0 || w != 0 {
				return fmt.Errorf("%d sessions of weight %d are left; want none", n, w)
			}
			return nil
		})
	})
}

// A session that is one too many for its bucket removes the oldest there, whatever ends that one at the same
// time: it ends once, and the bound of the crowd holds.
func TestOrdersACrowdGivesUpItsOldest(t *testing.T) {
	for name, end := range map[string]func(s *scene, taken map[int]int){
		"Lookup": func(s *scene, _ map[int]int) {
			s.run.Go("Lookup", func() {
				if v, ok := s.Lookup(keyA); ok && v != 1 {
					s.run.Failf("Lookup = %d", v)
				}
			})
		},
		"Take": func(s *scene, taken map[int]int) {
			s.takes("Take", taken, func() (int, bool) { return s.Take(keyA) })
		},
		"TakeNewest": func(s *scene, taken map[int]int) {
			s.takes("TakeNewest", taken, func() (int, bool) { _, v, ok := s.TakeNewest("p"); return v, ok })
		},
		"DeletePartial": func(s *scene, _ map[int]int) { s.run.Go("DeletePartial", func() { s.DeletePartial("p") }) },
	} {
		t.Run(name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{NoIndex: name == "Lookup" || name == "Take"}).hold()
				s.maxCrowd = 1
				s.shards[0].Load().listCrowdsLocked()
				near := keyWith("q", s.digest(keyA))
				taken := map[int]int{}
				s.put(keyA, 1, soon)
				r.Go("Update", func() { s.put(near, 2, soon) })
				end(s, taken)
				r.AtRest(func() error {
					if v, ok := s.Lookup(near); !ok || v != 2 {
						return fmt.Errorf("Lookup of the newest = %d %v", v, ok)
					}
					return s.account([]int{1, 2}, taken)
				})
			})
		})
	}
}

// Reports are delivered by one goroutine at a time, each once, and Close waits for the last: also those of two shards that
// were one.
func TestOrdersReportsAreDeliveredOnce(t *testing.T) {
	for _, shards := range []int{1, 2} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				delivered, inside := []int{}, 0
				s := sharded(r, Config[int]{NoIndex: true, OnRemove: func(removal Removal[int]) {
					if inside++; inside > 1 {
						r.Failf("OnRemove runs twice at once")
					}
					orders.Now() // others may go on meanwhile
					delivered = append(delivered, removal.Value)
					inside--
				}}, shards)
				for sh := range s.eachShard {
					sh.reporter = &s.reporters[0]
				}
				near, far := s.keysOf()
				s.put(near[0], 1, soon)
				s.put(far, 2, soon)
				r.Go("Delete", func() { s.Delete(near[0]) })
				r.Go("Delete, Close", func() {
					s.Delete(far)
					s.Close()
					if s.reporters[0].mu.delivering || !slices.Contains(delivered, 2) {
						r.Failf("Close returned while reports are delivered")
					}
				})
				r.AtRest(func() error {
					if len(delivered) != 2 || delivered[0] == delivered[1] {
						return fmt.Errorf("delivered: %v; want 1 and 2 once", delivered)
					}
					return nil
				})
			})
		})
	}
}
