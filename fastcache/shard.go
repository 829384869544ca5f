package fastcache

import (
	"sync"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/internal/buckets"
	"github.com/sessioncache/sessioncache/internal/eviction"
	"github.com/sessioncache/sessioncache/timerwheel"
)

const (
	// batchSessions is how many sessions at most are worked on under one hold of a shard's
	// lock, so that no writer waits long behind an expiry, a Clear or a revocation.
	batchSessions = 256

	// smallShard is how many slots an empty shard keeps, so that a cache that hovers around
	// one session does not allocate each time.
	smallShard = 16

	// wheelReach is an instant, 18 years after birth, up to which the wheel needs no attention
	// before a deadline. What is due later it files again in between.
	wheelReach = timerwheel.Tick(1 << 35)
)

// A shard holds the sessions whose digests share their top bits. Lookup reads its table
// without a lock; every change happens under its one mutex, by whoever asks for it.
type shard[V any] struct {
	table *atomic.Pointer[table[V]] // in Cache.tables; swapped under mu, loaded by everyone
	_     [56]byte                  // what writers touch stays off the line of the shard before

	// next is the instant at which the wheel wants attention, or never. It is lowered
	// under mu before the alarm's horizon is loaded (see wakeBy); it may be too early.
	next atomic.Int64

	// undelivered counts the reports that were queued and whose OnRemove has not returned.
	undelivered atomic.Int64

	// deliverer is the goroutine that calls OnRemove for this shard, 0 if there is none: a Close
	// that it calls would wait for itself.
	deliverer atomic.Uint64

	mu struct {
		sync.Mutex // taken after overflow, before a group's; never two shards; never held over the caller's code
		slots
		wheel  *timerwheel.Wheel
		loose  loose // the wheel still has this slot, which has been freed
		policy eviction.Policy
		closed bool

		probation eviction.List // sessions on probation, which the policy has, too

		crowds *eviction.Lists // by bucket, the sessions whose search begins there; nil until one is suspect

		reports    []Removal[V] // queued for OnRemove, oldest first
		delivering bool         // a goroutine delivers, or is about to

		inserted uint64
		removed  [reasons]uint64

		work, maxWork int // sessions worked on in this hold of the lock, and in any
	}
	idle sync.Cond // on mu: signalled when delivering falls
	_    [64]byte
}

// noSlot is no slot: it ends the list of free ones.
const noSlot = eviction.NoSlot

// slots number the residents of a shard. The wheel and the eviction policy know a session
// by its slot alone, so they hold no pointers.
//
// invariant: a slot is free ⟺ place[slot] == buckets.NoPlace ⟺ neither the wheel nor the policy has it.
type slots struct {
	place    []buckets.Place // by slot: where the table has its node; the table alone holds pointers
	hash     []uint32        // by slot: what the table needs to grow without touching an entry; of a free slot, the next free one
	weight   []int64         // by slot; empty without Weigh
	free     uint32          // the first free slot, or noSlot
	resident int
}

// grown returns s with length n at least, zeroes in the new places.
func grown[E any](s []E, n int) []E {
	if n <= len(s) {
		return s
	}
	return append(s, make([]E, n-len(s))...)
}

// resetLocked makes a new shard usable, and gives the arrays of one that became empty back.
func (s *shard[V]) resetLocked() {
	s.table.Store(buckets.New[node[V]](1))
	s.mu.slots = slots{free: noSlot}
	s.mu.policy, s.mu.probation, s.mu.crowds = eviction.Policy{}, eviction.List{}, nil
	s.mu.wheel, s.mu.loose = nil, loose{slot: noSlot}
}

// allocLocked returns a free slot, of which there must be one; the table has room for as many nodes as
// there are slots.
func (s *shard[V]) allocLocked(now int64) uint32 {
	m := &s.mu
	if m.wheel == nil {
		m.wheel = timerwheel.New(tickOf(now))
	}
	slot := m.free
	m.free = m.hash[slot]
	m.resident++
	return slot
}

// addSlotsLocked doubles the slots, but stops where the bound on the count makes more unlikely.
func (s *shard[V]) addSlotsLocked(c *Cache[V]) {
	m := &s.mu
	old := len(m.place)
	n := max(2*old, smallShard)
	if old < c.shardSessions && c.shardSessions < n {
		n = c.shardSessions
	}
	m.place = grown(m.place, n)
	m.hash = grown(m.hash, n)
	if c.cfg.Weigh != nil {
		m.weight = grown(m.weight, n)
	}
	m.policy.Reserve(n)
	for slot := n - 1; slot >= old; slot-- { // so that the lowest is taken first
		m.place[slot] = buckets.NoPlace
		m.hash[slot] = m.free
		m.free = uint32(slot)
	}
	s.fitTableLocked(c)
}

// nodeLocked returns the node of a slot, nil if the slot is free.
func (s *shard[V]) nodeLocked(slot uint32) *node[V] {
	if p := s.mu.place[slot]; p != buckets.NoPlace {
		return s.table.Load().At(p).Load()
	}
	return nil
}

