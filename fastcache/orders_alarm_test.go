//go:build sessioncache_orders

package fastcache

import (
	"fmt"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// A scene is a cache in a run, and what its threads have seen.
type scene struct {
	*Cache[int]
	run *orders.Run
}

// newScene returns an empty cache of one shard, without an index unless the scenario is about it: every
// step less is a factor less of orders.
func newScene(r *orders.Run, cfg Config[int]) *scene {
	cfg, err := cfg.validate()
	if err != nil {
		panic(err)
	}
	return sharded(r, cfg, 1)
}

// sharded returns an empty cache of several shards.
func sharded(r *orders.Run, cfg Config[int], shards int) *scene {
	s := &scene{newCache(cfg, shards, shards), r}
	r.MaxLate(time.Duration(slack))
	r.AtRest(s.CheckInvariantsForTest)
	r.AtRest(s.alarmed)
	return s
}

var (
	keyA = Key{Partial: "p", ID: "a"}
	keyB = Key{Partial: "p", ID: "b"}
	keyC = Key{Partial: "p", ID: "c"}
)

// put is UpdateTTL, which must succeed.
func (s *scene) put(key Key, value int, ttl time.Duration) {
	if err := s.UpdateTTL(key, value, ttl); err != nil {
		s.run.Failf("UpdateTTL(%v) = %v", key, err)
	}
}

// alarmed checks promises 1 and 10 at rest: what has expired has left memory, and the timer is set for
// the earliest deadline of what is left, or earlier, and for none if nothing is.
func (s *scene) alarmed() error {
	now, at := int64(s.run.Clock()), never
	for sh := range s.eachShard {
		first := never
		for slot := range sh.mu.place {
			n := sh.nodeLocked(uint32(slot))
			if n == nil {
				continue
			}
			until := n.Item.until.Load()
			if until <= 0 { // ended by a reader: it leaves when it would have, of which until says nothing any more
				if sh.next.Load() == never {
					return fmt.Errorf("a session that has ended is in memory for good")
				}
				continue
			}
			if startOf(dueTick(until)) <= now {
				return fmt.Errorf("a session is in memory at %d, a tick after its deadline at %d", now, until)
			}
			first = min(first, startOf(dueTick(until)))
		}
		if next := sh.next.Load(); next > first {
			return fmt.Errorf("a shard wants attention at %d; its earliest session at %d", next, first)
		}
		at = min(at, first)
	}
	if s.alarm.mu.closed {
		at = never
	}
	var due time.Duration
	armed := false
	if s.alarm.mu.timer != nil {
		due, armed = s.timer()
	}
	if s.alarm.mu.closed && armed {
		return fmt.Errorf("the timer of a closed cache is set")
	}
	if at != never && (!armed || int64(due) > at) {
		return fmt.Errorf("a session expires at %d; the timer is set: %v, for %d", at, armed, due)
	}
	if h := int64(s.alarm.horizon.Load()); at != never && (h < 0 || h > at+slack) {
		return fmt.Errorf("a session expires at %d; the horizon is %d", at, h)
	}
	if pending := s.alarm.mu.pending; pending != 0 && !armed || s.alarm.mu.passing {
		return fmt.Errorf("%d runs of the timer are pending, armed: %v, passing: %v", pending, armed, s.alarm.mu.passing)
	}
	return nil
}

// timer returns when the alarm's timer is due, and whether it is armed. The timer is one of the explorer's, where
// the package is built for it.
func (s *scene) timer() (time.Duration, bool) { return any(s.alarm.mu.timer).(*orders.Timer).Due() }

// looksUp is a thread that looks a session up, which must not be returned if it was over, by the deadline
// that it may have had at most, when the call began.
func (s *scene) looksUp(key Key, deadline func() time.Duration) {
	s.run.Go("Lookup "+key.ID, func() {
		began := orders.Now()
		if v, ok := s.Lookup(key); ok && began >= deadline() {
			s.run.Failf("Lookup, begun at %v, returned %d, which expired at %v", began, v, deadline())
		}
	})
}

func at(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

const (
	aTick = time.Duration(1) << tickShift
	soon  = time.Second
	later = 2 * time.Second

	far = time.Hour // beyond the horizon, so that a Lookup takes the short way
)

// Two Updates find nothing scheduled and arm the alarm at once: the earlier deadline wins, whichever comes
// second.
func TestOrdersTwoUpdatesArmTheAlarm(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{NoIndex: true})
		r.Go("Update a", func() { s.put(keyA, 1, later) })
		r.Go("Update b", func() { s.put(keyB, 2, soon) })
	})
}

