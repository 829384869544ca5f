package fastcache_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sessioncache/sessioncache/fastcache"
)

// The linearizability check: a few goroutines run random operations on a few keys, every
// call is recorded, and porcupine looks for an order of the calls, each between its
// beginning and its end, that a plain list of sessions could have answered.
//
// LIN_HISTORIES is how many histories each configuration runs; LIN_MINUTES instead is how
// long each test runs, shared by its configurations. Both report histories per minute.

// A linSuite is one kind of history.
type linSuite struct {
	rules    linRules
	partials int
	calls    int                         // per client
	kinds    []linKind                   // drawn from uniformly
	ttl      func(rng *rand.Rand) int64  // nil: the default
	pause    func(rng *rand.Rand)        // between two calls
	config   func(seed uint64) linConfig // of the cache for this history
	reuse    int                         // histories that share one cache; 0: one
	runs     int                         // histories per configuration by default
}

type linConfig = fastcache.Config[int]

// linMix are the operations, those that make histories interesting more often.
var linMix = []linKind{linLookupOrUpdate, linTouch, linLookup, linLookup, linLookup, linLookup, linPeek, linUpdate, linUpdate, linUpdate, linUpdate,
	linTake, linDelete, linTakeNewest, linKeepLast, linDeletePartial, linClear}

const (
	linClients     = 4
	linMaxSessions = 4 // the largest bound that a history sets
)

// A linRecorder makes the calls of one history.
type linRecorder struct {
	suite *linSuite
	cache *fastcache.Cache[int]
	base  time.Time
	// A stamp is a read-modify-write, which no load of the operation can pass; plain
	// clock readings could be reordered with a read-only operation and report
	// violations that are none.
	stamp  atomic.Int64
	values atomic.Uint32
	clears atomic.Int32
	over   atomic.Int64 // a Size beyond the bound
}

func (r *linRecorder) now() int64 { return int64(time.Since(r.base)) }

// draw returns a random call.
func (r *linRecorder) draw(rng *rand.Rand) linCall {
	call := linCall{
		kind:    r.suite.kinds[rng.IntN(len(r.suite.kinds))],
		partial: byte(rng.IntN(r.suite.partials)),
		id:      byte(rng.IntN(linIDs)),
	}
	switch call.kind {
	case linClear:
		n := r.clears.Add(1)
		if n > linClears {
			call.kind = linLookup
		}
		call.clear = byte(n - 1)
	case linResize:
		call.value = 1 + rng.IntN(linMaxSessions)
	case linUpdate, linLookupOrUpdate, linTouch:
		call.value = int(r.values.Add(1))
		if r.suite.ttl != nil {
			call.ttl = r.suite.ttl(rng)
		}
	}
	return call
}

// call makes a call and returns its record.
func (r *linRecorder) call(client int, call linCall) porcupine.Operation {
	op := porcupine.Operation{ClientId: client}
	call.begin = r.now()
	op.Call = r.stamp.Add(1)
	a := r.apply(call)
	op.Return = r.stamp.Add(1)
	call.end = r.now()
	op.Input, op.Output = call, a
	return op
}

var linPartials = [...]string{"one.example.net:443", "two.example.net:443"}

