package fastcache

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A Removal is what OnRemove is told of one session that left the cache.
type Removal[V any] struct {
	Key    Key    // aliases the removed entry's memory
	Value  V      // the value of the Update
	Reason Reason // why it left
}

// A reporter queues the reports of a shard, and of those that it splits into: so the reports of a key come in the
// order of its removals.
type reporter[V any] struct {
	// undelivered counts the reports that were queued and whose OnRemove has not returned.
	undelivered atomic.Int64

	// deliverer is the goroutine that calls OnRemove for this reporter, 0 if there is none: a Close
	// that it calls would wait for itself.
	deliverer atomic.Uint64

	mu struct {
		sync.Mutex              // taken last
		reports    []Removal[V] // oldest first
		delivering bool         // a goroutine delivers, or is about to; always while there are reports
	}
	idle sync.Cond // on mu: signalled when delivering falls
}

// reportLocked counts a removal and queues it for OnRemove. It is called by the caller that takes
// the node out of its slot, so exactly once.
func (s *shard[V]) reportLocked(n *node[V], reason Reason) {
	s.mu.removed[reason]++
	if s.cache.cfg.OnRemove == nil {
		return
	}
	r := s.reporter
	r.undelivered.Add(1)
	r.mu.Lock()
	r.mu.reports = append(r.mu.reports, Removal[V]{keyOf(n), n.Item.value, reason})
	if !r.mu.delivering {
		r.mu.delivering = true
		s.mu.delivers = true
	}
	r.mu.Unlock()
}

// deliver calls OnRemove for the given reports and then for those that are queued, until
// none is left. A reporter has one deliverer at a time; where OnRemove ends its goroutine,
// another one takes over.
func (r *reporter[V]) deliver(c *Cache[V], batch []Removal[V]) {
	r.deliverer.Store(goroutineID())
	through := false
	defer func() {
		if !through { // runtime.Goexit: a panic would have come back to the loop
			go r.deliver(c, batch)
		}
	}()
	for {
		for len(batch) > 0 {
			next := batch[0]
			batch[0] = Removal[V]{} // OnRemove may run long; do not hold on to the session
			batch = batch[1:]
			c.deliverOne(r, next)
		}
		r.mu.Lock()
		batch, r.mu.reports = r.mu.reports, nil
		if len(batch) == 0 {
			through = true
			r.deliverer.Store(0)
			r.mu.delivering = false
			r.idle.Broadcast()
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
	}
}

// wait waits until there is nothing to deliver.
func (r *reporter[V]) wait() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.mu.delivering {
		r.idle.Wait()
	}
}

// deliverOne calls OnRemove. A panic is counted and goes no further, and so is the end of the
// goroutine, which goes on. What recover returns tells nothing: it is nil for both
// runtime.Goexit and, where GODEBUG allows it, panic(nil).
func (c *Cache[V]) deliverOne(r *reporter[V], removal Removal[V]) {
	returned := false
	defer func() {
		if !returned {
			c.panics.Add(1)
			recover()
		}
		r.undelivered.Add(-1)
	}()
	c.cfg.OnRemove(removal)
	returned = true
}

// calledByOnRemove reports whether the caller runs in a goroutine that is delivering a report
// of this cache.
func (c *Cache[V]) calledByOnRemove() bool {
	if c.cfg.OnRemove == nil {
		return false
	}
	id := goroutineID()
	for i := range c.reporters {
		if c.reporters[i].deliverer.Load() == id {
			return true
		}
	}
	return false
}

// goroutineID returns the number that stack traces show for this goroutine. It is never 0, and
// no other goroutine of the process ever has the same.
func goroutineID() (id uint64) {
	const prefix = "goroutine "
	var buf [len(prefix) + 20]byte // the largest number has 20 digits
	runtime.Stack(buf[:], false)
	for _, digit := range buf[len(prefix):] {
		if digit < '0' || digit > '9' {
			break
		}
		id = 10*id + uint64(digit-'0')
	}
	return id
}
