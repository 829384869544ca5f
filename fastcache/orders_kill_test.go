//go:build sessioncache_orders

package fastcache

import (
	"fmt"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// A hold keeps the reports of a scene: they are queued and not delivered, and account says whether
// each value that was stored has left by one report, or stays.
func (s *scene) hold() *scene {
	s.cfg.OnRemove = func(Removal[int]) {}
	for i := range s.reporters {
		s.reporters[i].mu.delivering = true
	}
	return s
}

// account checks promise 8 at rest, for values that were stored: those that stay are in the table, the
// others reported once, and what a caller got was reported as taken.
func (s *scene) account(stored []int, taken map[int]int) error {
	ends := map[int][]string{}
	for i := range s.reporters {
		for _, r := range s.reporters[i].mu.reports {
			ends[r.Value] = append(ends[r.Value], r.Reason.String())
			if r.Reason == Taken && taken[r.Value] != 1 {
				return fmt.Errorf("%d is reported as taken; %d callers got it", r.Value, taken[r.Value])
			}
		}
	}
	for _, v := range s.All() {
		ends[v] = append(ends[v], "stays")
	}
	for value, n := range taken {
		if got := ends[value]; n != 1 || len(got) != 1 || got[0] != Taken.String() {
			return fmt.Errorf("%d callers got %d, which ended: %v", n, value, got)
		}
	}
	for _, value := range stored {
		if len(ends[value]) != 1 {
			return fmt.Errorf("%d ended: %v; want one end", value, ends[value])
		}
	}
	return nil
}

// takes is a thread that takes with take, and notes what it got.
func (s *scene) takes(name string, taken map[int]int, take func() (int, bool)) {
	s.run.Go(name, func() {
		if v, ok := take(); ok {
			taken[v]++
		}
	})
}

// With IdleTTL a session that a Lookup has found lives on, and one that none found ends: whatever Lookups
// and the timer's settle do to its deadline at the same time.
func TestOrdersIdleSessionsAreUsedAndSettled(t *testing.T) {
	const idle = time.Second
	for _, tt := range []struct {
		name    string
		lookups []int // of each thread
		from    time.Duration
	}{
		{"one thread, from the beginning", []int{2}, 0},
		{"two threads, shortly before the deadline", []int{1, 1}, idle * 9 / 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{NoIndex: true, IdleTTL: idle}).hold()
				s.put(keyA, 1, time.Hour)
				r.SetClock(tt.from)
				r.Go("clock", func() { r.SetClock(idle + aTick) })
				gone := false
				aliveUntil := idle // what has returned by now guarantees so much
				for i, n := range tt.lookups {
					r.Go(fmt.Sprintf("Lookup %d", i+1), func() {
						for range n {
							was, sure, began := gone, aliveUntil, r.Clock()
							_, ok := s.Lookup(keyA)
							ended := r.Clock()
							switch {
							case ok && was:
								r.Failf("a Lookup found a session that one before it missed")
							case !ok && ended < sure:
								r.Failf("a Lookup that ended at %v missed a session that was used, and lives until %v", ended, sure)
							case ok && began == ended: // it saw the deadline pass neither way
								aliveUntil = max(aliveUntil, began+idle-idle/64)
							case !ok:
								gone = true
							}
						}
					})
				}
				r.AtRest(func() error {
					now := r.Clock()
					_, there := s.Lookup(keyA)
					if !there && now < aliveUntil {
						return fmt.Errorf("at %v the session is gone; it was used, and lives until %v", now, aliveUntil)
					}
					if there && gone {
						return fmt.Errorf("the session is there, and was missed before")
					}
					return s.account([]int{1}, nil)
				})
			})
		})
	}
}

// Of all who want to end a session one does, and who finds it over for its deadline does not count as that.
func TestOrdersOneKillWins(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{}).hold()
		taken := map[int]int{}
		s.put(keyA, 1, soon)
		r.Go("clock", func() { r.SetClock(soon + aTick) })
		s.takes("Take", taken, func() (int, bool) { return s.Take(keyA) })
		s.takes("TakeNewest", taken, func() (int, bool) { _, v, ok := s.TakeNewest("p"); return v, ok })
		r.AtRest(func() error { return s.account([]int{1}, taken) })
	})
}

