package fastcache

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"time"

	"github.com/sessioncache/sessioncache/internal/eviction"
)

// A loader is one ReadSnapshot under way. Its first pass verifies, and weighs what there is against the room; its second
// pass stores.
type loader[V any] struct {
	cache    *Cache[V]
	decode   func(Key, []byte) (V, error)
	blocks   blockReader
	session  record
	restored restored // of the session that is stored
	began    time.Time
	now      int64 // when the block was read
	gone     int64 // how long its own instant was ago then
	counts   Restored

	// What follows is for a cache whose bounds may be too small.
	found   []amount // by worth; nil without bounds
	least   int      // the worth from which on there is room; that of this very worth is in room
	room    amount
	partial []byte // of the session before
	run     int    // sessions of this partial key in the cache, and in a row
}

// An amount is a number of sessions and their weight.
type amount struct {
	sessions int
	weight   int64
}

func newLoader[V any](c *Cache[V], decode func(Key, []byte) (V, error), removed *removedKeys) *loader[V] {
	l := &loader[V]{cache: c, decode: decode, began: time.Now(), least: -1}
	l.restored = restored{removals: removed, clears: removed.clears.Load()}
	if c.maxSessions.Load() < math.MaxInt64 || c.maxWeight.Load() < math.MaxInt64 {
		l.found = make([]amount, worths)
	}
	return l
}

// load reads the snapshot twice.
func (l *loader[V]) load(r io.ReadSeeker) (Restored, error) {
	start, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return l.counts, fmt.Errorf("fastcache: reading a snapshot: %w", err)
	}
	in := bufio.NewReaderSize(r, blockFull)
	if err := l.each(in, l.verify); err != nil {
		return l.counts, err
	}
	l.share()
	verified, head := l.blocks.hash.Sum64(), l.blocks.head
	if _, err := r.Seek(start, io.SeekStart); err != nil {
		return l.counts, fmt.Errorf("fastcache: reading a snapshot: %w", err)
	}
	in.Reset(r)
	err = l.each(in, func(s *record) error {
		if l.blocks.head != head {
			return ErrSnapshotChanged // for another snapshot: nothing is stored
		}
		return l.store(s)
	})
	switch {
	case errors.Is(err, ErrBadSnapshot), errors.Is(err, ErrSnapshotVersion):
		return l.counts, fmt.Errorf("%w: %v", ErrSnapshotChanged, err) // %v: it is not so that nothing has changed
	case err == nil && l.blocks.hash.Sum64() != verified:
		return l.counts, ErrSnapshotChanged
	}
	return l.counts, err
}

// each reads a snapshot and visits its sessions, those of a block once the block is verified.
func (l *loader[V]) each(r io.Reader, visit func(*record) error) error {
	b := &l.blocks
	if err := b.begin(r); err != nil {
		return err
	}
	for {
		more, err := b.next()
		if err != nil || !more {
			return err
		}
		read := time.Now()
		l.now, l.gone = int64(read.Sub(l.cache.birth)), b.since(read)
		for {
			ok, err := b.record(&l.session)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if err := visit(&l.session); err != nil {
				return err
			}
		}
	}
}

// since returns how long ago the block's instant was at another, by the wall clock: 0 if the clock was set back, and at
// most what an int64 holds.
func (b *blockReader) since(at time.Time) int64 {
	now := at.UnixNano()
	if now <= b.wall {
		return 0
	}
	return int64(min(uint64(now)-uint64(b.wall), math.MaxInt64))
}

// verify has decode and Weigh try a session, and counts it among those that need room.
func (l *loader[V]) verify(s *record) error {
	gone := l.blocks.since(l.began)
	if l.over(s, gone) {
		return nil
	}
	value, err := l.decode(s.key, s.value)
	if errors.Is(err, ErrSkipSession) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("fastcache: decoding a session: %w", err)
	}
	weight, err := l.weigh(s, value)
	if err != nil || l.found == nil || l.isPresent(s.key) || l.overQuota(s.key.Partial) {
		return err
	}
	if weight <= l.cache.maxWeight.Load() {
		l.found[worthOf(s.flags, s.life-gone)].add(weight)
	}
	return nil
}

// over reports whether a session's time is over so long after its block's instant.
func (l *loader[V]) over(s *record, gone int64) bool {
	return s.life <= gone || s.flags&flagIdle != 0 && l.cache.cfg.IdleTTL > 0 && s.idle <= gone
}

// weigh returns the weight of a session, and an error if it is negative.
func (l *loader[V]) weigh(s *record, value V) (int64, error) {
	if l.cache.cfg.Weigh == nil {
		return 0, nil
	}
	weight := l.cache.cfg.Weigh(s.key, value)
	return weight, checkWeight(min(weight, 0), l.cache.maxWeight.Load())
}

