package fastcache

import "time"

// LookupOrUpdate returns the session of a key, as Lookup does, or stores value for it, as UpdateTTL does, if there is
// none. Of concurrent callers for a key that has no session one stores its value, and found is false for that one alone; the
// others get its value. So a nonce, an idempotency key or a ticket that may be used once is accepted once.
//
// It is linearizable. A session that is there costs what a Lookup costs, and is used by it; else it takes the lock of one
// shard, and costs what an Update does. Errors are those of UpdateTTL; then value is not stored, and actual is the zero value.
func (c *Cache[V]) LookupOrUpdate(key Key, value V, ttl time.Duration) (actual V, found bool, err error) {
	if len(c.shards) == 0 {
		return actual, false, ErrNotMade
	}
	if err := checkTTL(ttl); err != nil {
		return actual, false, c.refuse(err)
	}
	if actual, found = c.Lookup(key); found {
		return actual, true, nil
	}
	u := update[V]{key: key, ttl: ttl, ifAbsent: true}
	if err := c.update(&u, value); err != nil {
		return actual, false, err
	}
	if u.found == nil {
		return value, false, nil
	}
	if c.hits != nil { // another caller came between
		c.misses.Dec()
		c.countHit(u.found)
	}
	return u.found.Item.value, true, nil
}
