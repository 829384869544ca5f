package peers

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

const capacity = 2000

// eachPeer runs a test for every cache that f takes.
func eachPeer(t *testing.T, takes func(Peer) bool, f func(t *testing.T, p Peer)) {
	for _, p := range All() {
		if p.Class != Harness && takes(p) {
			t.Run(p.Name, func(t *testing.T) {
				t.Parallel()
				f(t, p)
			})
		}
	}
}

func every(Peer) bool { return true }

func open(t *testing.T, p Peer, cfg Config) (Cache, workload.Load, []workload.Session) {
	t.Helper()
	l, sessions := workload.LoadOf(capacity), workload.NewSessions(capacity)
	if cfg.Capacity == 0 {
		cfg.Capacity = capacity
	}
	cfg.Sessions = sessions
	c := p.Open(cfg)
	t.Cleanup(c.Close)
	return c, l, sessions
}

// store sets a session until it is found: some caches may drop a Set.
func store(t *testing.T, c Cache, key string, s *workload.Session) {
	t.Helper()
	for range 100 {
		c.Set(key, s)
		c.Flush()
		if found, ok := c.Get(key); ok {
			if found != s {
				t.Fatalf("Get = session %d after Set of session %d", found.Number, s.Number)
			}
			return
		}
	}
	t.Fatal("what was stored a hundred times is not found")
}

func TestWhatIsStoredIsFound(t *testing.T) {
	eachPeer(t, every, func(t *testing.T, p Peer) {
		c, l, sessions := open(t, p, Config{Roomy: true, TTL: time.Hour})
		for i := range sessions {
			store(t, c, l.Key(uint64(i)), &sessions[i])
		}
		for i := range sessions {
			if s, ok := c.Get(l.Key(uint64(i))); !ok || s != &sessions[i] {
				t.Fatalf("Get of session %d = %v, %v", i, s, ok)
			}
		}
		if got := c.Len(); got != capacity {
			t.Errorf("Len() = %d; want %d", got, capacity)
		}
		if _, ok := c.Get(l.Key(capacity + 1)); ok {
			t.Error("Get of a session that was never stored finds one")
		}
	})
}

func TestUpdateReplacesAndTakeRemoves(t *testing.T) {
	eachPeer(t, every, func(t *testing.T, p Peer) {
		c, l, sessions := open(t, p, Config{Roomy: true, TTL: time.Hour})
		key := l.Key(7)
		store(t, c, key, &sessions[7])
		store(t, c, key, &sessions[8])
		if s, ok := c.Take(key); !ok || s != &sessions[8] {
			t.Errorf("Take = %v, %v; want session 8", s, ok)
		}
		c.Flush()
		if _, ok := c.Get(key); ok {
			t.Error("Get finds what was taken")
		}
		if _, ok := c.Take(key); ok {
			t.Error("Take finds what was taken")
		}
	})
}

// A cache that kept more than its bound would win every comparison of hit ratios.
func TestBoundIsKept(t *testing.T) {
	eachPeer(t, Peer.Bounded, func(t *testing.T, p Peer) {
		const bound = capacity / 10
		c, l, sessions := open(t, p, Config{Capacity: bound, TTL: time.Hour, Inline: true})
		for i := range sessions {
			c.Set(l.Key(uint64(i)), &sessions[i])
			c.Flush()
			if got := c.Len(); got > bound {
				t.Fatalf("Len() = %d after %d sessions; want at most %d", got, i+1, bound)
			}
		}
		found := 0
		for i := range sessions {
			if _, ok := c.Get(l.Key(uint64(i))); ok {
				found++
			}
		}
		if found > bound || found < bound/2 {
			t.Errorf("%d of %d sessions are found in a cache of %d", found, capacity, bound)
		}
	})
}

func hasTTL(p Peer) bool {
	return p.Class != Floor && p.Class != Yardstick && p.Name != "vm-fastcache"
}

// gone waits until a session is no longer found. Caches of bytes count seconds.
func gone(t *testing.T, c Cache, key string) {
	t.Helper()
	tick, late := time.NewTicker(time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for {
		if _, ok := c.Get(key); !ok {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("a session of a second is found after half a minute")
		}
	}
}

func TestTTLIsKept(t *testing.T) {
	eachPeer(t, hasTTL, func(t *testing.T, p Peer) {
		c, l, sessions := open(t, p, Config{Roomy: true, TTL: time.Second})
		c.Set(l.Key(1), &sessions[1])
		gone(t, c, l.Key(1))
	})
}

func TestEachSessionHasItsTTL(t *testing.T) {
	eachPeer(t, Peer.PerSessionTTL, func(t *testing.T, p Peer) {
		c, l, sessions := open(t, p, Config{Roomy: true, TTL: time.Hour, PerSession: true})
		sessions[1].TTL, sessions[2].TTL = time.Hour, 10*time.Millisecond
		store(t, c, l.Key(1), &sessions[1])
		c.Set(l.Key(2), &sessions[2])
		c.Flush()
		gone(t, c, l.Key(2))
		if _, ok := c.Get(l.Key(1)); !ok {
			t.Error("the session of an hour is gone with the one of ten milliseconds")
		}
	})
}

// naive is FIFO and LRU as one would write them first.
type naive struct {
	keys     []string // the next victim first
	capacity int
	lru      bool
}

func (n *naive) access(key string) (hit bool) {
	i := slices.Index(n.keys, key)
	if i >= 0 && !n.lru {
		return true
	}
	if i >= 0 {
		n.keys = append(slices.Delete(n.keys, i, i+1), key)
		return true
	}
	if len(n.keys) == n.capacity {
		n.keys = n.keys[1:]
	}
	n.keys = append(n.keys, key)
	return false
}

func TestYardsticksAreFIFOAndLRU(t *testing.T) {
	for _, name := range []string{FIFO, LRU} {
		p, _ := Find(name)
		for _, size := range []int{1, 2, 10} {
			c := p.Open(Config{Capacity: size})
			n := naive{capacity: size, lru: name == LRU}
			rng := rand.New(rand.NewPCG(1, uint64(size)))
			for i := range 5000 {
				key := string(rune('a' + rng.IntN(3*size)))
				_, hit := c.Get(key)
				if !hit {
					c.Set(key, nil)
				}
				if want := n.access(key); hit != want {
					t.Fatalf("%s of %d: access %d hits: %v; want %v", name, size, i, hit, want)
				}
			}
		}
	}
}

func TestPeersAreFoundByName(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range All() {
		if found, ok := Find(p.Name); !ok || found.Name != p.Name || seen[p.Name] {
			t.Errorf("Find(%q) = %v, %v, or the name comes twice", p.Name, found.Name, ok)
		}
		seen[p.Name] = true
	}
	if _, ok := Find("no such cache"); ok {
		t.Error("Find finds a cache that is none")
	}
}
