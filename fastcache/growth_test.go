package fastcache_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// growthLayouts are the layouts that large tables run under: with a constant hash each step
// would cost a walk over all sessions, and the shards but one would stay empty.
func growthLayouts() (all []layout) {
	for _, l := range layouts() {
		if l.mask != fastcache.HashConstant {
			all = append(all, l)
		}
	}
	return all
}

// heapInUse returns the bytes of objects that survive a collection.
func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first only made collectable
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A herd is the sessions that one writer alone stores and removes, some of them next to the
// permanent ones in the group "p". The value of a session is its id.
type herd struct {
	writer, from, to int
}

const herdGroups = 10 // partial keys of a herd, that of the permanent ones included

func (h herd) key(id int) fastcache.Key {
	if id%herdGroups == 0 {
		return key("p", id)
	}
	return key(fmt.Sprintf("herd %d.%d", h.writer, id%herdGroups), id)
}

// fill stores the sessions; each is there at once, and all are when the last one is.
func (h herd) fill(t *testing.T, c *fastcache.Cache[int]) {
	for id := h.from; id < h.to; id++ {
		put(t, c, h.key(id), id)
		wantValue(t, c, h.key(id), id)
	}
	for id := h.from; id < h.to; id++ {
		wantValue(t, c, h.key(id), id)
	}
}

// drain removes the sessions in one of four ways and checks that none was lost or there twice.
func (h herd) drain(t *testing.T, c *fastcache.Cache[int], way int) {
	removed := 0
	for id := h.from; id < h.to; id++ {
		switch {
		case way == 1 && id%herdGroups != 0:
			if v, ok := c.Take(h.key(id)); !ok || v != id {
				t.Errorf("Take of session %d = %d, %v", id, v, ok)
			}
		case way == 0 || id%herdGroups == 0:
			if !c.Delete(h.key(id)) {
				t.Errorf("Delete does not find session %d", id)
			}
			wantMiss(t, c, h.key(id))
		default:
			continue // by its group, below
		}
		removed++
	}
	for g := 1; way >= 2 && g < herdGroups; g++ {
		partial := h.key(g).Partial
		if way == 2 {
			removed += c.DeletePartial(partial)
			continue
		}
		newer := h.to
		for k, v, ok := c.TakeNewest(partial); ok; k, v, ok = c.TakeNewest(partial) {
			if v >= newer || k != h.key(v) {
				t.Errorf("TakeNewest = %v, %d after %d; want the next older one", k, v, newer)
			}
			newer = v
			removed++
		}
	}
	if removed != h.to-h.from {
		t.Errorf("way %d removed %d sessions; want %d", way, removed, h.to-h.from)
	}
}

// watchPermanent looks at the permanent sessions, ids 0 to permanent-1 of the group "p", in
// every way there is.
func watchPermanent(t *testing.T, c *fastcache.Cache[int], permanent int) {
	t.Helper()
	seen := make([]int, permanent)
	note := func(k fastcache.Key, v int) {
		if fmt.Sprint(v) != k.ID {
			t.Errorf("%v has the value %d", k, v)
		}
		if v < permanent {
			seen[v]++
		}
	}
	once := func(how string) {
		t.Helper()
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%s shows permanent session %d %d times; want once", how, id, n)
			}
		}
		clear(seen)
	}
	newer := permanent
	for k, v := range c.SelectSession("p") {
		note(k, v)
		if v < permanent {
			if v >= newer {
				t.Errorf("SelectSession shows %d after %d; want newest first", v, newer)
			}
			newer = v
		}
	}
	once("SelectSession")
	for k, v := range c.All() {
		note(k, v)
	}
	once("All")
	for e := range c.Entries() {
		note(e.Key, e.Value)
	}
	once("Entries")
	lookPermanent(t, c, permanent)
}

// lookPermanent looks each permanent session up.
func lookPermanent(t *testing.T, c *fastcache.Cache[int], permanent int) {
	t.Helper()
	for id := range permanent {
		wantValue(t, c, key("p", id), id)
		if e, ok := c.Peek(key("p", id)); !ok || e.Value != id {
			t.Errorf("Peek of permanent session %d = %d, %v", id, e.Value, ok)
		}
	}
}