// The two steps alone.
func TestOrdersKillAndSettle(t *testing.T) {
	// Two who want to kill, one who settles and one who moves the deadline.
	orders.All(t, func(r *orders.Run) {
		n := newNode(keyA, 1, true)
		n.Item.until.Store(100)
		wins := 0
		moves := &Cache[int]{cfg: Config[int]{IdleTTL: 100}, birth: time.Unix(0, 0)}
		extraOf(n).setDeadline(never)
		r.SetClock(50)
		for _, reason := range []Reason{Taken, Deleted} {
			r.Go("kill", func() {
				if kill(n, reason, 60) {
					wins++
				}
			})
		}
		over := false
		r.Go("settle", func() {
			over = settle(n, 120)
			r.Look(func() {
				if until := n.Item.until.Load(); !over && until <= 0 {
					r.Failf("settle = false for a session that is gone")
				}
			})
		})
		r.Go("use", func() {
			if until := n.Item.until.Load(); until > 0 {
				moves.useByClock(n, until)
			}
		})
		r.AtRest(func() error {
			until := n.Item.until.Load()
			if until > 0 || wins > 1 || wins == 1 && removalReason(n) == Expired || wins == 0 && removalReason(n) != Expired {
				return fmt.Errorf("%d kills won; until is %d, settle found it over: %v", wins, until, over)
			}
			return nil
		})
	})
	orders.All(t, func(r *orders.Run) {
		n := newNode(keyA, 1, true)
		n.Item.until.Store(100)
		moves := &Cache[int]{cfg: Config[int]{IdleTTL: 100}, birth: time.Unix(0, 0)}
		extraOf(n).setDeadline(never)
		r.SetClock(50)
		over, used := false, false
		r.Go("settle", func() { over = settle(n, 120) })
		r.Go("use", func() { used = moves.useByClock(n, 100) })
		r.AtRest(func() error {
			if until := n.Item.until.Load(); over != (until <= 0) || !over && until != 150 || !used {
				return fmt.Errorf("settle found it over: %v, a Lookup alive: %v, and until is %d", over, used, until)
			}
			return nil
		})
	})
}

// A replacement meets all who end what it replaces: each version ends once.
func TestOrdersAReplacementMeetsTheEndOfWhatItReplaces(t *testing.T) {
	for name, end := range map[string]func(s *scene, taken map[int]int){
		"Take": func(s *scene, taken map[int]int) {
			s.takes("Take", taken, func() (int, bool) { return s.Take(keyA) })
		},
		"TakeNewest": func(s *scene, taken map[int]int) {
			s.takes("TakeNewest", taken, func() (int, bool) { _, v, ok := s.TakeNewest("p"); return v, ok })
		},
		"Delete":        func(s *scene, _ map[int]int) { s.run.Go("Delete", func() { s.Delete(keyA) }) },
		"DeletePartial": func(s *scene, _ map[int]int) { s.run.Go("DeletePartial", func() { s.DeletePartial("p") }) },
		"eviction":      func(s *scene, _ map[int]int) { s.run.Go("Update b", func() { s.put(keyB, 3, soon) }) },
	} {
		t.Run(name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{MaxSessions: 1}).hold()
				taken := map[int]int{}
				stored := []int{1, 2}
				if name == "eviction" {
					stored = append(stored, 3)
				}
				s.put(keyA, 1, soon)
				r.Go("Update a", func() { s.put(keyA, 2, soon) })
				end(s, taken)
				r.AtRest(func() error { return s.account(stored, taken) })
			})
		})
	}
}

