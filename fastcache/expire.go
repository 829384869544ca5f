package fastcache

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/sessioncache/sessioncache/timerwheel"
)

// Expiry. A session is over at its deadline, to the nanosecond: every reader compares the two. This file frees its
// memory, within a tick after that. Each shard files its slots in a wheel, under their deadlines, and publishes
// when the wheel wants attention (shard.next). One timer for the whole cache, the alarm, sleeps until the earliest of
// these instants and then makes a pass through the shards. An Update that needs room
// asks for expired sessions, too, before it evicts anything.
//
// The alarm also spares Lookup the clock: it publishes a horizon, beyond which every deadline lies in the future.

const (
	// slack is how late the timer may run, at most, before a Lookup without ExactClock may
	// return an expired session. A timer that late needs a process that was stopped for more
	// than a second; the other second is for the timer's goroutine to get a processor and the
	// alarm's lock, behind all others, where there is more work than processors.
	slack = int64(2 * time.Second)

	// lead is how long before a deadline that is far off the timer runs a first time, to
	// put the horizon between: else all sessions that share a deadline within the slack,
	// as those stored in one burst do, would have every Lookup read the clock all along.
	lead = 2 * slack

	// wheelReach is an instant, 18 years after birth, up to which the wheel needs no attention
	// before a deadline. What is due later it files again in between.
	wheelReach = timerwheel.Tick(1 << 35)

	// scanExpired bounds how many sessions of the current tick, or of a group at its quota, are
	// looked at for one that is over already. The timer removes those within a tick anyway.
	scanExpired = 64

	// foresight is how many sessions prefetchDueLocked looks ahead.
	foresight = 32
)

// Special values of alarm.horizon.
const (
	idleHorizon = uint64(math.MaxInt64) // nothing is scheduled: any Update lowers it

	// passHorizon holds during an expiry pass. As the largest unsigned number it makes
	// every Lookup read the clock; as the smallest signed one, -1, it tells Update that
	// the pass will arm the timer when it ends.
	passHorizon = uint64(math.MaxUint64)
)

// An alarm wakes the cache at the earliest deadline, and no sooner: an idle or empty cache
// does no work.
type alarm struct {
	// horizon is the next wake-up plus slack. An entry whose until lies beyond it is alive
	// without a look at any clock: the timer runs before, and lowers the horizon never
	// below the present minus slack.
	horizon atomic.Uint64
	_       [56]byte // horizon is read by every Lookup; keep what writers touch off its line

	mu struct {
		sync.Mutex // taken last; never while taking a shard's lock
		timer      *time.Timer
		pending    int  // runs of the timer's function that were started and have not begun
		passing    bool // a pass is under way
		closed     bool
		wakeUps    uint64
		due        int64 // for when the timer is set
		lag        time.Duration
		worstLag   time.Duration
	}
	quiet sync.Cond // signalled when pending or passing falls
}

// horizonOf returns the horizon for a wake-up.
func horizonOf(at int64) uint64 {
	if at > never-slack {
		return idleHorizon
	}
	return uint64(at + slack)
}

// wakeBy makes sure that the timer runs at an instant that a shard has published as its
// next, or earlier.
//
// It loads horizon after that store; a pass raises horizon first and loads every next
// afterwards. So either the pass sees the next, or we see its horizon.
func (c *Cache[V]) wakeBy(at int64) {
	if int64(horizonOf(at)) >= int64(c.alarm.horizon.Load()) {
		return // a pass is under way (-1), or the timer runs early enough
	}
	a := &c.alarm
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.closed || int64(horizonOf(at)) >= int64(a.horizon.Load()) {
		return
	}
	c.armLocked(at)
}

