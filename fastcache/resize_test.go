package fastcache_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
)

// At every return of SetMaxSessions its bound holds, and from then on, whatever others store meanwhile; what had to go is
// reported, and nothing else goes.
func TestPromise5ABoundThatChangesUnderTrafficHolds(t *testing.T) {
	const small, large, resizes = 1000, 100_000, 100
	var evicted atomic.Int64
	c, err := fastcache.New(fastcache.Config[int]{MaxSessions: small, OnRemove: func(r fastcache.Removal[int]) {
		if r.Reason != fastcache.Evicted && r.Reason != fastcache.Closed {
			t.Errorf("a session was removed: %v", r.Reason)
		}
		evicted.Add(1)
	}})
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var stored [2]int
	var others sync.WaitGroup
	for w := range stored {
		others.Go(func() {
			for ; !stop.Load(); stored[w]++ {
				put(t, c, key(fmt.Sprint("host", stored[w]%50), stored[w]<<1|w), stored[w])
			}
		})
	}
	for r := range uint64(8) {
		others.Go(func() {
			random := rand.New(rand.NewPCG(r, 0))
			for !stop.Load() {
				c.Lookup(key(fmt.Sprint("host", random.IntN(50)), random.IntN(1<<20)))
				if n := c.Size(); n > large {
					t.Errorf("Size() = %d; want %d at most", n, large)
				}
			}
		})
	}
	for i := range resizes {
		bound := []int{large, small}[i%2]
		if i%2 == 0 { // until it is of use
			for before := evicted.Load(); evicted.Load() == before; {
				c.Size()
			}
		}
		if err := c.SetMaxSessions(bound); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if n := c.Size(); n > bound {
				t.Fatalf("Size() = %d after SetMaxSessions(%d)", n, bound)
			}
		}
	}
	stop.Store(true)
	others.Wait()
	if err := c.CheckInvariantsForTest(); err != nil {
		t.Error(err)
	}
	size, st := c.Size(), c.Stats()
	if size > small || int(st.Inserted) != stored[0]+stored[1] || int(st.Inserted-st.Evicted) != size {
		t.Errorf("%d sessions of %d are left, %+v; want those that were not evicted, %d at most", size, stored[0]+stored[1], st, small)
	}
	c.Close()
}

// A higher bound evicts nothing before it is reached.
func TestPromise5AHigherBoundIsUsed(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{MaxSessions: 10})
		for _, bound := range []int{10, 300, 1000, 3} {
			if err := c.SetMaxSessions(bound); err != nil {
				t.Fatal(err)
			}
			if n := c.Size(); n > bound {
				t.Errorf("Size() = %d; want %d at most", n, bound)
			}
			for i := range 2 * bound {
				if before := c.Size(); before < bound {
					put(t, c, key("p", i), i)
					if n := c.Size(); n < before {
						t.Fatalf("Size() = %d after an Update, and was %d; the bound is %d", n, before, bound)
					}
				}
				put(t, c, key("q", i), i)
			}
			if n := c.Size(); n != bound {
				t.Errorf("Size() = %d with more sessions stored; want %d", n, bound)
			}
		}
	})
}

// The weights of what is left are within a lower bound, and a session that is heavier by itself goes or is refused.
func TestPromise5ALowerWeightHolds(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		weigh := func(_ fastcache.Key, v int) int64 { return int64(v) }
		c := open(t, l, fastcache.Config[int]{MaxWeight: 1000, Weigh: weigh})
		put(t, c, key("p", 0), 500)
		for i := range 50 {
			put(t, c, key("p", i+1), 10)
		}
		for _, bound := range []int64{990, 400, 55, 1} {
			if err := c.SetMaxWeight(bound); err != nil {
				t.Fatal(err)
			}
			if w := c.Stats().Weight; w > bound {
				t.Errorf("the weight is %d; want %d at most", w, bound)
			}
			if err := c.Update(key("p", 1000), int(bound)+1); !errors.Is(err, fastcache.ErrTooHeavy) {
				t.Errorf("Update of weight %d = %v; want ErrTooHeavy", bound+1, err)
			}
			if w := c.Stats().Weight; bound >= 20 && w < bound-20 && w < 500 {
				t.Errorf("the weight is %d; want about %d", w, bound)
			}
		}
	})
}

// Under InvalidateAll a bound that is exceeded clears the cache, and one that is not leaves it alone.
func TestPromise5ALowerBoundInvalidatesAll(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{MaxSessions: 10, Overflow: fastcache.InvalidateAll})
		for i := range 8 {
			put(t, c, key("p", i), i)
		}
		for _, tt := range []struct{ bound, left int }{{8, 8}, {7, 0}} {
			if err := c.SetMaxSessions(tt.bound); err != nil || c.Size() != tt.left {
				t.Errorf("SetMaxSessions(%d) = %v, and %d sessions are left; want %d", tt.bound, err, c.Size(), tt.left)
			}
		}
	})
}

// What has expired goes before what is alive, and sessions on probation before others, as for an Update.
func TestPromise5ALowerBoundTakesThoseFirstThatAnUpdateWould(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{MaxSessions: 40})
		for i := range 14 {
			if i < 6 {
				put(t, c, key("proven", i), i)
			}
			if err := c.UpdateOnProbation(key("new", i), i, 1<<40); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.SetMaxSessions(15); err != nil {
			t.Fatal(err)
		}
		if got := kept(c, "proven", 6); got != 6 || c.Size() != 15 {
			t.Errorf("%d of 6 proven sessions are left, and %d sessions; want all of them, and 15", got, c.Size())
		}
	})
}

func TestBadBoundsAreErrorsThatNameTheLimit(t *testing.T) {
	c, err := fastcache.New(fastcache.Config[int]{MaxSessions: 5})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		put(t, c, key("p", i), i)
	}
	for want, err := range map[string]error{
		"SetMaxSessions: the bound is 0; want at least 1":  c.SetMaxSessions(0),
		"SetMaxSessions: the bound is -3; want at least 1": c.SetMaxSessions(-3),
		"SetMaxWeight: the bound is 0; want at least 1":    c.SetMaxWeight(0),
		"SetMaxWeight: Weigh is nil":                       c.SetMaxWeight(1),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q in it", err, want)
		}
	}
	if c.Size() != 5 {
		t.Errorf("Size() = %d; want 5", c.Size())
	}
	c.Close()
	if err := c.SetMaxSessions(5); !errors.Is(err, fastcache.ErrClosed) {
		t.Errorf("after Close: %v; want ErrClosed", err)
	}
	var none fastcache.Cache[int]
	if err := none.SetMaxSessions(5); !errors.Is(err, fastcache.ErrNotMade) {
		t.Errorf("of the zero Cache: %v; want ErrNotMade", err)
	}
}