// A pass finds nothing left and goes idle, while an Update brings a deadline.
func TestOrdersAnUpdateMeetsThePass(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{NoIndex: true})
		s.put(keyA, 1, soon)
		r.Go("clock", func() { r.SetClock(soon + aTick) })
		r.Go("Update b", func() { s.put(keyB, 2, soon) })
	})
}

// An Update brings an earlier deadline while the timer for a later one is armed, late or running.
func TestOrdersAnEarlierDeadlineMeetsALateTimer(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{NoIndex: true})
		s.put(keyA, 1, soon)
		r.Go("clock", func() { r.SetClock(soon + aTick) })
		r.Go("Update b", func() { s.put(keyB, 2, soon/2) })
	})
}

// A Lookup at the deadline, with the timer as late as it may be, and one of a session beyond the horizon, with
// a pass that takes as long as it likes. The Lookup goes by the horizon and reads no clock where that says so.
func TestOrdersLookupAtTheDeadline(t *testing.T) {
	const farther = soon + time.Duration(slack) + soon/2
	for _, tt := range []struct {
		name     string
		key      Key
		deadline time.Duration
		clock    []time.Duration
	}{
		{"the first deadline", keyA, soon, []time.Duration{soon + aTick, soon + time.Duration(slack)}},
		{"beyond the horizon", keyB, farther, []time.Duration{soon + aTick, farther + aTick}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				s := newScene(r, Config[int]{NoIndex: true})
				s.put(keyA, 1, soon)
				s.put(keyB, 2, farther)
				r.Go("clock", func() {
					for _, to := range tt.clock {
						r.SetClock(to)
					}
				})
				s.looksUp(tt.key, at(tt.deadline))
			})
		})
	}
}

// The same for a session that comes while the clock goes on: its Update may stall between any two of its
// steps, longer than the session lives.
func TestOrdersLookupOfWhatIsBeingStored(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{NoIndex: true})
		stored := time.Duration(never)
		r.Go("Update a", func() {
			s.put(keyA, 1, soon)
			stored = r.Clock()
		})
		r.Go("clock", func() { r.SetClock(soon + aTick); r.SetClock(soon + time.Duration(slack)) })
		s.looksUp(keyA, func() time.Duration {
			if stored == time.Duration(never) {
				return stored
			}
			return stored + soon
		})
	})
}

// Close meets an Update and a pass. It returns when no pass is under way and none can come; an Update
// before it is removed, one after it refused.
func TestOrdersCloseMeetsAnUpdateAndThePass(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{NoIndex: true})
		s.put(keyA, 1, soon)
		r.Go("clock", func() { r.SetClock(soon + aTick) })
		r.Go("Close", func() {
			s.Close()
			r.Look(func() {
				a := &s.alarm.mu
				if _, armed := s.timer(); armed || r.TimerRuns() {
					r.Failf("Close returned with the timer armed: %v, running: %v, %d pending", armed, r.TimerRuns(), a.pending)
				}
			})
		})
		r.Go("Update b", func() {
			if err := s.UpdateTTL(keyB, 2, soon/2); err != nil && err != ErrClosed {
				r.Failf("Update = %v", err)
			}
		})
		r.AtRest(func() error {
			if n := s.Size(); n != 0 {
				return fmt.Errorf("%d sessions are left after Close", n)
			}
			return nil
		})
	})
}