// overQuota reports whether the sessions of a partial key that the cache has, and those that came before this one, leave
// no place for it.
func (l *loader[V]) overQuota(partial string) bool {
	c := l.cache
	most := c.cfg.MaxPerPartial
	if most == 0 {
		return false
	}
	if l.run == 0 || partial != aliasOf(l.partial) {
		l.partial = append(l.partial[:0], partial...)
		l.run = 0
		if h, ok := c.index.HoldExisting(c.partialDigest(partial), partial); ok {
			l.run = h.Len()
			h.Release()
		}
	}
	l.run++
	return l.run > most
}

// isPresent reports whether the cache has a session of a key.
func (l *loader[V]) isPresent(key Key) bool {
	c := l.cache
	if c.Size() == 0 {
		return false
	}
	n := c.find(c.digest(key), key)
	return n != nil && aliveAt(n, c.now())
}

// share decides which sessions the room that is left is for.
func (l *loader[V]) share() {
	if l.found == nil {
		return
	}
	c := l.cache
	l.room = amount{int(min(c.maxSessions.Load()-c.sessions.Load(), math.MaxInt)), c.maxWeight.Load() - c.weight.Load()}
	for l.least = len(l.found) - 1; l.least >= 0 && l.room.take(l.found[l.least]); l.least-- {
	}
}

// store stores a session, if it is worth the room.
func (l *loader[V]) store(s *record) error {
	c := l.cache
	if l.over(s, l.gone) {
		l.counts.Expired++
		return nil
	}
	worth := 0
	if l.found != nil {
		if worth = worthOf(s.flags, max(s.life-l.blocks.since(l.began), 1)); worth < l.least {
			l.counts.NoRoom++
			return nil
		}
	}
	value, err := l.decode(s.key, s.value)
	if errors.Is(err, ErrSkipSession) {
		l.counts.Skipped++
		return nil
	}
	if err != nil {
		return fmt.Errorf("fastcache: decoding a session that could be decoded before: %w", err)
	}
	weight, err := l.weigh(s, value)
	switch {
	case err != nil:
		return err
	case weight > c.maxWeight.Load(), worth == l.least && !l.room.has(amount{1, weight}):
		l.counts.NoRoom++
		return nil
	}
	u := update[V]{key: s.key, weight: weight, digest: c.digest(s.key), onProbation: s.flags&flagProbation != 0, restored: &l.restored}
	u.fresh = c.newNode(s.key, value)
	l.set(s)
	is := c.restore(&u)
	if is == isStored && worth == l.least {
		l.room.take(amount{1, weight})
	}
	return l.noteFate(is)
}

// set takes over what is to be restored from the record of a session that is not over.
func (l *loader[V]) set(s *record) {
	r := &l.restored
	r.deadline = after(l.now, time.Duration(s.life-l.gone))
	r.until = r.deadline
	if idle := int64(l.cache.cfg.IdleTTL); idle > 0 {
		if s.flags&flagIdle != 0 {
			idle = min(idle, s.idle-l.gone)
		}
		r.until = min(r.until, after(l.now, time.Duration(idle)))
	}
	r.uses = uint32(s.flags & flagUses)
	r.standing = eviction.Newcomer
	switch {
	case s.flags&flagReturning != 0:
		r.standing = eviction.Returning
	case s.flags&flagDemoted != 0:
		r.standing = eviction.Demoted
	}
}

// noteFate counts what has become of a session.
func (l *loader[V]) noteFate(is fate) error {
	switch is {
	case isStored:
		l.counts.Stored++
	case isPresent:
		l.counts.Present++
	case isRemoved:
		l.counts.Removed++
	case isExpired:
		l.counts.Expired++
	case hasNoRoom:
		l.counts.NoRoom++
	case isClosed:
		return ErrClosed
	}
	return nil
}

// add adds a session.
func (a *amount) add(weight int64) {
	a.sessions++
	a.weight += min(weight, math.MaxInt64-a.weight)
}

func (a *amount) has(other amount) bool {
	return other.sessions <= a.sessions && other.weight <= a.weight
}

// take takes as much off as another amount, if there is so much.
func (a *amount) take(other amount) bool {
	if !a.has(other) {
		return false
	}
	a.sessions -= other.sessions
	a.weight -= other.weight
	return true
}

// The worth of a session is its rank with the eviction policy, and within that its life: of sessions that live equally
// long, the newest have most of it left. Lives differ in worth if they differ by more than a 64th.
const (
	lifeBits  = 6
	lifeSteps = 1 << lifeBits
	ranks     = 3
	worths    = ranks * 64 * lifeSteps
)

// worthOf returns the worth of a session with so much life left, from 0 to worths-1.
func worthOf(flags uint8, life int64) int {
	rank := 1
	switch {
	case flags&(flagDemoted|flagProbation) != 0:
		rank = 0
	case flags&flagReturning != 0:
		rank = 2
	}
	octave := bits.Len64(uint64(life)) - 1
	step := uint64(life) << (63 - octave) << 1 >> (64 - lifeBits)
	return (rank*64+octave)*lifeSteps + int(step)
}
