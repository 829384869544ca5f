package fastcache_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// agree checks that Lookup, Peek, SelectSession, All, Entries and Size tell the same when
// no writer is about.
func agree(t *testing.T, c *fastcache.Cache[int], partials, ids int) {
	t.Helper()
	all := collect(t, c)
	byGroup := map[fastcache.Key]int{}
	for p := range partials {
		for k, v := range c.SelectSession(fmt.Sprint(p)) {
			if _, twice := byGroup[k]; twice || k.Partial != fmt.Sprint(p) {
				t.Errorf("SelectSession(%d) shows %v, twice or wrongly", p, k)
			}
			byGroup[k] = v
		}
	}
	byKey := map[fastcache.Key]int{}
	for p := range partials {
		for id := range ids {
			k := key(fmt.Sprint(p), id)
			v, found := c.Lookup(k)
			if found {
				byKey[k] = v
			}
			if e, ok := c.Peek(k); ok != found || e.Value != v {
				t.Errorf("Peek(%v) = %v, %v; Lookup = %v, %v", k, e.Value, ok, v, found)
			}
		}
	}
	entries := map[fastcache.Key]int{}
	for e := range c.Entries() {
		entries[e.Key] = e.Value
	}
	if !maps.Equal(byKey, byGroup) || !maps.Equal(byKey, all) || !maps.Equal(byKey, entries) {
		t.Errorf("Lookup finds %d sessions, SelectSession %d, All %d, Entries %d; want the same", len(byKey), len(byGroup), len(all), len(entries))
	}
	if got := c.Stats().PartialKeys; got != len(groupsOf(byKey)) {
		t.Errorf("%d partial keys; want %d", got, len(groupsOf(byKey)))
	}
}

func groupsOf(sessions map[fastcache.Key]int) map[string]bool {
	groups := map[string]bool{}
	for k := range sessions {
		groups[k.Partial] = true
	}
	return groups
}

func TestPromise6LookupFindsWhatSelectSessionFinds(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{MaxSessions: 60, MaxPerPartial: 12, TTL: time.Second, IdleTTL: 700 * time.Millisecond})
		for round := range 10 {
			inParallel(4, func(g int) {
				rng := rand.New(rand.NewPCG(uint64(round), uint64(g)))
				for range rounds(400) {
					k := key(fmt.Sprint(rng.IntN(6)), rng.IntN(20))
					switch rng.IntN(12) {
					case 0:
						c.Delete(k)
					case 1:
						c.Take(k)
					case 2:
						c.TakeNewest(k.Partial)
					case 3:
						c.DeletePartial(k.Partial)
					case 4:
						c.Lookup(k)
					case 5:
						c.Demote(k)
					case 6:
						putTTL(t, c, k, g, time.Duration(1+rng.IntN(50))*10*time.Millisecond)
					default:
						put(t, c, k, g)
					}
				}
			})
			synctest.Wait()
			agree(t, c, 6, 20)
			check(t, c)
			time.Sleep(300 * time.Millisecond) // some are over, some of these still in memory
			c.Clear()
			for i := range 30 {
				putTTL(t, c, key(fmt.Sprint(i%6), i%20), i, time.Duration(i+1)*time.Millisecond)
			}
			time.Sleep(15 * time.Millisecond)
			if n := len(collect(t, c)); n != 15 {
				t.Errorf("All() shows %d sessions; want the 15 that are alive", n)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		agree(t, c, 6, 20)
	})
}

// Sessions that live throughout are seen exactly once, whatever goes on around them, the
// growth of the tables included; for All even those that are replaced all the time.
func TestPromise7IterationSeesWhatLivesThroughoutOnce(t *testing.T) {
	const stable, replaced = 40, 20 // ids below stable are left alone, those below stable+replaced are replaced
	everyLayout(t, func(t *testing.T, l layout) {
		for _, noIndex := range []bool{false, true} {
			c := open(t, l, fastcache.Config[int]{NoIndex: noIndex})
			for i := range stable + replaced {
				put(t, c, key("p", i), i)
			}
			once := func(name string, want int, all func(func(fastcache.Key, int) bool)) {
				seen := map[int]int{}
				for k, v := range all {
					if v < want && k == key("p", v) {
						seen[v]++
					}
				}
				for i := range want {
					if seen[i] != 1 {
						t.Errorf("NoIndex %v: %s shows session %d %d times; want once", noIndex, name, i, seen[i])
					}
				}
			}
			whileWorking(2, func(g int, done func() bool) {
				for i := 0; !done(); i++ {
					id := stable + replaced + (i+100*g)%150
					switch g {
					case 0:
						put(t, c, key("p", stable+i%replaced), stable+i%replaced)
						put(t, c, key("p", id), id)
					default:
						put(t, c, key("q", id), id)
						c.Delete(key("p", id))
						if i%300 == 0 {
							c.DeletePartial("q")
						}
					}
				}
			}, func() {
				for range rounds(100) {
					once("All", stable+replaced, c.All())
					once("SelectSession", stable, c.SelectSession("p"))
					once("Entries", stable+replaced, func(yield func(fastcache.Key, int) bool) {
						for e := range c.Entries() {
							if !yield(e.Key, e.Value) {
								return
							}
						}
					})
				}
			})
		}
	})
}