// DeletePartial's one store ends all that was stored before it: for Lookup, for SelectSession, for the Update
// of a key that it revokes and for one that comes into the group.
func TestOrdersDeletePartial(t *testing.T) {
	selects := func(s *scene) (found bool) {
		for range s.SelectSession("p") {
			found = true
		}
		return found
	}
	for _, tt := range []struct {
		name string
		does func(s *scene, began, revoked *bool)
	}{
		{"Lookup, then SelectSession", func(s *scene, _, revoked *bool) {
			was := *revoked
			_, ok := s.Lookup(keyA)
			if again := selects(s); ok && was || again && (was || !ok) {
				s.run.Failf("Lookup = %v, then SelectSession = %v; revoked before: %v", ok, again, was)
			}
		}},
		{"SelectSession, then Lookup", func(s *scene, _, revoked *bool) {
			was := *revoked
			found := selects(s)
			if _, ok := s.Lookup(keyA); found && was || ok && (was || !found) {
				s.run.Failf("SelectSession = %v, then Lookup = %v; revoked before: %v", found, ok, was)
			}
		}},
		{"Lookup of two", func(s *scene, _, _ *bool) {
			_, one := s.Lookup(keyA)
			if _, other := s.Lookup(keyC); !one && other {
				s.run.Failf("one session is gone, and another of its partial key is found later")
			}
		}},
		{"Update of another key", func(s *scene, began, revoked *bool) {
			s.put(keyB, 2, soon)
			surely := !*began
			s.run.AtRest(func() error {
				_, ok := s.Lookup(keyB)
				found := selects(s)
				if ok != found || surely && ok {
					return fmt.Errorf("Lookup = %v, SelectSession = %v; stored before the DeletePartial: %v", ok, found, surely)
				}
				return nil
			})
		}},
		{"Update of its key", func(s *scene, began, revoked *bool) {
			was := *revoked
			s.put(keyA, 2, soon)
			surely := !*began
			s.run.AtRest(func() error {
				v, ok := s.Lookup(keyA)
				found := selects(s)
				if ok != found || ok && (v != 2 || surely) || was && !ok {
					return fmt.Errorf("Lookup = %d %v, SelectSession = %v; stored before: %v, after: %v", v, ok, found, surely, was)
				}
				return nil
			})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{}).hold()
				s.put(keyA, 1, soon)
				if tt.name == "Lookup of two" {
					s.put(keyC, 3, soon)
				}
				began, revoked := false, false
				r.Go("DeletePartial", func() { began = true; s.DeletePartial("p"); revoked = true })
				r.Go(tt.name, func() { tt.does(s, &began, &revoked) })
			})
		})
	}
}

// A key that is replaced is never missed, and who has seen the new session sees the old one no more.
func TestOrdersAReplacedKeyIsNeverMissed(t *testing.T) {
	for _, noIndex := range []bool{false, true} {
		orders.All(t, func(r *orders.Run) {
			s := newScene(r, Config[int]{NoIndex: noIndex})
			s.put(keyA, 1, soon)
			r.Go("Update", func() { s.put(keyA, 2, soon) })
			newest := 1
			for range 2 {
				r.Go("Lookup", func() {
					was := newest
					v, ok := s.Lookup(keyA)
					if !ok || v < was {
						r.Failf("Lookup = %d %v, after %d", v, ok, was)
					}
					newest = max(newest, v)
				})
			}
		})
	}
}

// A session that is deleted and stored again is there for all from one store on: who looks after
// another has found it finds it, and so do SelectSession and DeletePartial after its Update.
func TestOrdersWhatOneFindsTheNextFinds(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{NoIndex: true}).hold()
		s.put(keyA, 1, soon)
		found := false
		r.Go("Delete, Update", func() { s.Delete(keyA); s.put(keyA, 2, soon) })
		r.Go("Lookup 1", func() {
			if v, _ := s.Lookup(keyA); v == 2 {
				found = true
			}
		})
		r.Go("Lookup 2", func() {
			was := found
			if v, ok := s.Lookup(keyA); was && v != 2 {
				r.Failf("Lookup = %d %v, after another Lookup has returned 2", v, ok)
			}
		})
	})
}
