package fastcache

import (
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// storeIn stores so many sessions of one partial key for a while.
func storeIn(t *testing.T, c *Cache[int], partial string, n int, ttl time.Duration) {
	t.Helper()
	for i := range n {
		if err := c.UpdateTTL(Key{partial, strconv.Itoa(i)}, i, ttl); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever looks for the newest session alive unlinks as many that are over as its budget says, and
// no more: the rest waits until others had the group.
func TestPromise9FindingTheNewestKeepsToItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const over, budget = 100, 30
		c := NewForTest(Config[int]{}, 1, HashGood)
		defer c.Close()
		storeIn(t, c, "p", over, time.Second)
		holdTimer(c)
		time.Sleep(time.Second)
		g := c.index.LockExisting(c.partialDigest("p"), "p")
		for left := over; left > 0; {
			work := budget
			n, done := unlinkOverLocked(g, nil, c.now(), &work)
			did := min(budget, left)
			left -= did
			if n != nil || done != (did < budget) || g.Len() != left || work != budget-did {
				t.Errorf("unlinkOverLocked = %v, %v; it leaves %d sessions and %d of the budget; want nil, %v, %d, %d",
					n, done, g.Len(), work, did < budget, left, budget-did)
				break
			}
		}
		c.index.Unlock(g)
		c.wake() // which the held timer owes
	})
}

// However many sessions are over, TakeNewest lets others have the group in between.
func TestPromise9TakeNewestLetsOthersHaveTheGroup(t *testing.T) {
	const over, rounds = 1_000_000, 20
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0))))
	c := NewForTest(Config[int]{}, 1, HashGood)
	defer c.Close()
	for range rounds {
		if tookTurns(t, c, over) {
			return
		}
	}
	t.Errorf("in %d rounds nobody had the group while TakeNewest passed over %d sessions", rounds, over)
}

// tookTurns reports whether somebody had the group's lock while a TakeNewest passed over sessions that are
// over. Nobody may have come by in those milliseconds; then it says nothing.
func tookTurns(t *testing.T, c *Cache[int], over int) bool {
	storeIn(t, c, "p", 1, time.Hour) // what TakeNewest finds in the end
	digest := c.partialDigest("p")
	g := c.index.LockExisting(digest, "p")
	for range over { // linked without a slot, which makes them many in short time
		n := newNode(Key{"p", ""}, 0, true, false)
		n.Item.setUntil(-int64(Expired))
		g.PushNewest(n)
	}
	c.index.Unlock(g)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if k, _, ok := c.TakeNewest("p"); !ok {
			t.Errorf("TakeNewest = %v, %v; want the only one that is not over", k, ok)
		}
	}()
	left := over + 1
	for left == over+1 {
		left = 0
		if g := c.index.LockExisting(digest, "p"); g != nil {
			left = g.Len()
			c.index.Unlock(g)
		}
	}
	<-done
	return left > 0
}
