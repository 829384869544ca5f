package fastcache

import (
	"fmt"
	"testing"
)

// Two Updates that meet at a partial key one below its quota both find it below; the one
// that links second must notice. Here the steps of one Update are taken by hand, with a
// whole Update, of a key in another shard, between its look and its link.
func TestPromise5QuotaHoldsForUpdatesThatMeet(t *testing.T) {
	c := NewForTest(Config[int]{MaxPerPartial: 1}, 8, HashGood)
	defer c.Close()
	key := Key{"p", "0"}
	u := update[int]{key: key, ttl: c.cfg.TTL, next: never}
	u.digest = c.digest(key)
	u.fresh = newNode(key, 1, true, false)
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
