package fastcache

import "runtime"

// A Removal is what OnRemove is told of one session that left the cache.
type Removal[V any] struct {
	Key    Key    // aliases the removed entry's memory
	Value  V      // the value of the Update
	Reason Reason // why it left
}

// reportLocked counts a removal and queues it for OnRemove. It is called by the caller that takes
// the node out of its slot, so exactly once.
func (s *shard[V]) reportLocked(n *node[V], reason Reason) {
	s.mu.removed[reason]++
	if s.cache.cfg.OnRemove == nil {
		return
	}
	s.undelivered.Add(1)
	s.mu.reports = append(s.mu.reports, Removal[V]{keyOf(n), n.Item.value, reason})
}

// deliver calls OnRemove for the given reports and then for those that are queued, until
// none is left. There is one deliverer per shard at a time; where OnRemove ends its goroutine,
// another one takes over.
func (s *shard[V]) deliver(batch []Removal[V]) {
	s.deliverer.Store(goroutineID())
	through := false
	defer func() {
		if !through { // runtime.Goexit: a panic would have come back to the loop
			go s.deliver(batch)
		}
	}()
	for {
		for len(batch) > 0 {
			r := batch[0]
			batch[0] = Removal[V]{} // OnRemove may run long; do not hold on to the session
			batch = batch[1:]
			s.cache.deliverOne(s, r)
		}
		s.mu.Lock()
		batch, s.mu.reports = s.mu.reports, nil
		if len(batch) == 0 {
			through = true
			s.deliverer.Store(0)
			s.mu.delivering = false
			s.idle.Broadcast()
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

// deliverOne calls OnRemove. A panic is counted and goes no further, and so is the end of the
// goroutine, which goes on. What recover returns tells nothing: it is nil for both
// runtime.Goexit and, where GODEBUG allows it, panic(nil).
func (c *Cache[V]) deliverOne(s *shard[V], r Removal[V]) {
	returned := false
	defer func() {
		if !returned {
			c.panics.Add(1)
			recover()
		}
		s.undelivered.Add(-1)
	}()
	c.cfg.OnRemove(r)
	returned = true
}

// calledByOnRemove reports whether the caller runs in a goroutine that is delivering a report
// of this cache.
func (c *Cache[V]) calledByOnRemove() bool {
	if c.cfg.OnRemove == nil {
		return false
	}
	id := goroutineID()
	for i := range c.shards {
		if c.shards[i].deliverer.Load() == id {
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
