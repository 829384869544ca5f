package fastcache

import (
	"fmt"
	"maps"
	"math"
	"math/bits"

	"github.com/cespare/xxhash/v2"

	"github.com/sessioncache/sessioncache/internal/buckets"
	"github.com/sessioncache/sessioncache/internal/testing/model"
	"github.com/sessioncache/sessioncache/timerwheel"
)

// The hashes that every suite runs under: HashGood is what the Config says, by default XXHash. The others are
// SecretHash with a mask over the digest. That of HashSecret takes a bit that nothing looks at, the rest force
// digests to collide, in the table and in the choice of shard.
const (
	HashGood      = uint64(math.MaxUint64)
	HashSecret    = HashGood &^ (1 << 40)
	HashConstant  = uint64(0)
	HashTruncated = uint64(3<<62 | 0xf) // four shards and sixteen tags, all in one home bucket
)

// CrowdLimit is how many sessions at most have their search begin in one bucket.
const CrowdLimit = crowdLimit

// Splitting is a number of shards for NewForTest: one, which splits as soon as it can. Other numbers stay.
const Splitting = 0

// NewForTest is New with a number of shards, a power of two or Splitting, and one of the hashes.
func NewForTest[V any](cfg Config[V], shards int, hashMask uint64) *Cache[V] {
	cfg, err := cfg.validate()
	if err != nil {
		panic(err)
	}
	if hashMask != HashGood {
		cfg.Hash = SecretHash
	}
	entries := shards
	if shards == Splitting {
		shards, entries = 1, minEntries
	}
	c := newCache(cfg, shards, entries)
	c.hashMask, c.splitSlots, c.splitAhead = hashMask, smallShard, 0
	if shards != entries {
		c.splitAhead = 6 // two steps less than there are, so that some splits are prepared in time and others are not
	}
	return c
}

// keyWith returns the key of a partial key that has a digest under XXHash.
func keyWith(partial string, digest uint64) Key {
	return Key{partial, model.WithXXH64(digest ^ bits.RotateLeft64(xxhash.Sum64String(partial), partialTurn))}
}

// MaxWorkForTest returns the largest number of sessions worked on under one hold of a lock.
func (c *Cache[V]) MaxWorkForTest() int {
	most := 0
	for s := range c.eachShard {
		s.mu.Lock()
		most = max(most, s.mu.maxWork)
		s.mu.Unlock()
	}
	return most
}

// HoldTimerForTest keeps the timer's function from its work until release is called, as a stopped
// process does. Update, Close and Stats may wait for that, too; Lookup does not.
func (c *Cache[V]) HoldTimerForTest() (release func()) {
	a := &c.alarm
	a.mu.Lock()
	for a.mu.passing {
		a.quiet.Wait()
	}
	return a.mu.Unlock
}

// ShardsForTest returns the number of shards.
func (c *Cache[V]) ShardsForTest() int {
	n := 0
	for range c.eachShard {
		n++
	}
	return n
}

// CheckInvariantsForTest holds table, slots, wheel, queues, index and counters against each
// other and returns the first contradiction. It keeps the timer from its work meanwhile; the caller
// sees to it that nothing else uses the cache.
func (c *Cache[V]) CheckInvariantsForTest() error {
	defer c.HoldTimerForTest()()
	residents, weight := 0, int64(0)
	var listed probationers
	for s := range c.eachShard {
		s.mu.Lock()
		w, err := s.checkLocked()
		residents += s.mu.resident
		listed.add(s.probationersLocked())
		s.mu.Unlock()
		if err != nil {
			return fmt.Errorf("the shard of %d of %d entries from %d on: %w", s.span.Load(), len(c.shards), s.first, err)
		}
		weight += w
	}
	if got := int(c.sessions.Load()); got != residents {
		return fmt.Errorf("%d sessions counted, and %d residents", got, residents)
	}
	if got := c.weight.Load(); got != weight {
		return fmt.Errorf("weight is %d, the residents weigh %d", got, weight)
	}
	if got := (probationers{int(c.probation.sessions.load()), c.probation.weight.load()}); got != listed {
		return fmt.Errorf("%+v counted on probation, %+v listed", got, listed)
	}
	if err := c.checkLeases(); err != nil {
		return err
	}
	if c.index == nil {
		return nil
	}
	linked := map[*node[V]]bool{}
	for w := range c.index.Walks() {
		for n := w.Newest(); n != nil; n = w.Next(n) {
			if err := c.checkLinked(n); err != nil {
				return err
			}
			linked[n] = true
		}
	}
	return c.checkUnlinked(linked, residents)
}

