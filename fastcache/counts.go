package fastcache

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

// A hitCounts is what RecordStats counts of Lookups, but for the number of misses. A hit adds to one of several stripes, so that
// processors seldom wait for each other's cache lines. One hit in sampleEvery of each stripe is looked at more closely. An
// xsync.Counter, as for the misses, finds its stripe by a sync.Pool, which takes a third of the time that a hit does.
type hitCounts struct {
	stripes []hitStripe
	shift   uint // 64 - log2(len(stripes))

	expired, removed atomic.Uint64 // misses that found a session that was over
	age, left        [len(spreadLimits) + 1]atomic.Uint64
}

type hitStripe struct {
	hits atomic.Uint64
	_    [56]byte // a cache line each
}

const (
	sampleEvery = 64

	// stripesPerProcessor is so large that two of the goroutines that run at an instant seldom share a stripe.
	stripesPerProcessor = 8

	// smallestStack is the least distance, as a power of two, between the stacks of two goroutines.
	smallestStack = 11
)

func newHitCounts() *hitCounts {
	stripes := 1 << bits.Len(uint(stripesPerProcessor*runtime.GOMAXPROCS(0)-1))
	return &hitCounts{stripes: make([]hitStripe, stripes), shift: uint(64 - bits.TrailingZeros(uint(stripes)))}
}

// stripe returns the stripe of this goroutine, by where its stack lies. When the stack moves it gets another.
func (h *hitCounts) stripe() *hitStripe {
	var onStack byte
	const spread = 0x9e3779b97f4a7c15 // the high bits of the product depend on all of the address
	return &h.stripes[uint64(uintptr(unsafe.Pointer(&onStack)))>>smallestStack*spread>>h.shift]
}

// countHit counts a hit on a node.
func (c *Cache[V]) countHit(n *node[V]) {
	if c.hits.stripe().hits.Add(1)%sampleEvery == 0 {
		c.sampleHit(n)
	}
}

// sampleHit notes the age of a session, and the life that it has left.
func (c *Cache[V]) sampleHit(n *node[V]) {
	now, until := c.now(), n.Item.until.Load()
	if until <= 0 {
		return // it has just ended
	}
	c.hits.age[spreadOf(now-bornAt(n))].Add(1)
	c.hits.left[spreadOf(until-now)].Add(1)
}

// spreadOf returns the number of the field of a Spread that counts a duration.
func spreadOf(d int64) int {
	for i, limit := range spreadLimits {
		if d <= int64(limit) {
			return i
		}
	}
	return len(spreadLimits)
}

// countMiss notes why a Lookup missed that has found a node and found it over; nil for one that has found nothing.
func (c *Cache[V]) countMiss(n *node[V]) {
	switch {
	case n == nil || c.hits == nil:
	case removalReason(n) == Expired:
		c.hits.expired.Add(1)
	default: // killed for another reason, or alive by its until and of a group that is revoked
		c.hits.removed.Add(1)
	}
}

// addTo adds what was counted to st.
func (h *hitCounts) addTo(st *Stats) {
	st.Hits = h.total()
	st.MissesExpired, st.MissesRemoved = h.expired.Load(), h.removed.Load()
	st.HitAge, st.HitLeft = spreadFrom(&h.age), spreadFrom(&h.left)
}

// total returns the number of hits.
func (h *hitCounts) total() (hits uint64) {
	for i := range h.stripes {
		hits += h.stripes[i].hits.Load()
	}
	return hits
}

// spreadFrom returns a Spread of what has been counted.
func spreadFrom(n *[len(spreadLimits) + 1]atomic.Uint64) Spread {
	return Spread{n[0].Load(), n[1].Load(), n[2].Load(), n[3].Load(), n[4].Load(), n[5].Load(), n[6].Load()}
}

// bornSize is what a node of a cache with RecordStats has behind its key: when it was stored, for HitAge.
const bornSize = 8

// bornPlace returns where a node has that. A node of a cache without RecordStats has no such place.
func bornPlace[V any](n *node[V]) *[bornSize]byte {
	meta := n.Item.meta.Load()
	if meta&longBit != 0 {
		return &extraOf(n).born
	}
	size := meta>>partialShift + meta>>idShift&partMask
	return (*[bornSize]byte)(unsafe.Add(unsafe.Pointer(&n.Item.buf), size))
}

// setBorn says when an unpublished node is stored.
func setBorn[V any](n *node[V], now int64) {
	binary.LittleEndian.PutUint64(bornPlace(n)[:], uint64(now))
}

// bornAt returns when a node was stored. It never changes once the node is published.
func bornAt[V any](n *node[V]) int64 { return int64(binary.LittleEndian.Uint64(bornPlace(n)[:])) }

// refuse counts an Update that has stored nothing, by its error, and returns that.
func (c *Cache[V]) refuse(err error) error {
	for i, refusal := range refusals {
		if errors.Is(err, refusal) {
			c.refused[i].Add(1)
		}
	}
	return err
}

// noteLagLocked notes when a run of the timer that was due has begun. A run that came early, because the timer was set anew
// meanwhile, was not late.
func (a *alarm) noteLagLocked(due, began int64) {
	a.mu.lag = time.Duration(max(began-due, 0))
	a.mu.worstLag = max(a.mu.worstLag, a.mu.lag)
}
