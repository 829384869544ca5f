package orders_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
	"github.com/sessioncache/sessioncache/internal/testing/orders/std/atomic"
	"github.com/sessioncache/sessioncache/internal/testing/orders/std/sync"
)

// The textbook's bugs, each beside the same program without it.
func TestFindsTheTextbooksBugs(t *testing.T) {
	for _, tt := range []struct {
		name     string
		scenario func(*orders.Run)
		want     string // in the failure; empty: there is none
	}{
		{"lost update", counterOf(func(n *atomic.Int64) { n.Store(n.Load() + 1) }), "counted 1 of 2"},
		{"no lost update", counterOf(func(n *atomic.Int64) { n.Add(1) }), ""},
		{"compare-and-swap, its failure ignored", counterOf(func(n *atomic.Int64) { v := n.Load(); n.CompareAndSwap(v, v+1) }), "counted 1 of 2"},
		{"compare-and-swap in a loop", counterOf(func(n *atomic.Int64) {
			for v := n.Load(); !n.CompareAndSwap(v, v+1); v = n.Load() {
			}
		}), ""},
		{"check, then act", claim(false), "2 claimed one place"},
		{"check and act under a lock", claim(true), ""},
		{"Peterson's lock", peterson(false), ""},
		{"Peterson's lock, turn given away first", peterson(true), "both are in"},
		{"two locks, two orders", locks(false), "waits for ever, to lock"},
		{"two locks, one order", locks(true), ""},
		{"published before it is complete", publish(false), "found, and not complete"},
		{"complete before it is published", publish(true), ""},
		{"a signal before the wait", signal(false), "waits for ever, to wake"},
		{"a condition checked under the lock", signal(true), ""},
		{"a loop that waits", spin, "waits in a loop"},
		{"a plain field set after what publishes it", plainly(false, true), "data race"},
		{"a plain field set before it", plainly(true, true), ""},
		{"a plain store after what publishes it", plainly(false, false), "data race"},
		{"a plain store before it", plainly(true, false), ""},
		{"a plain field, one access without the lock", guarded(false), "data race"},
		{"a plain field, under a lock", guarded(true), ""},
		{"what a goroutine is started with", started, ""},
		{"a channel that is closed", receives(true), ""},
		{"a channel that nobody closes", receives(false), "waits for ever, to wake"},
		{"a panic", func(r *orders.Run) { r.Go("a", func() { panic("oops") }) }, "a panics: oops"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := orders.Explore(tt.scenario)
			if !strings.Contains(got.Failure, tt.want) || tt.want == "" && got.Failure != "" {
				t.Errorf("%v; failure %q; want %q", got, got.Failure, tt.want)
			}
		})
	}
}

// plainly publishes a node whose field is set without a step: a plain one, or an atomic one by a plain store.
func plainly(complete, plain bool) func(*orders.Run) {
	return func(r *orders.Run) {
		n := new(struct {
			head  atomic.Pointer[int]
			value int
			state atomic.Int64
		})
		set := func() {
			if plain {
				*orders.Writing(&n.value) = 1
			} else {
				*(*int64)(orders.Storing(unsafe.Pointer(&n.state))) = 1
			}
		}
		r.Go("writer", func() {
			if complete {
				set()
			}
			n.head.Store(&n.value)
			if !complete {
				set()
			}
		})
		for range 2 {
			r.Go("reader", func() {
				if n.head.Load() != nil && plain {
					_ = *orders.Reading(&n.value)
				} else if n.head.Load() != nil {
					n.state.Load()
				}
			})
		}
	}
}

func guarded(all bool) func(*orders.Run) {
	return func(r *orders.Run) {
		var mu sync.Mutex
		var done atomic.Bool
		value := 0
		r.Go("writer", func() {
			mu.Lock()
			*orders.Writing(&value) = 1
			mu.Unlock()
			done.Store(true)
		})
		r.Go("reader", func() {
			if all && !done.Load() {
				mu.Lock()
				defer mu.Unlock()
			}
			_ = *orders.Reading(&value)
		})
	}
}

func started(r *orders.Run) {
	value := 0
	r.Go("starts", func() {
		*orders.Writing(&value) = 1
		orders.Go(func() { *orders.Writing(&value) = 2 })
	})
}

func receives(closes bool) func(*orders.Run) {
	return func(r *orders.Run) {
		ch, value := make(chan struct{}), 0
		for range 2 {
			r.Go("waits", func() {
				orders.Receive(ch)
				_ = *orders.Reading(&value)
			})
		}
		r.Go("closes", func() {
			if *orders.Writing(&value) = 1; closes {
				orders.Close(ch)
			}
		})
	}
}