// checkLeases checks that the leases that the shards have are those that the cache has, and that these are held.
func (c *Cache[V]) checkLeases() error {
	all := c.leases.all()
	has := map[*Lease[V]]bool{}
	for _, l := range all {
		has[l] = true
	}
	listed := 0
	for s := range c.eachShard {
		for key, l := range s.mu.leased {
			for ; l != nil; l = l.next {
				listed++
				if !has[l] || !l.Held() || l.key != key || c.shardOf(c.digest(key)) != s {
					return fmt.Errorf("a shard has a lease that is released, or not the cache's, or of another key or shard")
				}
			}
		}
	}
	if n := int(c.leases.count.Load()); listed != len(all) || listed != n {
		return fmt.Errorf("the shards have %d leases, the cache %d, and counts %d", listed, len(all), n)
	}
	return nil
}

// checkUnlinked checks that a resident that no group links is gone: TakeNewest has passed it.
func (c *Cache[V]) checkUnlinked(linked map[*node[V]]bool, residents int) error {
	unlinked := 0
	c.scan(func(n *node[V]) bool {
		if !linked[n] && n.Item.until.Load() <= 0 {
			unlinked++
		}
		return true
	})
	if len(linked)+unlinked != residents {
		return fmt.Errorf("the index links %d nodes, %d more are gone, %d are resident", len(linked), unlinked, residents)
	}
	return nil
}