// removeLocked ends the session of a resident for a reason, unless it is over already, takes
// it out of its slot and queues its report. It returns the room that the session took, which
// the caller passes to a newcomer or gives back, and whether it was this call that ended it.
func (s *shard[V]) removeLocked(c *Cache[V], n *node[V], reason Reason, now int64) (room room, ended bool) {
	m := &s.mu
	slot := n.Item.slot
	m.work++
	until := n.Item.until.Load()
	ended = c.end(n, reason, now)
	s.leaveCrowdLocked(slot)
	s.table.Load().Remove(m.hash[slot], m.place[slot])
	s.cancelLocked()
	m.loose = loose{slot, until}
	m.policy.Remove(slot)
	room.places = 1
	if c.cfg.Weigh != nil {
		room.weight = m.weight[slot]
	}
	if m.probation.Has(slot) {
		room.probation = s.endProbationLocked(slot)
	}
	m.place[slot] = buckets.NoPlace
	m.hash[slot] = m.free
	m.free = slot
	s.reportLocked(c, n, removalReason(n))
	if m.resident--; m.resident == 0 && len(m.place) > smallShard {
		s.resetLocked()
	}
	return room, ended
}

// end kills a node for a reason and unlinks it from its group, and reports whether it was
// this call that did so for that reason. It does both in one section of the group's lock:
// whoever holds that sees a session end by its deadline only, and TakeNewestKeepLast knows
// which one is the last.
func (c *Cache[V]) end(n *node[V], reason Reason, now int64) bool {
	if c.index == nil {
		return kill(n, reason, now)
	}
	g := c.index.LockOf(n)
	ended := kill(n, reason, now)
	unlink(g, n)
	c.index.Unlock(g)
	return ended
}

// expireLocked removes sessions that are over, up to a batch. The wheel tells which may be.
func (s *shard[V]) expireLocked(c *Cache[V], now int64) {
	for i := 0; ; i++ {
		if i%foresight == 0 {
			s.foreseeLocked(c, now)
		}
		room, ok := s.dueLocked(c, now)
		if !ok {
			return
		}
		c.giveBack(room)
	}
}

// foresight is for how many sessions foreseeLocked loads.
const foresight = 32

// foreseeLocked loads what the removal of the sessions that are due next needs from memory. In a
// large cache it is in no cache of the processor's, and each session's bucket, node and group would
// be waited for one after the other; here the sessions' wait together.
func (s *shard[V]) foreseeLocked(c *Cache[V], now int64) {
	if s.mu.wheel == nil {
		return
	}
	s.cancelLocked()
	s.mu.wheel.Advance(tickOf(now))
	var slots [foresight]uint32
	var nodes [foresight]*node[V]
	due := nodes[:s.mu.wheel.Peek(slots[:])]
	for i := range due {
		due[i] = s.nodeLocked(slots[i])
	}
	for _, n := range due {
		n.Item.until.Load()
	}
	if c.index == nil {
		return
	}
	for _, n := range due {
		n.Group().Newest()
	}
}

// dueLocked removes one session that the wheel says is over and returns its room; false if
// there is none, or the batch is used up. It needs a clock reading made under the lock: by
// an older one a session could be due for the wheel and not for us.
func (s *shard[V]) dueLocked(c *Cache[V], now int64) (room, bool) {
	m := &s.mu
	if m.wheel == nil {
		return room{}, false
	}
	s.cancelLocked()
	m.wheel.Advance(tickOf(now))
	const limit = batchSessions - 2 // leaves one for overThisTickLocked, one for the session to be stored
	for m.work < limit {
		budget := limit - m.work
		before := budget
		slot, ok := m.wheel.DueWithin(&budget)
		m.work += before - budget // what it filed again is work, too
		if !ok {
			break
		}
		n := s.nodeLocked(slot)
		if !settle(n, now) { // a Lookup has moved the idle deadline
			m.wheel.Schedule(slot, dueTick(n.Item.until.Load()))
			continue
		}
		m.work-- // removeLocked counts this one
		room, _ := s.removeLocked(c, n, Expired, now)
		return room, true
	}
	return room{}, false
}

// spentLocked reports whether the batch has no work left for another eviction.
func (s *shard[V]) spentLocked() bool { return s.mu.work+eviction.MaxExamined+3 > batchSessions }

// slotOf returns the slot of a resident, noSlot for nil.
func slotOf[V any](n *node[V]) uint32 {
	if n == nil {
		return noSlot
	}
	return n.Item.slot
}

// residesLocked reports whether a node is still in its slot.
func (s *shard[V]) residesLocked(n *node[V]) bool {
	slot := n.Item.slot
	return int(slot) < len(s.mu.place) && s.nodeLocked(slot) == n
}

// nextLocked returns the instant at which the wheel wants attention, or never.
func (s *shard[V]) nextLocked() int64 {
	s.cancelLocked()
	if s.mu.wheel != nil {
		if at, ok := s.mu.wheel.Next(); ok {
			return startOf(at)
		}
	}
	return never
}

// publishNextLocked stores the wheel's next instant, exactly.
func (s *shard[V]) publishNextLocked() { s.next.Store(s.nextLocked()) }

// A loose slot is one whose session is gone and which the wheel still has: most often the
// session for which it made room takes the slot over, with a later deadline, and need not be
// filed anew. Whoever asks the wheel, or releases the lock, cancels it first.
type loose struct {
	slot  uint32
	until int64 // the wheel has it no later
}

// cancelLocked makes the wheel forget the loose slot.
func (s *shard[V]) cancelLocked() {
	if slot := s.mu.loose.slot; slot != noSlot {
		s.mu.loose.slot = noSlot
		s.mu.wheel.Cancel(slot)
	}
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
// and dueLocked files it again, once in a lifetime and not at each Update.
func (s *shard[V]) rescheduleLocked(slot uint32, old, until int64) int64 {
	if old <= 0 || until < old {
		return s.scheduleLocked(slot, until)
	}
	return s.next.Load()
}
