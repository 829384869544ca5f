package loading

import (
	"context"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// An attempt is what is remembered of a load of a key that has not stored, while its lease is held: an error that
// Get returns, or that a refresh is under way or has failed, so that no other is begun.
type attempt[V any] struct {
	lease *fastcache.Lease[V]
	err   error // for Get to return; nil if there is none
	over  bool  // its flight has landed, and left the lease to us
}

// attemptOf returns what is remembered of a key, nil for nothing. It takes no lock.
func (c *Cache[V]) attemptOf(key fastcache.Key) *attempt[V] {
	if a, ok := c.attempts.Lookup(key); ok && a.lease.Held() {
		return a
	}
	return nil
}

// keptError returns the error that is kept for a key, or nil.
func (c *Cache[V]) keptError(key fastcache.Key) error {
	if a := c.attemptOf(key); a != nil {
		return a.err
	}
	return nil
}

// remember notes an attempt. False says that it could not.
func (c *Cache[V]) remember(a attempt[V], ttl time.Duration) bool {
	return c.attempts.UpdateTTL(a.lease.Key(), &a, ttl) == nil
}

// forgotten is the OnRemove of the attempts.
func forgotten[V any](r fastcache.Removal[*attempt[V]]) {
	if r.Value.over {
		r.Value.lease.Release()
	}
}

// keepError remembers that a flight has failed, if that is wanted, and reports whether it does.
func (c *Cache[V]) keepError(f *flight[V]) bool {
	if f.err == nil && f.panicked == nil || f.ctx.Err() != nil || !f.lease.Held() {
		return false // it did not fail, or was given up, or may have asked before what changed
	}
	ttl := f.ttl
	if ttl == 0 {
		ttl = c.cfg.NegativeTTL
	}
	switch {
	case f.panicked == nil && f.err != ErrExited && ttl > 0:
		return c.remember(attempt[V]{f.lease, f.err, true}, ttl)
	case f.refresh:
		return c.remember(attempt[V]{f.lease, nil, true}, max(c.cfg.RefreshAhead/retriesPerRefresh, 1))
	}
	return false
}

// forget forgets what refresh has remembered of a flight.
func (c *Cache[V]) forget(f *flight[V]) {
	if a, ok := c.attempts.Lookup(f.lease.Key()); ok && a.lease == f.lease {
		c.attempts.Delete(f.lease.Key())
	}
}

// getAhead is Get with RefreshAhead.
func (c *Cache[V]) getAhead(ctx context.Context, key fastcache.Key) (V, error) {
	value, due, ok := c.cache.LookupAhead(key, c.cfg.RefreshAhead)
	switch {
	case !ok:
		return c.wait(ctx, key)
	case due && c.attemptOf(key) == nil:
		c.refresh(ctx, key)
	}
	return value, nil
}

// refresh loads a key in the background, unless it is being loaded, or all slots are taken.
func (c *Cache[V]) refresh(ctx context.Context, key fastcache.Key) {
	f := c.beginRefresh(ctx, key)
	if f == nil {
		return
	}
	c.remember(attempt[V]{lease: f.lease}, c.cfg.RefreshAhead) // so that who finds the session due meanwhile takes no lock
	go c.fly(f)
}

// tryForSlot takes a slot if one is free.
func (c *Cache[V]) tryForSlot() bool {
	if c.slots == nil {
		return true
	}
	select {
	case c.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

// beginRefresh returns a flight that is to be flown, or nil.
func (c *Cache[V]) beginRefresh(ctx context.Context, key fastcache.Key) *flight[V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.mu.flights[key]; f != nil && f.lease.Held() || c.mu.closed {
		return nil
	}
	lease, err := c.cache.Lease(key)
	if err != nil {
		return nil
	}
	// A refresh may have ended since the caller looked. What is stored from now on ends the lease.
	if _, due, _ := c.cache.LookupAhead(key, c.cfg.RefreshAhead); !due || c.attemptOf(key) != nil || !c.tryForSlot() {
		lease.Release()
		return nil
	}
	f := c.beginLocked(ctx, lease)
	f.refresh = true
	f.giveUp = time.AfterFunc(c.cfg.RefreshAhead, func() { c.leave(f) })
	return f
}