// callEverything calls every method but Close from within an iteration or a callback.
func callEverything(c *fastcache.Cache[int], k fastcache.Key) {
	c.Lookup(k)
	c.Peek(k)
	_ = c.Update(key("body", 1), 1)
	_ = c.UpdateTTL(key("body", 2), 2, time.Hour)
	c.Demote(key("body", 1))
	c.Delete(key("body", 2))
	c.Take(key("body", 1))
	_ = c.Update(key("body", 3), 3)
	c.TakeNewestKeepLast("body")
	c.TakeNewest("body")
	_ = c.Update(key("body", 4), 4)
	c.DeletePartial("body")
	for range c.SelectSession(k.Partial) {
		break
	}
	for range c.All() {
		break
	}
	for range c.Entries() {
		break
	}
	fastcache.Foldl(c, func(_ fastcache.Key, _ int, n int) int { return n + 1 }, 0)
	c.Size()
	c.Stats()
}

func TestPromise7BodyMayCallEveryMethod(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{MaxPerPartial: 300})
		iterations := map[string]func(yield func(fastcache.Key, int) bool){
			"All": c.All(), "SelectSession": c.SelectSession("p"),
			"Entries": func(yield func(fastcache.Key, int) bool) {
				for e := range c.Entries() {
					if !yield(e.Key, e.Value) {
						return
					}
				}
			},
		}
		for name, iteration := range iterations {
			fill := func() {
				c.Clear()
				for i := range 300 {
					put(t, c, key("p", i), i)
				}
			}
			fill()
			n := 0
			for k := range iteration {
				callEverything(c, k)
				if !c.Delete(k) {
					t.Errorf("%s shows %v, which Delete does not find", name, k)
				}
				n++
			}
			if n != 300 || c.Size() != 0 {
				t.Errorf("%s showed %d sessions and %d are left; want 300, 0", name, n, c.Size())
			}
			fill()
			n = 0
			for k := range iteration {
				if got := c.DeletePartial(k.Partial); got != 300-n {
					t.Errorf("%s: DeletePartial = %d; want 300", name, got)
				}
				n++
				if n > 1 {
					t.Errorf("%s goes on after DeletePartial", name)
				}
			}
			fill()
			n = 0
			for range iteration {
				if n++; n == 5 {
					break
				}
			}
			if n != 5 {
				t.Errorf("%s ran %d times; want a break to stop it at 5", name, n)
			}
			fill()
			n = 0
			for range iteration {
				n++
				c.Clear()
			}
			if n != 1 {
				t.Errorf("%s showed %d sessions, the first of which cleared the cache", name, n)
			}
			check(t, c)
		}
	})
}

func TestPromise7Foldl(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{})
		if got := fastcache.Foldl(c, func(fastcache.Key, int, string) string { return "called" }, "acc"); got != "acc" {
			t.Errorf("Foldl over nothing = %q; want the accumulator", got)
		}
		for i := range 500 {
			put(t, c, key(fmt.Sprint(i%7), i), i)
		}
		sum := fastcache.Foldl(c, func(_ fastcache.Key, v int, acc int) int { return acc + v }, 1000)
		if want := 1000 + 500*499/2; sum != want {
			t.Errorf("Foldl sums up to %d; want %d", sum, want)
		}
		keys := fastcache.Foldl(c, func(k fastcache.Key, _ int, acc []string) []string { return append(acc, k.Partial+"/"+k.ID) }, nil)
		slices.Sort(keys)
		if keys = slices.Compact(keys); len(keys) != 500 {
			t.Errorf("Foldl shows %d different keys; want 500", len(keys))
		}
	})
}