// What the code under test says is led elsewhere, line by line, and nothing else changes.
func TestRewriteLeadsWhatIsSharedElsewhere(t *testing.T) {
	const text = `package p

import "sync/atomic"

func f(n *node) {
	n.next.prev, x = n.prev, &n.prev
	n.count++
	n.closed[n.count] = n.closed[0]
	*(**node)(unsafe.Pointer(&n.next)) = n.other
	go g(n.count)
	close(n.closed)
	<-n.closed
}
`
	const want = `package p; import "github.com/sessioncache/sessioncache/internal/testing/orders"

import "github.com/sessioncache/sessioncache/internal/testing/orders/std/atomic"

func f(n *node) {
	(*orders.Writing(&n.next.prev)), x = (*orders.Reading(&n.prev)), &n.prev
	(*orders.Writing(&n.count))++
	(*orders.Writing(&n.closed))[(*orders.Reading(&n.count))] = (*orders.Reading(&n.closed))[0]
	*(**node)(orders.Storing(unsafe.Pointer(&n.next))) = n.other
	orders.Go(func() { g((*orders.Reading(&n.count))) })
	orders.Close((*orders.Reading(&n.closed)))
	orders.Receive((*orders.Reading(&n.closed)))
}
`
	seen := map[string]bool{}
	got, err := orders.RewriteForTest("p.go", []byte(text), []string{"prev", "count", "closed", "missing"}, seen)
	if err != nil || string(got) != want {
		t.Errorf("rewrite = %v\n%s\nwant\n%s", err, got, want)
	}
	if len(seen) != 3 || seen["missing"] {
		t.Errorf("seen: %v; want prev, count and closed", seen)
	}
}

// counterOf lets two threads count one each.
func counterOf(count func(*atomic.Int64)) func(*orders.Run) {
	return func(r *orders.Run) {
		n := new(atomic.Int64)
		r.Go("a", func() { count(n) })
		r.Go("b", func() { count(n) })
		r.AtRest(func() error {
			if n.Load() != 2 {
				return fmt.Errorf("counted %d of 2", n.Load())
			}
			return nil
		})
	}
}

func claim(locked bool) func(*orders.Run) {
	return func(r *orders.Run) {
		var mu sync.Mutex
		taken, claimed := new(atomic.Bool), 0
		for range 2 {
			r.Go("claims", func() {
				if locked {
					mu.Lock()
					defer mu.Unlock()
				}
				if !taken.Load() {
					taken.Store(true)
					claimed++
				}
			})
		}
		r.AtRest(func() error {
			if claimed != 1 {
				return fmt.Errorf("%d claimed one place", claimed)
			}
			return nil
		})
	}
}

// peterson lets two threads try once to get in; who finds the other before it goes away.
func peterson(turnFirst bool) func(*orders.Run) {
	return func(r *orders.Run) {
		var wants [2]atomic.Bool
		var turn, inside atomic.Int32
		for me := range 2 {
			other := int32(1 - me)
			r.Go(fmt.Sprint(me), func() {
				if turnFirst {
					turn.Store(other)
					wants[me].Store(true)
				} else {
					wants[me].Store(true)
					turn.Store(other)
				}
				if wants[other].Load() && turn.Load() == other {
					return
				}
				if inside.Add(1) == 2 {
					r.Failf("both are in")
				}
				inside.Add(-1)
				wants[me].Store(false)
			})
		}
	}
}

func locks(ordered bool) func(*orders.Run) {
	return func(r *orders.Run) {
		a, b, held := new(sync.Mutex), new(sync.Mutex), 0
		both := func(first, second *sync.Mutex) func() {
			return func() { first.Lock(); second.Lock(); held++; second.Unlock(); first.Unlock() }
		}
		r.Go("a", both(a, b))
		if !ordered {
			a, b = b, a
		}
		r.Go("b", both(a, b))
	}
}

func publish(complete bool) func(*orders.Run) {
	return func(r *orders.Run) {
		var found atomic.Bool
		var value atomic.Int32
		r.Go("writer", func() {
			if complete {
				value.Store(1)
			}
			found.Store(true)
			value.Store(1)
		})
		r.Go("reader", func() {
			if found.Load() && value.Load() == 0 {
				r.Failf("found, and not complete")
			}
		})
	}
}

func signal(checked bool) func(*orders.Run) {
	return func(r *orders.Run) {
		var mu sync.Mutex
		cond := sync.Cond{L: &mu}
		ready := false
		r.Go("waits", func() {
			mu.Lock()
			for !ready || !checked {
				cond.Wait()
				if !checked {
					break
				}
			}
			mu.Unlock()
		})
		r.Go("signals", func() { mu.Lock(); ready = true; mu.Unlock(); cond.Broadcast() })
	}
}

func spin(r *orders.Run) {
	var flag atomic.Bool
	r.Go("waits", func() {
		for !flag.Load() {
		}
	})
	r.Go("sets", func() { flag.Store(true) })
}