// armLocked sets the timer to an instant, or first to one before it, and publishes the
// horizon. It needs alarm.mu.
func (c *Cache[V]) armLocked(at int64) {
	a := &c.alarm
	now := c.now()
	at = max(at, now) // the caller may have stalled: a horizon in the past would show what has expired
	if at-now > 2*lead && !c.clocked {
		at -= lead
	}
	a.horizon.Store(horizonOf(at))
	a.mu.due = at
	wait := time.Duration(at - now)
	if a.mu.timer == nil {
		// The timer holds the cache weakly and nothing else does, so an abandoned cache
		// is collected; the timer then runs once, in vain. No cleanup stops it: that
		// would be a fatal error for a timer of a synctest bubble.
		w := weak.Make(c)
		a.mu.timer = time.AfterFunc(wait, func() {
			if c := w.Value(); c != nil {
				c.wake()
			}
		})
	} else {
		if a.mu.timer.Stop() {
			a.mu.pending--
		}
		a.mu.timer.Reset(wait)
	}
	a.mu.pending++
}

// wake is the timer's function: it expires what is due and arms the timer anew.
func (c *Cache[V]) wake() {
	a := &c.alarm
	a.mu.Lock()
	a.mu.pending--
	if a.mu.closed || a.mu.passing {
		a.quiet.Broadcast()
		a.mu.Unlock()
		return // the pass under way looks at every shard's next when it ends
	}
	a.mu.passing = true
	a.mu.wakeUps++
	a.noteLagLocked(a.mu.due, c.now())
	a.horizon.Store(passHorizon)
	a.mu.Unlock()

	for s := range c.eachShard {
		c.expireShard(s)
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.passing = false
	a.quiet.Broadcast()
	a.horizon.Store(idleHorizon) // before any next is loaded: see wakeBy
	at := never
	for s := range c.eachShard {
		at = min(at, s.next.Load())
	}
	if at != never && !a.mu.closed {
		c.armLocked(at)
	}
}

// expireShard removes what is due in a shard, a batch under each hold of its lock.
func (c *Cache[V]) expireShard(s *shard[V]) {
	for s.next.Load() <= c.now() {
		s.mu.Lock()
		s.expireBatchLocked(c.now())
		s.publishNextLocked()
		s.unlock()
	}
}

// stopTimer ends the alarm and waits for a pass that is under way.
func (c *Cache[V]) stopTimer() {
	a := &c.alarm
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.closed = true
	if a.mu.timer != nil && a.mu.timer.Stop() {
		a.mu.pending--
	}
	for a.mu.pending > 0 || a.mu.passing {
		a.quiet.Wait()
	}
}

// expireBatchLocked removes sessions that are over, up to a batch. The wheel tells which may be.
func (s *shard[V]) expireBatchLocked(now int64) {
	for i := 0; ; i++ {
		if i%foresight == 0 {
			s.prefetchDueLocked(now)
		}
		room, ok := s.expireDueLocked(now)
		if !ok {
			return
		}
		s.cache.giveBack(room)
	}
}

// prefetchDueLocked loads what the removal of the sessions that are due next needs from memory: their buckets, nodes
// and groups. In a large cache these are in no cache of the processor's. A removal would wait for one after the
// other; here the processor loads those of many sessions at the same time.
func (s *shard[V]) prefetchDueLocked(now int64) {
	if s.mu.wheel == nil {
		return
	}
	s.cancelLooseLocked()
	s.mu.wheel.Advance(tickOf(now))
	var slots [foresight]uint32
	var nodes [foresight]*node[V]
	due := nodes[:s.mu.wheel.Peek(slots[:])]
	for i := range due {
		due[i] = s.nodeLocked(slots[i])
	}
	for _, n := range due {
		prefetch(n)
	}
	if s.cache.index == nil {
		return
	}
	for _, n := range due {
		s.cache.index.Prefetch(n)
	}
}

// expireOneLocked removes one session that is over and returns its room: expired residents
// go before any eviction.
func (s *shard[V]) expireOneLocked(now int64) (room, bool) {
	if s.mu.wheel == nil || s.next.Load() > startOf(tickOf(now)+1) {
		return room{}, false // nothing expires within this tick; the wheel need not say so
	}
	if room, ok := s.expireDueLocked(now); ok {
		return room, true
	}
	if n := s.findOverLocked(now); n != nil {
		return s.removeOverLocked(n, now), true
	}
	return room{}, false
}

// expireDueLocked removes one session that the wheel says is over and returns its room; false if
// there is none, or the batch is used up. It needs a clock reading made under the lock: by
// an older one a session could be due for the wheel and not for us.
func (s *shard[V]) expireDueLocked(now int64) (room, bool) {
	if s.mu.wheel == nil {
		return room{}, false
	}
	s.cancelLooseLocked()
	s.mu.wheel.Advance(tickOf(now))
	const limit = batchSessions - 2 // leaves one for findOverLocked, one for the session to be stored
	for s.mu.work < limit {
		budget := limit - s.mu.work
		before := budget
		slot, ok := s.mu.wheel.DueWithin(&budget)
		s.mu.work += before - budget // what it filed again is work, too
		if !ok {
			break
		}
		n := s.nodeLocked(slot)
		if !settle(n, now) { // a Lookup has moved the idle deadline
			s.mu.wheel.Schedule(slot, dueTick(n.Item.until.Load()))
			continue
		}
		s.mu.work-- // removeLocked counts this one
		return s.removeOverLocked(n, now), true
	}
	return room{}, false
}

// findOverLocked returns a session that expired within the current tick, which the
// wheel hands out at its end, or nil.
func (s *shard[V]) findOverLocked(now int64) *node[V] {
	s.cancelLooseLocked()
	looked := 0
	for slot := range s.mu.wheel.Upcoming() {
		if n := s.nodeLocked(slot); settle(n, now) {
			return n
		}
		if looked++; looked == scanExpired {
			break
		}
	}
	return nil
}

// timerLate reports whether the timer should have run: sessions of other shards may be over.
func (c *Cache[V]) timerLate(now int64) bool {
	return c.manyShards() && int64(c.alarm.horizon.Load()) < after(now, time.Duration(slack))
}

// expireOne removes one expired session of any shard and returns its room; false if there is
// no such session.
func (c *Cache[V]) expireOne() (room, bool) {
	for s := range c.eachShard {
		for s.next.Load() <= c.now() { // until nothing is due, however many must be filed again
			s.mu.Lock()
			room, ok := s.expireDueLocked(c.now())
			s.publishNextLocked()
			s.unlock()
			if ok {
				return room, true
			}
		}
	}
	return room{}, false
}

// scheduleLocked files a slot under its entry's deadline and returns when the wheel wants
// attention for it, which the caller passes to wakeBy once the lock is released.
func (s *shard[V]) scheduleLocked(slot uint32, until int64) int64 {
	tick := dueTick(until)
	s.mu.wheel.Schedule(slot, tick)
	due := startOf(tick)
	if tick > wheelReach {
		due = s.nextLocked()
	}
	if due < s.next.Load() {
		s.next.Store(due)
	}
	return due
}

// rescheduleLocked is scheduleLocked for a slot that was filed for a deadline before. If the new
// one is no earlier it leaves the slot where it is: the wheel will hand it out too soon,
// and expireDueLocked files it again, once in a lifetime and not at each Update.
func (s *shard[V]) rescheduleLocked(slot uint32, old, until int64) int64 {
	if old <= 0 || until < old {
		return s.scheduleLocked(slot, until)
	}
	return s.next.Load()
}

// A loose slot is one whose session is gone and which the wheel still has: most often the
// session for which it made room takes the slot over, with a later deadline, and need not be
// filed anew. A caller that asks the wheel, or releases the lock, cancels it first.
type loose struct {
	slot  uint32
	until int64 // the wheel has it no later
}

// cancelLooseLocked makes the wheel forget the loose slot.
func (s *shard[V]) cancelLooseLocked() {
	if slot := s.mu.loose.slot; slot != noSlot {
		s.mu.loose.slot = noSlot
		s.mu.wheel.Cancel(slot)
	}
}

// nextLocked returns the instant at which the wheel wants attention, or never.
func (s *shard[V]) nextLocked() int64 {
	s.cancelLooseLocked()
	if s.mu.wheel != nil {
		if at, ok := s.mu.wheel.Next(); ok {
			return startOf(at)
		}
	}
	return never
}

// publishNextLocked stores the wheel's next instant, exactly.
func (s *shard[V]) publishNextLocked() { s.next.Store(s.nextLocked()) }