// Two writers fill the cache, drain it and fill it again, each time in another way, so that
// the tables grow under the eyes of readers; shards without permanent sessions give their
// arrays back each time. What no writer touches is found at every moment and seen once by
// every iteration; what a writer stored is there until it removes it.
func TestPromise2And7NothingIsLostWhileTablesGrowAndShrink(t *testing.T) {
	const writers = 2
	for _, l := range growthLayouts() {
		few := 3 // of eight shards, five at least have none
		if l.shards == 1 {
			few = 0
		}
		for _, permanent := range []int{few, 200} {
			t.Run(fmt.Sprintf("%s/permanent=%d", l.name, permanent), func(t *testing.T) {
				n := rounds(10_000)
				if l.mask != fastcache.HashGood {
					n /= 16 // each step walks half a table
				}
				if testing.Short() {
					n /= 5
				}
				c := open(t, l, fastcache.Config[int]{MaxSessions: 1 << 20})
				empty := heapInUse()
				for id := range permanent { // between others, so that they lie all over the slots and the table
					put(t, c, key("p", id), id)
					for i := range 50 {
						put(t, c, key("between", 50*id+i), 0)
					}
				}
				c.DeletePartial("between")
				herds := func(work func(h herd)) {
					inParallel(writers, func(w int) { work(herd{w, 1000 + w*n, 1000 + (w+1)*n}) })
				}
				sized := func(want int, when string) {
					t.Helper()
					if got := c.Size(); got != want {
						t.Errorf("Size() = %d after a %s; want %d", got, when, want)
					}
				}
				var looks atomic.Int64
				whileWorking(2, func(g int, done func() bool) {
					for !done() {
						if g == 0 {
							watchPermanent(t, c, permanent)
						} else {
							lookPermanent(t, c, permanent)
						}
						looks.Add(1)
						runtime.Gosched()
					}
				}, func() {
					for way := range 4 {
						herds(func(h herd) { h.fill(t, c) })
						sized(permanent+writers*n, "fill")
						herds(func(h herd) { h.drain(t, c, way) })
						sized(permanent, "drain")
					}
				})
				check(t, c)
				t.Logf("%d sessions each round, %d looks", writers*n, looks.Load())

				herds(func(h herd) { h.fill(t, c) })
				check(t, c)
				full := heapInUse() - empty
				herds(func(h herd) { h.drain(t, c, 0) })
				for id := range permanent {
					c.Delete(key("p", id))
				}
				if left := heapInUse() - empty; left > full/8+64<<10 {
					t.Errorf("%d KiB in use by an empty cache that had %d KiB when full; want the memory given back", left>>10, full>>10)
				}
			})
		}
	}
}

// In virtual time: sessions come in waves and expire, while readers wake at odd moments. A
// permanent session is never missed, an expired one never found, and after each wave the
// memory has the permanent ones only.
func TestPromise1And2NothingIsLostWhileWavesExpire(t *testing.T) {
	const permanent, life = 3, 40 * time.Millisecond
	for _, l := range growthLayouts() {
		t.Run(l.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := rounds(4000)
				if l.mask != fastcache.HashGood {
					n /= 4
				}
				c := open(t, l, fastcache.Config[int]{MaxSessions: 1 << 20})
				birth := time.Now()
				for id := range permanent {
					put(t, c, key("p", id), id)
				}
				whileWorking(2, func(g int, done func() bool) {
					rng := rand.New(rand.NewPCG(uint64(g), 1))
					for !done() {
						lookPermanent(t, c, permanent)
						seen := 0
						look := func(k fastcache.Key, v int) {
							if k.Partial == "p" {
								seen++
							} else if now := int(time.Since(birth)); now >= v {
								t.Errorf("%v is shown %v after its deadline", k, time.Duration(now-v))
							}
						}
						for k, v := range c.All() {
							look(k, v)
						}
						if seen != permanent {
							t.Errorf("All shows %d permanent sessions; want %d", seen, permanent)
						}
						for range n / 10 {
							k := key("wave", rng.IntN(n))
							if v, ok := c.Lookup(k); ok {
								look(k, v)
							}
						}
						for k, v := range c.SelectSession("wave") {
							look(k, v)
						}
						time.Sleep(time.Duration(1 + rng.Int64N(int64(life/4))))
					}
				}, func() {
					rng := rand.New(rand.NewPCG(2, 2))
					for range 4 {
						for i := range n {
							ttl := time.Duration(1 + rng.Int64N(int64(life)))
							putTTL(t, c, key("wave", i), int(time.Since(birth)+ttl), ttl)
							if i%(n/8) == 0 {
								time.Sleep(life / 8)
							}
						}
						time.Sleep(life + tick)
						synctest.Wait()
						if got := c.Size(); got != permanent {
							t.Errorf("Size() = %d a tick after the last deadline; want the %d permanent ones", got, permanent)
						}
						check(t, c)
					}
				})
			})
		})
	}
}
