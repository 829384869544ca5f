package fastcache

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// meet lets two goroutines work at once, again and again, until they have met often: a busy machine
// runs one after the other. work says whether they met.
func meet(t *testing.T, work func(start func()) (met bool)) {
	t.Helper()
	for met, begin := 0, time.Now(); met < 40 && time.Since(begin) < 3*time.Second; {
		var ready atomic.Int32
		start := func() {
			for ready.Add(1); ready.Load() < 2; {
				runtime.Gosched()
			}
		}
		if work(start) {
			met++
		}
		if t.Failed() {
			return
		}
	}
}

// Places and weight are claimed by compare-and-swap: of two who claim at once both get theirs, or one.
func TestPromise5ClaimsNeverExceedTheBound(t *testing.T) {
	const bound = 1 << 15
	for name, claim := range map[string]func(c *Cache[int]) bool{
		"places": func(c *Cache[int]) bool { return c.claimSession() },
		"weight": func(c *Cache[int]) bool { return c.claimWeight(1) },
	} {
		meet(t, func(start func()) bool {
			c := NewForTest(Config[int]{MaxSessions: bound, MaxWeight: bound, Weigh: func(Key, int) int64 { return 1 }}, 1, HashGood)
			defer c.Close()
			var got [2]int
			var wg sync.WaitGroup
			for g := range got {
				wg.Go(func() {
					for start(); claim(c); {
						got[g]++
					}
				})
			}
			wg.Wait()
			if sum := got[0] + got[1]; sum != bound {
				t.Errorf("%d %s were claimed of %d", sum, name, bound)
			}
			c.giveBack(room{sessions: int(c.sessions.Load()), weight: c.weight.Load()})
			return got[0] > bound/100 && got[1] > bound/100
		})
	}
}

// Two Updates that meet at a partial key's quota: the one that came too late removes what it pushed
// out, whole, also from another shard.
func TestPromise5QuotaLeavesNobodyBehind(t *testing.T) {
	c := NewForTest(Config[int]{MaxPerPartial: 1}, 8, HashGood)
	defer c.Close()
	round := 0
	meet(t, func(start func()) bool {
		var wg sync.WaitGroup
		for g := range 2 {
			wg.Go(func() {
				start()
				for i := range 500 {
					_ = c.Update(Key{fmt.Sprint(round, i), fmt.Sprint(g)}, g)
				}
			})
		}
		wg.Wait()
		round++
		if err := c.CheckInvariantsForTest(); err != nil {
			t.Error(err)
		}
		if n, keys := c.Size(), c.index.Len(); n != keys {
			t.Errorf("%d sessions for %d partial keys with a quota of one", n, keys)
		}
		c.Clear()
		return true
	})
}

// Two Updates that meet at a partial key one below its quota both find it below; the one
// that links second must notice. Here the steps of one Update are taken by hand, with a
// whole Update, of a key in another shard, between its look and its link.
func TestPromise5QuotaHoldsForUpdatesThatMeet(t *testing.T) {
	c := NewForTest(Config[int]{MaxPerPartial: 1}, 8, HashGood)
	defer c.Close()
	key := Key{"p", "0"}
	u := update[int]{key: key, ttl: c.cfg.TTL, next: never}
	u.digest = c.digest(key)
	u.fresh = newNode(key, 1, false)
	s := c.shardOf(u.digest)

	s.mu.Lock()
	u.now = c.now()
	c.setDeadline(u.fresh, u.now, u.ttl)
	if out := s.enforceQuotaLocked(&u); out != goOn || u.victim != nil {
		t.Fatalf("enforceQuotaLocked = %v, victim %v; want goOn and none", out, u.victim)
	}
	if out := s.claimLocked(&u, nil); out != goOn {
		t.Fatalf("claimLocked = %v; want goOn", out)
	}
	other := key
	for i := 1; ; i++ { // one that needs another lock than ours
		other.ID = fmt.Sprint(i)
		if digest := c.digest(other); c.shardOf(digest) != s {
			break
		}
	}
	if err := c.Update(other, 2); err != nil {
		t.Fatal(err)
	}
	s.insertLocked(&u)
	s.unlock()
	c.giveBack(u.room)
	c.giveBack(c.removeNode(u.victim, Quota))
	c.wakeBy(u.next)

	for k, v := range c.SelectSession("p") {
		if k != key {
			t.Errorf("SelectSession shows %v = %d; want the newest alone, %v", k, v, key)
		}
	}
	if n := c.Size(); n != 1 {
		t.Errorf("Size() = %d; want the quota, 1", n)
	}
}
