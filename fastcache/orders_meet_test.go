//go:build sessioncache_orders

package fastcache

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// A session that stays is found and listed once, whatever comes, goes or is replaced beside it: in its bucket,
// where every key has the same tag, and in its group, where a walk may stand on what goes.
func TestOrdersWhatStaysIsFoundAndListed(t *testing.T) {
	for name, does := range map[string]func(s *scene){
		"another goes":             func(s *scene) { s.Delete(keyB) },
		"another goes and returns": func(s *scene) { s.Delete(keyB); s.put(keyB, 5, far) },
		"another is replaced":      func(s *scene) { s.put(keyB, 5, far) },
		"the newest are taken":     func(s *scene) { s.TakeNewest("p"); s.TakeNewest("p") },
	} {
		t.Run(name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{Hash: SecretHash}).hold()
				s.hashMask = HashConstant
				s.put(keyB, 2, far) // before what stays in the bucket
				s.put(keyA, 1, far)
				if name != "another is replaced" {
					s.put(keyB, 3, far) // the newest of the group
				}
				s.put(keyC, 4, far)
				r.Go(name, func() { does(s) })
				r.Go("SelectSession", func() {
					seen := map[int]int{}
					for _, v := range s.SelectSession("p") {
						seen[v]++
					}
					if seen[1] != 1 || seen[4] != 1 && name != "the newest are taken" {
						r.Failf("SelectSession shows %v; want 1 once", seen)
					}
				})
				if name == "another goes and returns" {
					r.Go("Lookup", func() {
						if v, ok := s.Lookup(keyA); v != 1 || !ok {
							r.Failf("Lookup = %d %v; want 1", v, ok)
						}
					})
				}
			})
		})
	}
}

// A shard's arrays and its table grow while sessions that stay are looked for, in all ways.
func TestOrdersAShardGrowsUnderItsReaders(t *testing.T) {
	for name, finds := range map[string]func(s *scene, key Key) bool{
		"Lookup": func(s *scene, key Key) bool { _, ok := s.Lookup(key); return ok },
		"Peek":   func(s *scene, key Key) bool { _, ok := s.Peek(key); return ok },
		"All": func(s *scene, key Key) bool {
			seen := 0
			for k := range s.All() {
				if k == key {
					seen++
				}
			}
			return seen == 1
		},
		"Delete": func(s *scene, key Key) bool { return s.Delete(key) },
	} {
		t.Run(name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{NoIndex: true}).hold()
				key := func(i int) Key { return Key{"p", fmt.Sprint(i)} }
				for i := range smallShard {
					s.put(key(i), i, far)
				}
				r.Go("Update", func() { s.put(key(smallShard), smallShard, far) })
				for _, i := range []int{0, smallShard - 1} {
					r.Go(name, func() {
						if !finds(s, key(i)) {
							r.Failf("%s does not find a session that stays", name)
						}
					})
				}
			})
		})
	}
}

// A key that is replaced before its deadline is never absent, though the call that looks for it has met the old
// version and stalls until that is over.
func TestOrdersAnOldVersionIsOverWhileItIsLookedAt(t *testing.T) {
	for name, look := range map[string]func(s *scene) bool{
		"Lookup": func(s *scene) bool { _, ok := s.Lookup(keyA); return ok },
		"Peek":   func(s *scene) bool { _, ok := s.Peek(keyA); return ok },
	} {
		for _, idle := range []time.Duration{0, soon} {
			t.Run(fmt.Sprint(name, " idle ", idle), func(t *testing.T) {
				orders.All(t, func(r *orders.Run) {
					s := newScene(r, Config[int]{NoIndex: true, IdleTTL: idle}).hold()
					s.put(keyA, 1, soon)
					r.SetClock(soon / 2)
					r.Go("Update", func() { s.put(keyA, 2, later); r.SetClock(soon + aTick) })
					r.Go(name, func() {
						if !look(s) {
							r.Failf("%s misses a key that was replaced in time", name)
						}
					})
				})
			})
		}
	}
}

// With IdleTTL a Lookup may end a session without a lock, at any instant: who has taken it, or was shown it as the
// last of its partial key, shares it with no such Lookup.
func TestOrdersIdleSessionsAreTaken(t *testing.T) {
	for name, take := range map[string]func(s *scene) (int, bool){
		"TakeNewest":         func(s *scene) (int, bool) { _, v, ok := s.TakeNewest("p"); return v, ok },
		"TakeNewestKeepLast": func(s *scene) (int, bool) { _, v, ok := s.TakeNewestKeepLast("p"); return v, ok },
		"Take":               func(s *scene) (int, bool) { return s.Take(keyA) },
		"Delete":             func(s *scene) (int, bool) { return 1, s.Delete(keyA) },
	} {
		t.Run(name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{IdleTTL: soon}).hold()
				s.put(keyA, 1, later)
				missed := false
				r.Go("clock", func() { r.SetClock(soon + aTick) })
				r.Go("Lookup", func() { _, ok := s.Lookup(keyA); missed = !ok })
				got := map[int]int{}
				r.Go(name, func() {
					was := missed
					v, ok := take(s)
					if ok {
						got[v]++
					}
					if ok && was {
						r.Failf("%s = %d, after a Lookup has missed it", name, v)
					}
				})
				r.AtRest(func() error {
					if name == "TakeNewestKeepLast" || name == "Delete" {
						clear(got) // it stays, or is reported as deleted
					}
					return s.account([]int{1}, got)
				})
			})
		})
	}
}

