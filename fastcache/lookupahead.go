package fastcache

import "time"

// LookupAhead is Lookup that also says whether the session is due for renewal: its deadline is at most ahead away. The
// deadline is that of its TTL, however soon it would idle out. It reads the clock.
func (c *Cache[V]) LookupAhead(key Key, ahead time.Duration) (value V, due, ok bool) {
	if len(c.shards) == 0 {
		return value, false, false
	}
	digest := c.digest(key)
	for n := c.find(digest, key); n != nil; n = c.findNewer(digest, key, n) {
		if !c.use(n) {
			continue
		}
		if c.hits != nil {
			c.countHit(n)
		}
		until := n.Item.until.Load()
		if c.cfg.IdleTTL > 0 {
			until = extraOf(n).deadline.Load()
		}
		return n.Item.value, until-c.now() <= int64(ahead), true
	}
	value, ok = c.missed()
	return value, false, ok
}