// Orders that cannot be told apart are run once, the others each.
func TestCountsTheOrdersThatDiffer(t *testing.T) {
	steps := func(threads, each int, shared bool, kind func(*atomic.Int32)) func(*orders.Run) {
		return func(r *orders.Run) {
			vars := make([]atomic.Int32, threads)
			for id := range threads {
				r.Go(fmt.Sprint(id), func() {
					for range each {
						v := &vars[id]
						if shared {
							v = &vars[0]
						}
						kind(v)
					}
				})
			}
		}
	}
	add, load := func(v *atomic.Int32) { v.Add(1) }, func(v *atomic.Int32) { v.Load() }
	for _, tt := range []struct {
		name     string
		scenario func(*orders.Run)
		all      int // orders, those included that cannot be told apart
		want     int
	}{
		{"three threads with two writes each of their own", steps(3, 2, false, add), 7484400 / 4, 1},
		{"three threads that read one variable twice", steps(3, 2, true, load), 7484400 / 4, 1},
		{"two writes each of two threads", steps(2, 2, true, add), 20, 6},
		{"two writes each of three threads", steps(3, 2, true, add), 1680, 90},
		{"four threads with a write each", steps(4, 1, true, add), 2520, 24},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := orders.Explore(tt.scenario); got.Runs != tt.want || got.Failure != "" {
				t.Errorf("%v %s; want %d orders", got, got.Failure, tt.want)
			}
			if tt.all > 1e4 {
				return
			}
			// A thread's beginning is a step, too.
			if got := orders.ExploreAllForTest(tt.scenario, math.MaxInt); got.Runs != tt.all || got.Failure != "" {
				t.Errorf("in full, %v %s; want %d orders", got, got.Failure, tt.all)
			}
		})
	}
}

// Random small programs come to the same ends where only the orders that differ are run as where
// all are.
func TestLosesNoOrderThatDiffers(t *testing.T) {
	const most = 4000 // orders of a program; larger ones are passed over
	programs := uint64(40)
	if env := os.Getenv("ORDERS_PROGRAMS"); env != "" {
		programs, _ = strconv.ParseUint(env, 10, 32)
	}
	reduced, full, compared := 0, 0, uint64(0)
	for seed := range programs {
		outcomes := func(explore func(func(*orders.Run)) orders.Result) (map[string]bool, int) {
			ends := map[string]bool{}
			got := explore(func(r *orders.Run) { program(r, rand.New(rand.NewPCG(seed, 1)), ends) })
			if got.Failure != "" {
				ends["failure"] = true
			}
			return ends, got.Runs + got.Pruned
		}
		all, m := outcomes(func(scenario func(*orders.Run)) orders.Result {
			return orders.ExploreAllForTest(scenario, most)
		})
		if m == most {
			continue
		}
		some, n := outcomes(orders.Explore)
		reduced, full, compared = reduced+n, full+m, compared+1
		if !maps.Equal(some, all) {
			t.Fatalf("program %d ends in %d ways, found %d of them in %d runs of %d: missing %v", seed, len(all), len(some), n, m,
				slices.DeleteFunc(slices.Collect(maps.Keys(all)), func(end string) bool { return some[end] }))
		}
	}
	if t.Logf("%d programs, %d orders instead of %d", compared, reduced, full); compared < programs/4 {
		t.Errorf("only %d programs were small enough", compared)
	}
}

// program starts two or three threads that load, store, swap, lock, read the clock, move it and set a
// timer. Each end is noted with all that was seen.
func program(r *orders.Run, rng *rand.Rand, ends map[string]bool) {
	vars, mu := make([]atomic.Int32, 2), make([]sync.Mutex, 2)
	shared := 1 + rng.IntN(2)
	var seen [4][]int64
	threads := 2 + rng.IntN(2)
	length := 6/threads - rng.IntN(2)
	if rng.IntN(2) == 0 {
		r.MaxLate(2 * time.Nanosecond)
	}
	timer := orders.AfterFunc(time.Duration(1+rng.IntN(3)), func() {
		mu[0].Lock()
		seen[3] = append(seen[3], int64(vars[0].Load()))
		mu[0].Unlock()
	})
	if rng.IntN(3) > 0 {
		timer.Stop()
	}
	for id := range threads {
		var does []func()
		for range length {
			v, m, value := &vars[rng.IntN(shared)], &mu[rng.IntN(shared)], int32(id*10+rng.IntN(3)+1)
			note := func(x int64) { seen[id] = append(seen[id], x) }
			does = append(does, []func(){
				func() { note(int64(v.Load())) },
				func() { v.Store(value) },
				func() {
					if v.CompareAndSwap(0, value) {
						note(-1)
					}
				},
				func() { m.Lock(); note(int64(v.Load())); m.Unlock() },
				func() { m.Lock(); v.Store(value); m.Unlock() },
				func() { note(int64(orders.Now())) },
				func() { r.SetClock(time.Duration(value%10 + 2)) },
				func() { timer.Reset(time.Duration(value % 10)) },
			}[rng.IntN(8)])
		}
		r.Go(fmt.Sprint(id), func() {
			for _, do := range does {
				do()
			}
		})
	}
	r.AtRest(func() error {
		ends[fmt.Sprint(seen, vars[0].Load(), vars[1].Load(), orders.Now())] = true
		return nil
	})
}