// Of the sessions of a partial key one stays, however many callers take all but the last; another that is deleted
// meanwhile may leave it none.
func TestOrdersTheLastIsKept(t *testing.T) {
	keepLast := func(s *scene) (int, bool) { _, v, ok := s.TakeNewestKeepLast("p"); return v, ok }
	for _, deletes := range []bool{false, true} {
		t.Run(fmt.Sprint("another is deleted: ", deletes), func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{}).hold()
				s.put(keyA, 1, soon)
				s.put(keyB, 2, soon)
				got, deleted, last := map[int]int{}, false, false
				r.Go("takes", func() {
					if v, ok := keepLast(s); ok {
						got[v]++
					}
				})
				if deletes {
					r.Go("Delete a, Lookup b", func() {
						deleted = s.Delete(keyA)
						_, last = s.Lookup(keyB)
					})
				} else {
					r.Go("takes, too", func() {
						if v, ok := keepLast(s); ok {
							got[v]++
						}
					})
				}
				r.AtRest(func() error {
					n := s.Size()
					switch {
					case !deletes && (n != 1 || got[2] != 1 || got[1] != 1):
						return fmt.Errorf("%d sessions are left, callers got %v; want 1 left, and each shown once", n, got)
					case deletes && (!deleted || got[2] != 1 || got[1] != 0 || n > 1):
						return fmt.Errorf("deleted: %v, %d left, the caller got %v; want 2 shown", deleted, n, got)
					case last && n == 0:
						return fmt.Errorf("a session was taken that a Lookup has seen as the last")
					}
					return nil
				})
			})
		})
	}
}

// A session is gone for all at one instant: who has missed it does not get it afterwards, by whatever call.
func TestOrdersWhatOneMissesTheNextMisses(t *testing.T) {
	for name, end := range map[string]func(s *scene){
		"Delete":         func(s *scene) { s.Delete(keyA) },
		"Clear":          func(s *scene) { s.Clear() },
		"eviction":       func(s *scene) { s.put(Key{"q", "b"}, 2, far) },
		"an end by time": func(s *scene) { s.run.SetClock(soon + aTick) },
	} {
		t.Run(name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{MaxSessions: 1}).hold()
				ttl := far
				if name == "an end by time" {
					ttl = soon
				}
				s.put(keyA, 1, ttl)
				r.Go(name, func() { end(s) })
				r.Go("Lookup, TakeNewest", func() {
					_, found := s.Lookup(keyA)
					if k, _, ok := s.TakeNewest("p"); ok && k.ID == "a" && !found {
						r.Failf("TakeNewest returns a session that Lookup has missed before")
					}
				})
			})
		})
	}
}

// A session that is taken while it is replaced is gone with its old version: who finds its partial key empty, though
// the TakeNewest before is under way still, finds neither.
func TestOrdersATakenVersionTakesTheOldOneWithIt(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{}).hold()
		s.put(keyA, 1, soon)
		r.Go("Update", func() { s.put(keyA, 2, soon) })
		r.Go("TakeNewest, TakeNewest, Lookup", func() {
			n := s.pickNewest("p", false).node // which the first has yet to remove
			_, _, ok := s.TakeNewest("p")
			if v, _ := s.Lookup(keyA); v == 1 && !ok {
				r.Failf("Lookup returns the old version, after the partial key was found empty")
			}
			s.giveBack(s.removeNode(n, Taken))
		})
	})
}

// A call that removes many counts those that it has ended itself.
func TestOrdersClearCountsItsOwn(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{}).hold()
		s.put(keyA, 1, soon)
		s.put(keyB, 2, soon)
		taken, cleared := map[int]int{}, 0
		r.Go("Clear", func() { cleared = s.Clear() })
		s.takes("TakeNewest", taken, func() (int, bool) { _, v, ok := s.TakeNewest("p"); return v, ok })
		r.AtRest(func() error {
			if cleared+len(taken) != 2 {
				return fmt.Errorf("Clear counts %d, %d were taken; there were 2", cleared, len(taken))
			}
			return s.account([]int{1, 2}, taken)
		})
	})
}

// Two calls with one key, each of which must look under the lock for what is there now.
func TestOrdersTwoCallsOfOneKey(t *testing.T) {
	calls := map[string]func(s *scene){
		"Delete": func(s *scene) { s.Delete(keyA) },
		"Update": func(s *scene) { s.put(keyA, 2, later) },
	}
	for _, names := range [][2]string{{"Delete", "Delete"}, {"Update", "Delete"}, {"Update", "Update"}} {
		t.Run(names[0]+" and "+names[1], func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{}).hold()
				s.put(keyA, 1, soon)
				for _, name := range names {
					r.Go(name, func() { calls[name](s) })
				}
			})
		})
	}
}