// checkLinked checks that an indexed node is a resident, and found under its key.
func (c *Cache[V]) checkLinked(n *node[V]) error {
	digest, partial := c.digest(keyOf(n)), c.partialDigest(partialOf(n))
	s := c.shardOf(digest)
	if found := find(s.table.Load(), uint32(digest), keyOf(n)); found != n {
		return fmt.Errorf("an indexed node is not what its key finds in the table")
	}
	h, ok := c.index.HoldExisting(partial, partialOf(n))
	if !ok {
		return fmt.Errorf("a linked node's partial key is not mapped")
	}
	lone := h.Len() == 1 && h.Newest() == n
	h.Release()
	if g := n.Group(); g == nil && !lone || g != nil && (g.Revoked() || c.index.Find(partial, g.Partial()) != g) {
		return fmt.Errorf("a linked node is neither alone nor in a group that is mapped and not revoked")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot := n.Item.slot; s.nodeLocked(slot) != n {
		return fmt.Errorf("an indexed node is not in its slot %d", slot)
	}
	return nil
}

// checkLocked checks one shard and returns the weight of its residents.
func (s *shard[V]) checkLocked() (weight int64, err error) {
	t := s.table.Load()
	if err := t.Check(func(n *node[V]) uint32 { return s.mu.hash[n.Item.slot] }); err != nil {
		return 0, err
	}
	nodes := 0
	for range t.All() {
		nodes++
	}
	if nodes != s.mu.resident {
		return 0, fmt.Errorf("the table has %d nodes, the shard %d", nodes, s.mu.resident)
	}
	deadlines := map[uint32]timerwheel.Tick{}
	if s.mu.wheel != nil {
		deadlines = maps.Collect(s.mu.wheel.All())
	}
	free := 0
	for slot := s.mu.free; slot != noSlot; slot = s.mu.hash[slot] {
		if free++; free > len(s.mu.place) || s.mu.place[slot] != buckets.NoPlace {
			return 0, fmt.Errorf("slot %d is in the free list and taken, or the list is a ring", slot)
		}
	}
	queued := 0
	for slot := range s.mu.place {
		n := s.nodeLocked(uint32(slot))
		if n == nil {
			if s.mu.policy.Has(uint32(slot)) {
				return 0, fmt.Errorf("free slot %d is queued", slot)
			}
			continue
		}
		if err := s.checkSlotLocked(uint32(slot), n, deadlines); err != nil {
			return 0, err
		}
		queued++
		if s.cache.cfg.Weigh != nil {
			weight += s.mu.weight[slot]
		}
	}
	if queued != s.mu.resident || free+queued != len(s.mu.place) {
		return 0, fmt.Errorf("%d resident, %d slots taken, %d free, %d in all", s.mu.resident, queued, free, len(s.mu.place))
	}
	if s.mu.resident > 0 && s.mu.wheel.Len() != s.mu.resident {
		return 0, fmt.Errorf("%d resident, %d scheduled", s.mu.resident, s.mu.wheel.Len())
	}
	if next := s.nextLocked(); s.next.Load() > next {
		return 0, fmt.Errorf("published next %d is later than the wheel's %d", s.next.Load(), next)
	}
	if err := s.checkPartingLocked(); err != nil {
		return 0, err
	}
	if err := s.checkCrowdsLocked(); err != nil {
		return 0, err
	}
	if err := s.mu.probation.Check(); err != nil {
		return 0, fmt.Errorf("on probation: %w", err)
	}
	return weight, s.mu.policy.Check(s.mu.resident)
}

// checkPartingLocked checks that a split that is being prepared is one of these slots and knows where their sessions go.
func (s *shard[V]) checkPartingLocked() error {
	p := s.mu.parting
	if p == nil {
		return nil
	}
	if len(p.upper) != len(s.mu.place) || p.mine != nil && p.mine.Len() != s.table.Load().Len() {
		return fmt.Errorf("a split is prepared for %d slots, the shard has %d", len(p.upper), len(s.mu.place))
	}
	for slot := range p.known {
		if n := s.nodeLocked(uint32(slot)); n != nil && p.upper[slot] != p.has(s.cache.digest(keyOf(n))) {
			return fmt.Errorf("a split that is prepared has slot %d in the wrong half", slot)
		}
	}
	return nil
}

// checkCrowdsLocked checks that crowds are as small as they must be and listed right, and that their sessions
// lie within reach.
func (s *shard[V]) checkCrowdsLocked() error {
	c := s.cache
	t := s.table.Load()
	if c.maxCrowd == 0 {
		if s.mu.crowds != nil {
			return fmt.Errorf("crowds are listed, and have no bound")
		}
		return nil
	}
	crowds := make([]int, t.Len())
	for slot, p := range s.mu.place {
		if p == buckets.NoPlace {
			continue
		}
		home := t.Number(s.mu.hash[slot])
		if ahead := t.Ahead(home, p); ahead > buckets.Reach {
			return fmt.Errorf("slot %d lies %d buckets ahead of its own; want %d at most", slot, ahead, buckets.Reach)
		}
		if crowds[home]++; crowds[home] > c.maxCrowd {
			return fmt.Errorf("bucket %d has a crowd of %d at least; want %d at most", home, crowds[home], c.maxCrowd)
		}
	}
	for home, n := range crowds {
		if s.mu.crowds == nil {
			break
		}
		if got := s.mu.crowds.Len(home); got != n {
			return fmt.Errorf("bucket %d has a crowd of %d; %d are listed", home, n, got)
		}
		err := s.mu.crowds.Check(home, func(slot uint32) bool {
			return s.mu.place[slot] != buckets.NoPlace && t.Number(s.mu.hash[slot]) == home
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// probationersLocked recounts the residents that are on probation.
func (s *shard[V]) probationersLocked() (p probationers) {
	for slot := range s.mu.place {
		if !s.mu.probation.Has(uint32(slot)) {
			continue
		}
		p.sessions++
		if len(s.mu.weight) > 0 {
			p.weight += s.mu.weight[slot]
		}
	}
	return p
}

func (s *shard[V]) checkSlotLocked(slot uint32, n *node[V], deadlines map[uint32]timerwheel.Tick) error {
	c := s.cache
	digest := c.digest(keyOf(n))
	switch {
	case n.Item.slot != slot:
		return fmt.Errorf("the node in slot %d says %d", slot, n.Item.slot)
	case c.shardOf(digest) != s || s.mu.hash[slot] != uint32(digest):
		return fmt.Errorf("slot %d has a wrong hash", slot)
	case find(s.table.Load(), uint32(digest), keyOf(n)) != n:
		return fmt.Errorf("the table does not find the node in slot %d", slot)
	case !s.mu.policy.Has(slot):
		return fmt.Errorf("slot %d is in no queue", slot)
	}
	at, ok := deadlines[slot]
	if until := n.Item.until.Load(); !ok || until > 0 && at > dueTick(until) {
		return fmt.Errorf("slot %d is not scheduled, or after its deadline", slot)
	}
	return nil
}

// nodeOf returns the node that a key finds in the table.
func nodeOf[V any](c *Cache[V], key Key) *node[V] { return c.find(c.digest(key), key) }

// holdTimer plays a timer that is late: it does not run until the test calls wake.
func holdTimer[V any](c *Cache[V]) {
	c.alarm.mu.Lock()
	defer c.alarm.mu.Unlock()
	c.alarm.mu.timer.Stop() // pending stays: wake takes it off
}
