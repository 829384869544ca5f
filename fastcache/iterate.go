package fastcache

import (
	"iter"

	"github.com/sessioncache/sessioncache/index"
)

// SelectSession yields the sessions of a partial key, newest first: OTP's select_session/2,
// which returns them in the order of their ids. It is weakly consistent: a session that
// lives throughout is yielded once, one that is replaced meanwhile may be missed or shown
// twice, and one that expired or was removed before its turn is not shown. The loop's body
// may call every method. It takes no lock, does not allocate, and reads the clock for each
// session. Nothing counts as a use.
//
// With NoIndex it scans the whole cache, and the order is unspecified.
func (c *Cache[V]) SelectSession(partial string) iter.Seq2[Key, V] {
	return func(yield func(Key, V) bool) {
		c.selectNodes(partial, func(n *node[V]) bool {
			return !aliveAt(n, c.now()) || yield(keyOf(n), n.Item.value)
		})
	}
}

// SelectEntries is SelectSession with deadlines.
func (c *Cache[V]) SelectEntries(partial string) iter.Seq[Entry[V]] {
	return func(yield func(Entry[V]) bool) {
		c.selectNodes(partial, func(n *node[V]) bool {
			e, alive := c.entryOf(n)
			return !alive || yield(e)
		})
	}
}

// selectNodes visits the nodes of a partial key, newest first, until visit returns false.
func (c *Cache[V]) selectNodes(partial string, visit func(*node[V]) bool) {
	if c.index == nil {
		c.scan(func(n *node[V]) bool { return partialOf(n) != partial || visit(n) })
		return
	}
	digest := c.partialDigest(partial)
	walk := c.index.Walk(digest, partial)
	defer walk.End()
	for n := walk.Newest(); n != nil; n = walk.Next(n) {
		if !visit(n) {
			return
		}
	}
}

// Partials yields every partial key and how many sessions it has, in unspecified order. It is weakly consistent: a
// partial key that has sessions throughout is yielded once. It takes no lock, and costs a look at each session. A
// partial key aliases the cache's memory, as those of SelectSession do. Nothing counts as a use.
//
// With NoIndex it scans the whole cache and remembers every partial key until it is through.
func (c *Cache[V]) Partials() iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		switch {
		case len(c.shards) == 0:
		case c.index == nil:
			counts := map[string]int{}
			for key := range c.All() {
				counts[key.Partial]++
			}
			for partial, n := range counts {
				if !yield(partial, n) {
					return
				}
			}
		default:
			for walk := range c.index.Walks() {
				if partial, n := c.aliveIn(walk); n > 0 && !yield(partial, n) {
					return
				}
			}
		}
	}
}

// aliveIn returns the partial key of a walk, and how many of its sessions are alive.
func (c *Cache[V]) aliveIn(walk index.Walk[entry[V]]) (partial string, alive int) {
	now := c.now()
	for n := walk.Newest(); n != nil; n = walk.Next(n) {
		if aliveAt(n, now) {
			partial = partialOf(n)
			alive++
		}
	}
	return partial, alive
}

// All yields every session in unspecified order. It is weakly consistent: a session that
// lives throughout, replaced or not, is yielded once; others may be. It takes each shard's
// lock briefly, never while the loop's body runs, which may call every method but, as any
// code, should not hold up a Close. Nothing counts as a use.
func (c *Cache[V]) All() iter.Seq2[Key, V] {
	return func(yield func(Key, V) bool) {
		c.scan(func(n *node[V]) bool {
			return !aliveAt(n, c.now()) || yield(keyOf(n), n.Item.value)
		})
	}
}

// Entries is All with deadlines.
func (c *Cache[V]) Entries() iter.Seq[Entry[V]] {
	return func(yield func(Entry[V]) bool) {
		c.scan(func(n *node[V]) bool {
			e, alive := c.entryOf(n)
			return !alive || yield(e)
		})
	}
}

// Foldl calls f with every session and what the call before it returned, beginning with
// acc, and returns the last result: OTP's foldl/3. Its consistency is that of All.
func Foldl[V, A any](c *Cache[V], f func(key Key, value V, acc A) A, acc A) A {
	for key, value := range c.All() {
		acc = f(key, value, acc)
	}
	return acc
}

// scan visits every node until visit returns false. It copies a batch of slots under the
// shard's lock and visits outside it.
func (c *Cache[V]) scan(visit func(*node[V]) bool) {
	t := newTour(c)
	for s := t.lockNext(); s != nil; s = t.lockNext() {
		s.mu.Unlock()
		for _, n := range t.nodes() {
			if n != nil && !visit(n) {
				return
			}
		}
	}
}

// A tour comes by every slot of every shard once, a batch under each hold of a lock. Slots do not move, a replacing
// session inherits its predecessor's, and in a split every session keeps its own. So a session that lives throughout is
// met exactly once.
type tour[V any] struct {
	cache *Cache[V]
	ahead [maxStretches]stretch // where it has not been, the next last; an array, so that a tour allocates nothing
	depth int
	batch batch[V]
	slots int // in the batch
}

// A stretch is a run of entries whose shards have the slots from one on ahead of them.
type stretch struct{ first, end, from int }

// maxStretches is one more than how often the 2^14 entries at most of a cache can be halved, and the first.
const maxStretches = 16

func newTour[V any](c *Cache[V]) (t tour[V]) {
	t.cache = c
	t.push(stretch{0, len(c.shards), 0})
	return t
}

func (t *tour[V]) push(s stretch) {
	if s.first < s.end {
		t.ahead[t.depth] = s
		t.depth++
	}
}

// lockNext fills the next batch and returns its shard, locked; nil at the end.
func (t *tour[V]) lockNext() *shard[V] {
	if t.depth == 0 {
		return nil
	}
	t.depth--
	at := t.ahead[t.depth]
	s := t.cache.shards[at.first].Load() // of which it is the first entry
	s.mu.Lock()
	// The shards behind it, of which some may have been a part of it when it was begun, have the same slots ahead.
	behind := at.first + int(s.span.Load())
	t.push(stretch{behind, at.end, at.from})
	slots, more := t.batch.fillLocked(s, at.from)
	if t.slots = slots; more {
		t.push(stretch{at.first, behind, at.from + slots})
	}
	return s
}

// nodes returns the nodes of the batch, nil for free slots.
func (t *tour[V]) nodes() []*node[V] { return t.batch[:t.slots] }