// A session that comes into the slot of one that was demoted and deleted is no victim for that.
func TestOrdersDemoteMeetsAnotherInItsSlot(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{MaxSessions: 3}).hold()
		s.put(keyC, 1, soon)
		s.put(keyA, 2, soon)
		r.Go("Demote", func() { s.Demote(keyA) })
		r.Go("Delete, Update", func() { s.Delete(keyA); s.put(keyB, 3, soon) })
		r.AtRest(func() error {
			s.put(Key{"p", "d"}, 4, soon)
			s.put(Key{"p", "e"}, 5, soon)
			if _, ok := s.Peek(keyB); !ok {
				return fmt.Errorf("the session that came into the slot of a demoted one was evicted before an older one")
			}
			return nil
		})
	})
}

// Of two LookupOrUpdates of one key one stores its value, and both get that, or one that a third call has stored.
func TestOrdersOneOfTwoIsFirst(t *testing.T) {
	for name, third := range map[string]func(s *scene){
		"alone":         func(*scene) {},
		"and a Take":    func(s *scene) { s.Take(keyA) },
		"and an Update": func(s *scene) { s.put(keyA, 9, far) },
	} {
		t.Run(name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{}).hold()
				var actual [2]int
				var found [2]bool
				for i := range 2 {
					r.Go("LookupOrUpdate", func() {
						var err error
						if actual[i], found[i], err = s.LookupOrUpdate(keyA, i+1, far); err != nil {
							r.Failf("LookupOrUpdate = %v", err)
						}
					})
				}
				if name != "alone" {
					r.Go(name, func() { third(s) })
				}
				r.AtRest(func() error {
					for i := range 2 {
						if !found[i] && actual[i] != i+1 || found[i] && actual[i] == i+1 {
							return fmt.Errorf("LookupOrUpdate of %d = %d, %v", i+1, actual[i], found[i])
						}
					}
					if name == "alone" && (found[0] == found[1] || actual[0] != actual[1]) {
						return fmt.Errorf("LookupOrUpdate = %v, %v; want one stored and found by the other", actual, found)
					}
					return nil
				})
			})
		})
	}
}

// A Touch moves the deadline of a session that is alive, whatever ends it meanwhile: who missed the session does not get
// it again, and who was told of a new deadline finds it until then.
func TestOrdersATouchMeetsAnEnd(t *testing.T) {
	for name, end := range map[string]func(s *scene){
		"Delete":        func(s *scene) { s.Delete(keyA) },
		"DeletePartial": func(s *scene) { s.DeletePartial("p") },
		"TakeNewest":    func(s *scene) { s.TakeNewest("p") },
	} {
		t.Run(name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{}).hold()
				s.put(keyA, 1, soon)
				r.Go("Touch", func() { s.Touch(keyA, far) })
				r.Go(name, func() { end(s) })
				r.AtRest(func() error {
					if _, ok := s.Lookup(keyA); ok {
						return fmt.Errorf("the session is found after its end")
					}
					return nil
				})
			})
		})
	}
	for name, look := range map[string]func(s *scene) bool{
		"Lookup":        func(s *scene) bool { _, ok := s.Lookup(keyA); return ok },
		"Peek":          func(s *scene) bool { _, ok := s.Peek(keyA); return ok },
		"SelectEntries": func(s *scene) bool { return len(slices.Collect(s.SelectEntries("p"))) > 0 },
		"Demote":        func(s *scene) bool { return s.Demote(keyA) },
	} {
		t.Run(name+" at the deadline", func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{}).hold()
				s.put(keyA, 1, soon)
				touched := false
				r.Go("Touch", func() { touched = s.Touch(keyA, later) })
				r.Go("time goes by", func() { r.SetClock(soon) })
				r.Go(name+", Lookup", func() {
					found := look(s)
					if _, ok := s.Lookup(keyA); ok && !found {
						r.Failf("Lookup returns a session that %s has missed before", name)
					}
				})
				r.AtRest(func() error {
					if _, ok := s.Lookup(keyA); ok && !touched {
						return fmt.Errorf("the session is found at its deadline")
					}
					return nil
				})
			})
		})
	}
}

// So does one with IdleTTL, where Lookups move the deadline, too: none of them moves it beyond the life that the Touch
// has given.
func TestOrdersATouchMeetsUses(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{IdleTTL: far}).hold()
		s.put(keyA, 1, 2*far)
		r.SetClock(far - 1)
		r.Go("Touch", func() {
			if !s.Touch(keyA, soon) {
				r.Failf("Touch = false")
			}
		})
		r.Go("Lookup", func() { s.Lookup(keyA) })
		r.AtRest(func() error {
			if until := s.find(s.digest(keyA), keyA).Item.until.Load(); until > int64(far-1+soon) {
				return fmt.Errorf("the session lives until %v; it was given a second from %v", time.Duration(until), far-1)
			}
			return nil
		})
	})
}
