package fastcache

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Lease is the right to store, under one key, what its holder has begun to fetch. The cache ends it as soon as the key
// is stored or removed by anybody else: by an Update of any kind, Delete, Take, TakeNewest, DeletePartial, Clear or Close. So a
// value that was fetched before a removal is never stored after it. Touch, Demote, expiry and evictions leave a lease alone.
//
// Look whether the key has a session after the lease has begun, not before: an Update that comes between the two
// would not end the lease, and be overwritten.
//
// A call that begins while a lease is held ends it before it returns. One that was under way when the lease began may
// end it or not. A key may have several leases; the first to store ends the others.
//
// Release every lease that has not stored: the cache keeps it until then. A Lease is safe for concurrent use. The zero
// Lease is not usable; Cache.Lease makes one.
type Lease[V any] struct {
	cache *Cache[V]
	key   Key         // our own copy
	held  atomic.Bool // stored under the shard's lock

	next *Lease[V] // owner: the shard. Another lease of the key.
}

// leases finds those of a partial key. The shards find those of a key; each lease is known to both or neither.
type leases[V any] struct {
	count atomic.Int64 // so that a cache without leases looks no further
	mu    struct {
		sync.Mutex // taken last, with a shard's lock held or without
		byPartial  map[string]map[*Lease[V]]struct{}
	}
}

// Lease begins a lease of a key, whether it has a session or not. It copies the key, takes the lock of one shard and
// costs O(1). Errors: ErrClosed, ErrKeyTooLong, ErrForeignClock, ErrNotMade.
//
// Package loading is built on it, and does more: it loads a key once for all who wait for it.
func (c *Cache[V]) Lease(key Key) (*Lease[V], error) {
	if len(c.shards) == 0 {
		return nil, ErrNotMade
	}
	if err := checkLength(key); err != nil {
		return nil, err
	}
	digest := c.digest(key)
	l := &Lease[V]{cache: c, key: Key{strings.Clone(key.Partial), strings.Clone(key.ID)}}
	s := c.lockShardOf(digest)
	defer s.unlock()
	now := c.now()
	switch {
	case s.mu.closed:
		return nil, ErrClosed
	case now < 0:
		return nil, ErrForeignClock
	}
	// A session that TakeNewest or DeletePartial has killed before must not end the lease when it leaves its slot.
	if n := find(s.table.Load(), uint32(digest), key); n != nil && settle(n, now) {
		c.giveBack(s.removeOverLocked(n, now))
	}
	if s.mu.leased == nil {
		s.mu.leased = map[Key]*Lease[V]{}
	}
	l.next, s.mu.leased[l.key] = s.mu.leased[l.key], l
	c.leases.add(l)
	l.held.Store(true)
	return l, nil
}

// Key returns the key of the lease, in memory of its own.
func (l *Lease[V]) Key() Key { return l.key }

// Held reports whether the lease has neither ended nor stored. It costs one load.
func (l *Lease[V]) Held() bool { return l.held.Load() }

// Update stores a value as Cache.Update does, if the lease is held; else it returns ErrLeaseLost. It is linearizable: no
// removal comes between the two. It ends the lease, whatever it returns.
func (l *Lease[V]) Update(value V) error {
	return l.update(value, l.cache.cfg.TTL)
}

// UpdateTTL is Update with a life of its own for the session. Errors are those of Cache.UpdateTTL and ErrLeaseLost.
func (l *Lease[V]) UpdateTTL(value V, ttl time.Duration) error {
	return l.update(value, ttl)
}

func (l *Lease[V]) update(value V, ttl time.Duration) error {
	defer l.Release()
	return l.cache.update(&update[V]{key: l.key, ttl: ttl, lease: l}, value)
}

// Release ends the lease, if it is held. Otherwise it costs one load.
func (l *Lease[V]) Release() {
	if !l.held.Load() {
		return
	}
	s := l.cache.lockShardOf(l.cache.digest(l.key))
	defer s.unlock()
	if !l.held.Load() {
		return
	}
	first := s.mu.leased[l.key]
	if first == l && l.next == nil {
		delete(s.mu.leased, l.key)
	} else if first == l {
		s.mu.leased[l.key] = l.next
	} else {
		before := first
		for before.next != l {
			before = before.next
		}
		before.next = l.next
	}
	l.endLocked()
}

// endLocked ends a lease that is on no list of the shard any more.
func (l *Lease[V]) endLocked() {
	l.held.Store(false)
	l.next = nil
	l.cache.leases.remove(l)
}

// endLeasesLocked ends the leases of a key, because it is stored or removed under this hold of the lock. A store
// ends them when it has linked the session and still holds the group. Earlier, a DeletePartial that finds no lease any
// more would not find the session either. Later, TakeNewest could take the session while its lease is held, and
// others would wait for a load that is over.
func (s *shard[V]) endLeasesLocked(key Key) {
	if len(s.mu.leased) == 0 {
		return
	}
	l := s.mu.leased[key]
	delete(s.mu.leased, key)
	for l != nil {
		next := l.next
		l.endLocked()
		l = next
	}
}

// endLeasesOfLocked ends the leases of a session's key if a caller has removed it. Delete and Clear see to it themselves,
// because they end leases of keys without a session, too.
func (s *shard[V]) endLeasesOfLocked(n *node[V], reason Reason) {
	if len(s.mu.leased) > 0 && (reason == Taken || reason == Revoked) {
		s.endLeasesLocked(keyOf(n))
	}
}

// partLeasesLocked gives a shard that is about to split off the leases whose keys belong to it.
func (s *shard[V]) partLeasesLocked(twin *shard[V]) {
	c := s.cache
	for key, l := range s.mu.leased {
		if c.digest(key)>>c.shardShift >= uint64(twin.first) {
			delete(s.mu.leased, key)
			if twin.mu.leased == nil {
				twin.mu.leased = map[Key]*Lease[V]{}
			}
			twin.mu.leased[key] = l
		}
	}
}

// endLeases ends leases in any shards, each under its shard's lock: what it has stored is there by then to be removed, and it
// stores no more.
func endLeases[V any](leases []*Lease[V]) {
	for _, l := range leases {
		l.Release()
	}
}

func (ls *leases[V]) add(l *Lease[V]) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.mu.byPartial == nil {
		ls.mu.byPartial = map[string]map[*Lease[V]]struct{}{}
	}
	of := ls.mu.byPartial[l.key.Partial]
	if of == nil {
		of = map[*Lease[V]]struct{}{}
		ls.mu.byPartial[l.key.Partial] = of
	}
	of[l] = struct{}{}
	ls.count.Add(1)
}

func (ls *leases[V]) remove(l *Lease[V]) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	of := ls.mu.byPartial[l.key.Partial]
	delete(of, l)
	if len(of) == 0 {
		delete(ls.mu.byPartial, l.key.Partial)
	}
	ls.count.Add(-1)
}

// of returns the leases of a partial key.
func (ls *leases[V]) of(partial string) (held []*Lease[V]) {
	if ls.count.Load() == 0 {
		return nil
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for l := range ls.mu.byPartial[partial] {
		held = append(held, l)
	}
	return held
}

// all returns every lease.
func (ls *leases[V]) all() (held []*Lease[V]) {
	if ls.count.Load() == 0 {
		return nil
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, of := range ls.mu.byPartial {
		for l := range of {
			held = append(held, l)
		}
	}
	return held
}
