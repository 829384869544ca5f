package fastcache_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sessioncache/sessioncache/fastcache"
)

// unwound runs f in a goroutine of its own and reports how it ended: "returned", "panicked"
// or "exited".
func unwound(f func()) (end string) {
	var wg sync.WaitGroup
	wg.Go(func() {
		end = "exited"
		defer func() {
			if recover() != nil {
				end = "panicked"
			}
		}()
		f()
		end = "returned"
	})
	wg.Wait()
	return end
}

// unwinders end a callback otherwise than by a return.
var unwinders = map[string]func(){"panicked": func() { panic("by the test") }, "exited": runtime.Goexit}

// A callback that is in the middle of iterations when it panics or exits holds up no other call.
func TestPromise8CallbackMayEndInsideItsIterations(t *testing.T) {
	for name, end := range unwinders {
		t.Run(name, func(t *testing.T) {
			everyBubble(t, func(t *testing.T, l layout) {
				var c *fastcache.Cache[int]
				var ended atomic.Int64
				c = open(t, l, fastcache.Config[int]{OnRemove: func(rm fastcache.Removal[int]) {
					if rm.Key.Partial != "p" {
						return
					}
					for range c.All() {
						for k := range c.SelectSession("stays") {
							c.Demote(k)
							put(t, c, key("new", rm.Value), 1)
							ended.Add(1)
							end()
						}
					}
					t.Error("the callback found no session to end at")
				}})
				put(t, c, key("stays", 1), 1)
				for i := range 100 {
					put(t, c, key("p", i), i)
				}
				if n := c.DeletePartial("p"); n != 100 {
					t.Errorf("DeletePartial = %d; want 100", n)
				}
				synctest.Wait()
				if st := c.Stats(); st.ReportPanics != 100 || st.PendingReports != 0 || ended.Load() != 100 || st.Sessions != 101 {
					t.Errorf("%d panics counted, %d pending, %d ended, %d sessions; want 100, 0, 100, 101",
						st.ReportPanics, st.PendingReports, ended.Load(), st.Sessions)
				}
				wantWorking(t, c)
			})
		})
	}
}

// A callback that hangs holds up the reports of its own shard only.
func TestPromise8HangingCallbackHoldsUpItsShardOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var delivered atomic.Int64
		c := open(t, layout{shards: 8, mask: fastcache.HashGood}, fastcache.Config[int]{OnRemove: func(rm fastcache.Removal[int]) {
			if rm.Value == 0 {
				<-release
			}
			delivered.Add(1)
		}})
		for i := range 800 {
			put(t, c, key("p", i), i)
		}
		if n := c.Clear(); n != 800 {
			t.Errorf("Clear() = %d; want 800", n)
		}
		synctest.Wait()
		pending := c.Stats().PendingReports
		if n := int(delivered.Load()); n+pending != 800 || pending < 1 || pending > 200 {
			t.Errorf("%d reports delivered, %d pending while one hangs; want those of seven shards of eight delivered", n, pending)
		}
		wantWorking(t, c)
		close(release)
		synctest.Wait()
		if n := c.Stats().PendingReports; n != 0 {
			t.Errorf("%d reports pending when nothing hangs", n)
		}
	})
}

// Weigh runs before anything is claimed: when it panics or exits, nothing has changed.
func TestPromise5WeighThatDoesNotReturnChangesNothing(t *testing.T) {
	for want, end := range unwinders {
		t.Run(want, func(t *testing.T) {
			everyLayout(t, func(t *testing.T, l layout) {
				const bad = -7
				c := open(t, l, fastcache.Config[int]{MaxSessions: 300, MaxWeight: 10_000, Weigh: func(_ fastcache.Key, v int) int64 {
					if v == bad {
						end()
					}
					return int64(v)
				}})
				for i := range 100 {
					put(t, c, key(fmt.Sprint(i%7), i), i)
				}
				before := c.Stats()
				for i := range 200 { // half of the keys are new
					k := key(fmt.Sprint(i%7), i)
					if got := unwound(func() { _ = c.Update(k, bad) }); got != want {
						t.Errorf("Update %s; want that Weigh %s", got, want)
					}
					if i < 100 {
						wantValue(t, c, k, i)
					} else {
						wantMiss(t, c, k)
					}
				}
				if after := c.Stats(); after != before {
					t.Errorf("Stats after: %+v; want as before: %+v", after, before)
				}
				wantWorking(t, c)
			})
		})
	}
}

// Weigh runs outside all locks, once per Update: it may call every method, and one that
// hangs keeps no other call waiting.
func TestPromise5WeighMayCallEveryMethodAndMayHang(t *testing.T) {
	everyBubble(t, func(t *testing.T, l layout) {
		var c *fastcache.Cache[int]
		release := make(chan struct{})
		calls := 0
		c = open(t, l, fastcache.Config[int]{MaxWeight: 1000, Weigh: func(k fastcache.Key, v int) int64 {
			switch k.Partial {
			case "calls":
				calls++
				callEverything(c, key("other", 1))
				c.Delete(k)
				c.Clear()
			case "hangs":
				<-release
			}
			return int64(v)
		}})
		for i := range 10 {
			put(t, c, key("calls", 1), i)
			wantValue(t, c, key("calls", 1), i)
		}
		if calls != 10 || c.Size() != 1 || c.Stats().Weight != 9 {
			t.Errorf("Weigh was called %d times, Size() = %d, weight %d; want 10, 1, 9", calls, c.Size(), c.Stats().Weight)
		}
		var done atomic.Bool
		go func() {
			put(t, c, key("hangs", 1), 500)
			done.Store(true)
		}()
		synctest.Wait()
		if st := c.Stats(); done.Load() || st.Weight != 9 || st.Sessions != 1 {
			t.Errorf("Stats while Weigh hangs: %+v; want no room claimed for its session", st)
		}
		wantMiss(t, c, key("hangs", 1))
		wantWorking(t, c)
		close(release)
		synctest.Wait()
		wantValue(t, c, key("hangs", 1), 500)
		if w := c.Stats().Weight; w != 509 {
			t.Errorf("the weight is %d; want 509", w)
		}
	})
}

