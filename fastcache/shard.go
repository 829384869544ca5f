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
)

// A shard holds the sessions whose digests share their top bits. Lookup reads its table
// without a lock; every change happens under its one mutex, in the goroutine that asks for it.
type shard[V any] struct {
	cache    *Cache[V]                 // whose shard it is; this and the next three never change
	reporter *reporter[V]              // shared with the shards that it was once one with
	table    *atomic.Pointer[table[V]] // its first entry in Cache.tables; swapped under mu, loaded by everyone
	first    int                       // the first of its entries in Cache.shards and tables
	span     atomic.Int32              // how many entries it has; halved under mu when it splits
	_        [24]byte                  // what writers touch stays off the line of the shard before

	// next is the instant at which the wheel wants attention, or never. It is lowered
	// under mu before the alarm's horizon is loaded (see wakeBy); it may be too early.
	next atomic.Int64

	mu struct {
		sync.Mutex // taken after overflow, before a group's; never two shards; never held over the caller's code; see lockShardOf
		slots
		wheel  *timerwheel.Wheel
		loose  loose // the wheel still has this slot, which has been freed
		policy eviction.Policy
		closed bool

		probation eviction.List // sessions on probation, which the policy has, too

		leased map[Key]*Lease[V] // the first lease of each key that has any

		parting *parting[V] // the split that is being prepared, or nil
		alike   bool        // the digests are too much alike for a split of so many slots

		crowds *eviction.Lists // by bucket, the sessions whose search begins there; nil until one is suspect

		delivers bool // the caller that releases the lock starts a goroutine that delivers reports

		inserted     uint64
		removed      [reasons]uint64
		longestProbe int // see Stats

		work, maxWork int // sessions worked on in this hold of the lock, and in any
	}
	_ [64]byte
}

// init makes a shard that has no table yet. Its next is to be set before it is listed.
func (s *shard[V]) init(c *Cache[V], first, span int, r *reporter[V]) {
	s.cache, s.reporter, s.first, s.table = c, r, first, &c.tables[first]
	s.span.Store(int32(span))
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

// grown returns s with length n at least, zeroes in the new places. It takes no more memory than that, as append does.
func grown[E any](s []E, n int) []E {
	if n <= len(s) {
		return s
	}
	more := make([]E, n)
	copy(more, s)
	return more
}

// resetLocked makes a new shard usable, and gives the arrays of one that became empty back.
func (s *shard[V]) resetLocked() {
	s.storeTableLocked(buckets.New[node[V]](1))
	s.mu.slots = slots{free: noSlot}
	s.mu.policy, s.mu.probation, s.mu.crowds = eviction.Policy{}, eviction.List{}, nil
	s.mu.wheel, s.mu.loose = nil, loose{slot: noSlot}
	s.mu.parting, s.mu.alike = nil, false
}

// allocLocked returns a free slot, of which there must be one; the table has room for as many nodes as
// there are slots.
func (s *shard[V]) allocLocked(now int64) uint32 {
	if s.mu.wheel == nil {
		s.mu.wheel = timerwheel.New(tickOf(now))
		s.mu.wheel.Reserve(len(s.mu.place))
	}
	slot := s.mu.free
	s.mu.free = s.mu.hash[slot]
	s.mu.resident++
	return slot
}

// freeLocked frees a slot that holds no session, or one that has left the table. An empty shard gives its arrays back.
func (s *shard[V]) freeLocked(slot uint32) {
	s.mu.place[slot] = buckets.NoPlace
	s.mu.hash[slot] = s.mu.free
	s.mu.free = slot
	if s.mu.resident--; s.mu.resident == 0 && len(s.mu.place) > smallShard {
		s.resetLocked()
	}
}

// addSlotsLocked doubles the slots, but stops where the bound on the count makes more unlikely.
func (s *shard[V]) addSlotsLocked() {
	c := s.cache
	old := len(s.mu.place)
	n := max(2*old, smallShard)
	if old < c.shardSessions && c.shardSessions < n {
		n = c.shardSessions
	}
	s.mu.alike = false // for so many slots that is not known
	s.mu.place = grown(s.mu.place, n)
	s.mu.hash = grown(s.mu.hash, n)
	if c.cfg.Weigh != nil {
		s.mu.weight = grown(s.mu.weight, n)
	}
	s.mu.policy.Reserve(n)
	if s.mu.wheel != nil {
		s.mu.wheel.Reserve(n)
	}
	for slot := n - 1; slot >= old; slot-- { // so that the lowest is taken first
		s.mu.place[slot] = buckets.NoPlace
		s.mu.hash[slot] = s.mu.free
		s.mu.free = uint32(slot)
	}
	s.fitTableLocked()
}

// nodeLocked returns the node of a slot, nil if the slot is free.
func (s *shard[V]) nodeLocked(slot uint32) *node[V] {
	if p := s.mu.place[slot]; p != buckets.NoPlace {
		return s.table.Load().At(p).Load()
	}
	return nil
}

// batchUsedUpLocked reports whether the batch has no work left for another eviction.
func (s *shard[V]) batchUsedUpLocked() bool { return s.mu.work+eviction.MaxExamined+3 > batchSessions }

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

// A batch holds the nodes of a run of slots, nil for free ones.
type batch[V any] [batchSessions]*node[V]

// fillLocked copies the nodes of the slots from a given one on. It returns how many slots
// that were, and whether there are more.
func (b *batch[V]) fillLocked(s *shard[V], from int) (slots int, more bool) {
	all := len(s.mu.place)
	to := min(from+batchSessions, all)
	for slot := from; slot < to; slot++ {
		b[slot-from] = s.nodeLocked(uint32(slot))
	}
	return max(to-from, 0), to < all
}

// unlock releases a shard and sees to it that what was reported under the lock is
// delivered.
func (s *shard[V]) unlock() {
	s.cancelLooseLocked()
	s.walkLocked()
	s.mu.maxWork = max(s.mu.maxWork, s.mu.work)
	s.mu.work = 0
	delivers := s.mu.delivers
	s.mu.delivers = false
	s.mu.Unlock()
	if delivers {
		// A goroutine of its own, so that a slow OnRemove never delays our caller.
		go s.reporter.deliver(s.cache, nil)
	}
}
