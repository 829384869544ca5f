package fastcache

// reportLocked counts a removal and queues it for OnRemove. It is called by whoever takes
// the node out of its slot, so exactly once.
func (s *shard[V]) reportLocked(c *Cache[V], n *node[V], reason Reason) {
	s.mu.removed[reason]++
	if c.cfg.OnRemove == nil {
		return
	}
	s.undelivered.Add(1)
	s.mu.reports = append(s.mu.reports, Removal[V]{keyOf(n), n.Item.value, reason})
}

// unlock releases a shard and sees to it that what was reported under the lock is
// delivered.
func (c *Cache[V]) unlock(s *shard[V]) {
	s.cancelLocked()
	s.walkLocked(c)
	s.mu.maxWork = max(s.mu.maxWork, s.mu.work)
	s.mu.work = 0
	deliver := len(s.mu.reports) > 0 && !s.mu.delivering
	if deliver {
		s.mu.delivering = true
	}
	s.mu.Unlock()
	if deliver {
		// A goroutine of its own, so that a slow OnRemove never delays our caller.
		go c.deliver(s, nil)
	}
}

// deliver calls OnRemove for the given reports and then for those that are queued, until
// none is left. There is one deliverer per shard at a time.
func (c *Cache[V]) deliver(s *shard[V], batch []Removal[V]) {
	for {
		for len(batch) > 0 {
			r := batch[0]
			batch[0] = Removal[V]{} // OnRemove may run long; do not hold on to the session
			batch = batch[1:]
			c.deliverOne(s, r, batch)
		}
		s.mu.Lock()
		batch, s.mu.reports = s.mu.reports, nil
		if len(batch) == 0 {
			s.mu.delivering = false
			s.idle.Broadcast()
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

// deliverOne calls OnRemove. A panic is counted and goes no further; where the callback
// ends its goroutine, another one delivers the rest.
func (c *Cache[V]) deliverOne(s *shard[V], r Removal[V], rest []Removal[V]) {
	returned := false
	defer func() {
		s.undelivered.Add(-1)
		if returned {
			return
		}
		c.panics.Add(1)
		if recover() == nil { // runtime.Goexit
			go c.deliver(s, rest)
		}
	}()
	c.cfg.OnRemove(r)
	returned = true
}
