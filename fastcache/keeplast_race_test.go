package fastcache

import (
	"runtime"
	"testing"
	"time"
)

// TakeNewestKeepLast takes the newest because it has seen an elder; nobody may end that one
// between its look and its kill, or it takes the last. Both happen under the group's lock,
// which stands here for the instant between them.
func TestPromise4KeepLastKnowsWhichIsTheLast(t *testing.T) {
	elder, newest := Key{"p", "elder"}, Key{"p", "newest"}
	for name, end := range map[string]func(c *Cache[int]){
		"Delete": func(c *Cache[int]) { c.Delete(elder) },
		"Take":   func(c *Cache[int]) { c.Take(elder) },
		"Clear":  func(c *Cache[int]) { c.Clear() },
		"evict":  func(c *Cache[int]) { _ = c.Update(Key{"q", "newcomer"}, 3) },
		"replace": func(c *Cache[int]) {
			_ = c.Update(elder, 4)
			c.Delete(elder)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewForTest(Config[int]{MaxSessions: 2}, 1, HashGood)
			defer c.Close()
			for i, key := range []Key{elder, newest} {
				if err := c.Update(key, i); err != nil {
					t.Fatal(err)
				}
			}
			digest, partial := c.digest(elder), c.partialDigest(elder.Partial)
			s, n := &c.shards[0], c.find(digest, elder)
			g := c.index.LockExisting(partial, "p")
			done := make(chan struct{})
			go func() {
				defer close(done)
				end(c)
			}()
			for s.mu.TryLock() { // until the other has begun
				s.mu.Unlock()
				runtime.Gosched()
			}
			for begin := time.Now(); time.Since(begin) < time.Millisecond; runtime.Gosched() {
				if !aliveAt(n, c.now()) || g.Newest().Next() != n {
					t.Error("the elder session has ended while the group was locked")
					break
				}
			}
			c.index.Unlock(g)
			<-done
		})
	}
}
