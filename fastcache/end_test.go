package fastcache

import (
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Of all who kill a session at once one wins. Two goroutines that kill a long row of
// sessions in the same order meet often: the one behind finds them dead and catches up.
func TestPromise4OneKillWins(t *testing.T) {
	const killers, meetings, row = 2, 40, 1 << 13
	// A busy machine runs one after the other; then they must be sent off again.
	for met, begin := 0, time.Now(); met < meetings && time.Since(begin) < 3*time.Second; {
		nodes := make([]*node[int], row)
		for i := range nodes {
			nodes[i] = newNode(Key{ID: "id"}, i, false)
			nodes[i].Item.until.Store(never)
		}
		var wins [killers]int
		var wg sync.WaitGroup
		start := make(chan struct{})
		for k := range killers {
			wg.Go(func() {
				<-start
				for _, n := range nodes {
					if kill(n, Taken, 0) {
						wins[k]++
					}
				}
			})
		}
		close(start)
		wg.Wait()
		if wins[0] > row/100 && wins[1] > row/100 {
			met++
		}
		if wins[0]+wins[1] != row {
			t.Fatalf("%d sessions were killed %v times; want each once", row, wins)
		}
	}
}

// TakeNewestKeepLast takes the newest because it has seen an elder; no other may end that one
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
			s, n := c.shards[0].Load(), c.find(digest, elder)
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

// storeIn stores so many sessions of one partial key for a while.
func storeIn(t *testing.T, c *Cache[int], partial string, n int, ttl time.Duration) {
	t.Helper()
	for i := range n {
		if err := c.UpdateTTL(Key{partial, strconv.Itoa(i)}, i, ttl); err != nil {
			t.Fatal(err)
		}
	}
}

// A caller that looks for the newest session alive unlinks as many that are over as its budget says, and
// no more: the rest waits until others had the group.
func TestPromise9FindingTheNewestKeepsToItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const over, budget = 100, 30
		c := NewForTest(Config[int]{}, 1, HashGood)
		defer c.Close()
		storeIn(t, c, "p", over, time.Second)
		holdTimer(c)
		time.Sleep(time.Second)
		h, _ := c.index.HoldExisting(c.partialDigest("p"), "p")
		for left := over; left > 0; {
			work := budget
			n, done := unlinkOverLocked(&h, nil, c.now(), &work)
			did := min(budget, left)
			left -= did
			if n != nil || done != (did < budget) || h.Len() != left || work != budget-did {
				t.Errorf("unlinkOverLocked = %v, %v; it leaves %d sessions and %d of the budget; want nil, %v, %d, %d",
					n, done, h.Len(), work, did < budget, left, budget-did)
				break
			}
		}
		h.Release()
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

// tookTurns reports whether another caller had the group's lock while a TakeNewest passed over sessions that are
// over. None may have come by in those milliseconds; then it says nothing.
func tookTurns(t *testing.T, c *Cache[int], over int) bool {
	storeIn(t, c, "p", 1, time.Hour) // what TakeNewest finds in the end
	digest := c.partialDigest("p")
	g := c.index.LockExisting(digest, "p")
	for range over { // linked without a slot, which makes them many in short time
		n := newNode(Key{"p", ""}, 0, false)
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

// settle says that a session is over only once that is final: where a Lookup has moved the idle
// deadline in between, it looks again.
func TestSettleLooksAgainWhereItsSwapIsLost(t *testing.T) {
	const early, now, late = 10, 20, 30
	meet(t, func(start func()) bool {
		n := newNode(Key{"p", "a"}, 1, false)
		var wg sync.WaitGroup
		var stop atomic.Bool
		wg.Go(func() { // Lookups that move the deadline; and back, for the next round
			start()
			for !stop.Load() {
				n.Item.until.CompareAndSwap(early, late)
				n.Item.until.CompareAndSwap(late, early)
			}
		})
		wg.Go(func() {
			defer stop.Store(true)
			start()
			for range 20_000 {
				n.Item.until.Store(early)
				if !settle(n, now) {
					continue
				}
				if until := n.Item.until.Load(); until > 0 {
					t.Errorf("settle says that the session is over, and it lives until %d", until)
					return
				}
			}
		})
		wg.Wait()
		return true
	})
}

// Who carries a killed session to its shard looks whether it still resides: another may have freed
// it, and another session may have its slot.
func TestWhoRemovesASessionLooksWhetherItStillResides(t *testing.T) {
	c := NewForTest(Config[int]{}, 1, HashGood)
	defer c.Close()
	k := Key{"p", "a"}
	if err := c.Update(k, 1); err != nil {
		t.Fatal(err)
	}
	n := c.find(c.digest(k), k)
	c.Delete(k)
	for i, reuse := range []func(){func() {}, func() { fill(t, c, "q", 3) }} {
		reuse()
		before := c.Size()
		if room := c.removeNode(n, Taken); room.sessions != 0 || c.Size() != before {
			t.Errorf("case %d: removing a session that has gone gives room for %d", i, room.sessions)
		}
		c.giveBack(c.removeNode(n, Quota))
		if err := c.CheckInvariantsForTest(); err != nil {
			t.Errorf("case %d: %v", i, err)
		}
	}
	if st := c.Stats(); st.Deleted != 1 || st.Taken != 0 || st.Quota != 0 || st.Sessions != 3 {
		t.Errorf("%+v; want one session deleted and three there", st)
	}
}