// Weights at the edge of int64 do not overflow, whether MaxWeight is set or not.
func TestPromise5LargestWeights(t *testing.T) {
	weights := map[int]int64{0: 0, 1: 1, 2: math.MaxInt64 / 2, 3: math.MaxInt64 - 1, 4: math.MaxInt64}
	everyLayout(t, func(t *testing.T, l layout) {
		for _, cfg := range []fastcache.Config[int]{
			{MaxWeight: math.MaxInt64}, {MaxWeight: math.MaxInt64 - 1}, {},
			{MaxWeight: math.MaxInt64, Overflow: fastcache.InvalidateAll},
		} {
			cfg.Weigh = func(_ fastcache.Key, v int) int64 { return weights[v] }
			most := uint64(math.MaxInt64)
			if cfg.MaxWeight != 0 {
				most = uint64(cfg.MaxWeight)
			}
			c := open(t, l, cfg)
			rng := rand.New(rand.NewPCG(6, 6))
			for range 500 {
				k, v := key(fmt.Sprint(rng.IntN(3)), rng.IntN(9)), rng.IntN(len(weights))
				err := c.Update(k, v)
				if tooHeavy := uint64(weights[v]) > most; errors.Is(err, fastcache.ErrTooHeavy) != tooHeavy || (err != nil) != tooHeavy {
					t.Errorf("Update with weight %d under %d = %v", weights[v], most, err)
				}
				if err == nil {
					wantValue(t, c, k, v)
				}
				sum := uint64(0) // of at most 27 sessions: it would show two that are too much together
				for _, v := range c.All() {
					sum += uint64(weights[v])
				}
				if w := c.Stats().Weight; w < 0 || uint64(w) != sum || sum > most {
					t.Errorf("the weight is %d, of what All shows %d; want the same, at most %d", w, sum, most)
				}
			}
			check(t, c)
			for k := range c.All() {
				c.Delete(k)
			}
			if st := c.Stats(); st.Weight != 0 || st.Sessions != 0 {
				t.Errorf("weight %d of %d sessions when all are gone", st.Weight, st.Sessions)
			}
		}
	})
	for _, weight := range []int64{-1, math.MinInt64} {
		c := open(t, layouts()[0], fastcache.Config[int]{Weigh: func(fastcache.Key, int) int64 { return weight }})
		if err := c.Update(key("p", 1), 1); !errors.Is(err, fastcache.ErrBadWeight) || c.Size() != 0 || c.Stats().Weight != 0 {
			t.Errorf("Update with weight %d = %v, Size() = %d; want ErrBadWeight, 0", weight, err, c.Size())
		}
	}
}

// A loop whose body panics or exits, writers being about, leaves no lock behind.
func TestPromise7BodyMayPanicOrExit(t *testing.T) {
	for want, end := range unwinders {
		t.Run(want, func(t *testing.T) {
			everyLayout(t, func(t *testing.T, l layout) {
				for _, noIndex := range []bool{false, true} {
					c := open(t, l, fastcache.Config[int]{NoIndex: noIndex})
					const stay = 300
					for i := range stay {
						put(t, c, key("p", i), i)
					}
					n, at := 0, 0
					stop := func() {
						if n++; n == at {
							end()
						}
					}
					loops := map[string]func(){
						"All": func() {
							for range c.All() {
								stop()
							}
						},
						"Entries": func() {
							for range c.Entries() {
								stop()
							}
						},
						"SelectSession": func() {
							for range c.SelectSession("p") {
								stop()
							}
						},
						"Foldl": func() {
							fastcache.Foldl(c, func(fastcache.Key, int, int) int { stop(); return 0 }, 0)
						},
					}
					whileWorking(1, func(_ int, done func() bool) {
						for i := 0; !done(); i++ {
							put(t, c, key("q", i%50), i)
							c.Delete(key("q", (i+25)%50))
							runtime.Gosched()
						}
					}, func() {
						for name, loop := range loops {
							for _, at = range []int{1, 256, stay} { // first, at the end of a batch, about last
								n = 0
								if got := unwound(loop); got != want {
									t.Errorf("%s %s; want that its body %s", name, got, want)
								}
							}
						}
					})
					for i := range stay {
						wantValue(t, c, key("p", i), i)
					}
					for i := range 50 {
						c.Delete(key("q", i))
					}
					if noIndex {
						check(t, c)
						put(t, c, key("works", 1), 1)
						if got := c.Clear(); got != stay+1 {
							t.Errorf("Clear() = %d; want %d", got, stay+1)
						}
						continue
					}
					wantWorking(t, c)
				}
			})
		})
	}
}