func (r *linRecorder) apply(call linCall) (a linAnswer) {
	c, partial := r.cache, linPartials[call.partial]
	k := fastcache.Key{Partial: partial, ID: string(rune('a' + call.id))}
	a.id = call.id
	var newest fastcache.Key
	switch call.kind {
	case linLookup:
		a.value, a.ok = c.Lookup(k)
	case linPeek:
		var e fastcache.Entry[int]
		if e, a.ok = c.Peek(k); a.ok {
			a.value, a.expires = e.Value, int64(e.Expires.Sub(r.base))
			a.ok = e.Key == k
		}
	case linUpdate:
		if call.ttl > 0 {
			a.ok = c.UpdateTTL(k, call.value, time.Duration(call.ttl)) == nil
		} else {
			a.ok = c.Update(k, call.value) == nil
		}
	case linLookupOrUpdate:
		var err error
		if a.value, a.ok, err = c.LookupOrUpdate(k, call.value, cmp.Or(time.Duration(call.ttl), time.Hour)); err != nil {
			a.value = -1 // which no model accepts
		}
	case linTouch:
		a.ok = c.Touch(k, cmp.Or(time.Duration(call.ttl), time.Hour))
	case linTake:
		a.value, a.ok = c.Take(k)
	case linDelete:
		a.ok = c.Delete(k)
	case linTakeNewest:
		newest, a.value, a.ok = c.TakeNewest(partial)
	case linKeepLast:
		newest, a.value, a.ok = c.TakeNewestKeepLast(partial)
	case linDeletePartial:
		a.count = c.DeletePartial(partial)
	case linResize:
		a.ok = c.SetMaxSessions(call.value) == nil
	default:
		a.count = c.Clear()
	}
	if a.ok && (call.kind == linTakeNewest || call.kind == linKeepLast) {
		if a.id = newest.ID[0] - 'a'; newest.Partial != partial {
			a.id = 0xff // of another partial key: no model accepts it
		}
	}
	return a
}

// record runs the clients concurrently and returns what they called and got.
func (r *linRecorder) record(seed uint64, bound int) []porcupine.Operation {
	var (
		ready atomic.Int32
		wg    sync.WaitGroup
		all   [linClients][]porcupine.Operation
	)
	for client := range linClients {
		rng := rand.New(rand.NewPCG(seed, uint64(client)))
		wg.Go(func() {
			for ready.Add(1); ready.Load() < linClients; {
				runtime.Gosched() // not a channel: the first to wake would be through before the last
			}
			for range r.suite.calls {
				call := r.draw(rng)
				if rng.IntN(4) == 0 {
					runtime.Gosched()
				}
				if r.suite.pause != nil {
					r.suite.pause(rng)
				}
				all[client] = append(all[client], r.split(r.call(client, call))...)
				if n := r.cache.Size(); bound > 0 && n > bound {
					r.over.Store(int64(n))
				}
			}
		})
	}
	wg.Wait()
	var history []porcupine.Operation
	for _, ops := range all {
		history = append(history, ops...)
	}
	return history
}

// split returns a Clear as one operation per key, since it removes each session at an
// instant of its own.
func (r *linRecorder) split(op porcupine.Operation) []porcupine.Operation {
	call := op.Input.(linCall)
	if call.kind != linClear {
		return []porcupine.Operation{op}
	}
	var parts []porcupine.Operation
	for p := range r.suite.partials {
		for id := range linIDs {
			call.partial, call.id = byte(p), byte(id)
			op.Input = call
			parts = append(parts, op)
		}
	}
	return parts
}

// linAmount returns how many histories a configuration runs, or until when.
func linAmount(t *testing.T, n, configs int) (int, time.Time) {
	t.Helper()
	if v := os.Getenv("LIN_MINUTES"); v != "" {
		minutes, err := strconv.ParseFloat(v, 64)
		if err != nil {
			t.Fatalf("LIN_MINUTES is %q; want a number", v)
		}
		return math.MaxInt, time.Now().Add(time.Duration(minutes * float64(time.Minute) / float64(configs)))
	}
	if v := os.Getenv("LIN_HISTORIES"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatalf("LIN_HISTORIES is %q; want a number", v)
		}
	} else if fastcache.Raced {
		n = max(n/5, 1)
	}
	return n, time.Time{}
}

// run checks the suite's histories under every layout.
func (suite *linSuite) run(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		n, until := linAmount(t, suite.runs, len(layouts()))
		model := suite.rules.model()
		begin := time.Now()
		done := 0
		for ; done < n && (until.IsZero() || time.Now().Before(until)); done += max(suite.reuse, 1) {
			suite.runOne(t, l, model, uint64(done))
		}
		took := time.Since(begin)
		t.Logf("%d histories in %v: %.0f per minute", done, took.Round(time.Millisecond), float64(done)/took.Minutes())
	})
}

// runOne runs the histories of one cache.
func (suite *linSuite) runOne(t *testing.T, l layout, model porcupine.Model, seed uint64) {
	t.Helper()
	var cfg linConfig
	if suite.config != nil {
		cfg = suite.config(seed)
	}
	cfg.RecordStats = seed/uint64(max(suite.reuse, 1))%2 == 1 // of which Lookup has a way of its own
	c := fastcache.NewForTest(cfg, l.shards, l.mask)
	defer c.Close()
	for range max(suite.reuse, 1) {
		r := &linRecorder{suite: suite, cache: c, base: time.Now()}
		history := r.record(seed, cfg.MaxSessions)
		linCheck(t, model, seed, history)
		if n := r.over.Load(); n > 0 {
			t.Fatalf("seed %d: Size() = %d; want at most %d", seed, n, cfg.MaxSessions)
		}
		if slices.Contains(suite.kinds, linResize) {
			if err := c.SetMaxSessions(1); err != nil || c.Size() > 1 {
				t.Fatalf("seed %d: SetMaxSessions(1) = %v, and Size() = %d", seed, err, c.Size())
			}
		}
		if err := c.CheckInvariantsForTest(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if suite.rules.timed {
			c.Clear() // else what is left could be alive when the next history begins
		}
		seed++
	}
}

// Nothing leaves by itself: every answer, and what Clear and DeletePartial count, is exact.
func TestPromise2And3And4HistoriesAreLinearizable(t *testing.T) {
	suite := linSuite{rules: linStrict, partials: 1, calls: 12, kinds: linMix, runs: 1000}
	suite.run(t)
}

// Sessions live for microseconds. A call that begins at or after the deadline misses; one
// that ends before it does not; what was missed stays gone. Caches are reused so that the
// timer runs, too.
func TestPromise1HistoriesWithExpiryAreLinearizable(t *testing.T) {
	ttls := [...]int64{5, 10, 20, 50, 100, 200, 400, 2000}
	suite := linSuite{rules: linExpiring, partials: 2, calls: 12, kinds: linMix, runs: 300, reuse: 50,
		ttl: func(rng *rand.Rand) int64 {
			return ttls[rng.IntN(len(ttls))]*1000 + rng.Int64N(1000)
		},
		pause: func(rng *rand.Rand) {
			if rng.IntN(2) == 0 {
				linSpin(time.Duration(rng.IntN(60)) * time.Microsecond)
			}
		},
	}
	suite.run(t)
}

// linSpin lets others run for a while; no sleep is that short.
func linSpin(d time.Duration) {
	for begin := time.Now(); time.Since(begin) < d; {
		runtime.Gosched()
	}
}

// Six keys in two to four sessions: a miss is always right, a wrong value never is, and a
// session that was missed once never comes back.
func TestPromise5HistoriesWithEvictionAreLinearizable(t *testing.T) {
	suite := linSuite{rules: linEvicting, partials: 2, calls: 14, runs: 500,
		kinds:  append([]linKind{linTakeNewest, linTakeNewest, linKeepLast}, linMix...),
		config: func(seed uint64) linConfig { return linConfig{MaxSessions: 2 + int(seed%3)} },
	}
	suite.run(t)
}

// The same while callers move the bound. Once the last of them has returned, its bound holds.
func TestPromise5HistoriesWithEvictionAndMovingBoundsAreLinearizable(t *testing.T) {
	suite := linSuite{rules: linEvicting, partials: 2, calls: 14, runs: 300,
		kinds:  append([]linKind{linResize, linResize, linResize, linTakeNewest}, linMix...),
		config: func(uint64) linConfig { return linConfig{MaxSessions: linMaxSessions} },
	}
	suite.run(t)
}

// linCheck fails the test if no order explains the history, and draws it to a file.
func linCheck(t *testing.T, model porcupine.Model, seed uint64, history []porcupine.Operation) {
	t.Helper()
	result, info := porcupine.CheckOperationsVerbose(model, history, 0)
	if result == porcupine.Ok {
		return
	}
	t.Fatalf("seed %d: the history of %d calls is %v; drawn to %s", seed, len(history), result, linDraw(t, model, info))
}

// linDraw draws a history to a file that survives the test.
func linDraw(t *testing.T, model porcupine.Model, info porcupine.LinearizationInfo) string {
	dir := "" // ArtifactDir is removed after the test unless -artifacts asks to keep it
	if f := flag.Lookup("test.artifacts"); f != nil && f.Value.String() == "true" {
		dir = t.ArtifactDir()
	}
	var page bytes.Buffer
	if err := porcupine.Visualize(model, info, &page); err != nil {
		return fmt.Sprintf("nowhere: %v", err)
	}
	f, err := os.CreateTemp(dir, "history-*.html")
	if err != nil {
		return fmt.Sprintf("nowhere: %v", err)
	}
	defer f.Close()
	if _, err := page.WriteTo(f); err != nil {
		return fmt.Sprintf("nowhere: %v", err)
	}
	return f.Name()
}

// A check that accepts everything proves nothing: each model refuses what it is there for,
// and accepts the same history with the answer that is right.
func TestLinearizabilityModelsRefuseWrongHistories(t *testing.T) {
	update := linCall{kind: linUpdate, id: 1, value: 7, begin: 100, end: 110, ttl: 1000} // deadline in [1100, 1110]
	lookup := func(begin, end int64) linCall { return linCall{kind: linLookup, id: 1, begin: begin, end: end} }
	take := linCall{kind: linTake, id: 1, begin: 200, end: 300}
	clearOne := func(id byte) linCall { return linCall{kind: linClear, id: id} }
	found, none, stored := linAnswer{ok: true, id: 1, value: 7}, linAnswer{id: 1}, linAnswer{ok: true}
	type step struct {
		call   linCall
		answer linAnswer
	}
	for _, c := range []struct {
		name  string
		rules linRules
		steps []step // one after the other
		want  bool
	}{
		{"two callers take one session", linStrict, []step{{update, stored}, {take, found}, {take, found}}, false},
		{"one caller takes a session", linStrict, []step{{update, stored}, {take, found}, {take, none}}, true},
		{"a present key misses", linStrict, []step{{update, stored}, {lookup(200, 210), none}}, false},
		{"Clear counts none of one", linStrict, []step{{update, stored}, {clearOne(0), none}, {clearOne(1), none}, {clearOne(2), none}}, false},
		{"Clear counts one of one", linStrict, []step{{update, stored}, {clearOne(0), linAnswer{count: 1}}, {clearOne(1), linAnswer{count: 1}}, {clearOne(2), linAnswer{count: 1}}}, true},
		{"a hit after the deadline", linExpiring, []step{{update, stored}, {lookup(1110, 1120), found}}, false},
		{"a hit before the latest deadline", linExpiring, []step{{update, stored}, {lookup(1109, 1120), found}}, true},
		{"a miss before the deadline", linExpiring, []step{{update, stored}, {lookup(1000, 1099), none}}, false},
		{"a miss at the earliest deadline", linExpiring, []step{{update, stored}, {lookup(1000, 1100), none}}, true},
		{"a hit after a miss", linExpiring, []step{{update, stored}, {lookup(1000, 1105), none}, {lookup(1105, 1106), found}}, false},
		{"a miss before an instant at which it lived", linExpiring, []step{{update, stored}, {lookup(1105, 1106), found}, {lookup(1000, 1105), none}}, false},
		{"an evicted session comes back", linEvicting, []step{{update, stored}, {lookup(0, 0), none}, {lookup(0, 0), found}}, false},
		{"a session is evicted", linEvicting, []step{{update, stored}, {lookup(0, 0), found}, {lookup(0, 0), none}}, true},
		{"a wrong value", linEvicting, []step{{update, stored}, {lookup(0, 0), linAnswer{ok: true, id: 1, value: 8}}}, false},
	} {
		var history []porcupine.Operation
		for i, s := range c.steps {
			history = append(history, porcupine.Operation{Input: s.call, Output: s.answer, Call: int64(2 * i), Return: int64(2*i + 1)})
		}
		if got := porcupine.CheckOperations(c.rules.model(), history); got != c.want {
			t.Errorf("%s: the model accepts it: %v; want %v", c.name, got, c.want)
		}
	}
}
