package tlscache

import (
	"context"
	"crypto/tls"
	"regexp"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
)

// storeFaults are the ways in which a Store goes wrong. Each returns what ends it.
var storeFaults = map[string]func(f *faulty) (end func()){
	"fails":                        func(f *faulty) func() { f.set(down); return func() {} },
	"panics":                       func(f *faulty) func() { f.set(panics); return func() {} },
	"returns garbage":              func(f *faulty) func() { f.set(garbage); return func() {} },
	"takes longer than the budget": func(f *faulty) func() { f.set(tooSlow); return func() {} },
	"never returns": func(f *faulty) func() {
		released := make(chan struct{})
		f.set(until(released))
		return func() { close(released) }
	},
}

// Time is virtual, so the wait in a handshake is what the Store cost it, and nothing else is.
func TestNoHandshakeFailsNorWaitsWhateverTheStoreDoes(t *testing.T) {
	for what, fail := range storeFaults {
		t.Run(what, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				bubble(t, func(t *testing.T) {
					const inFlight = 8
					memory := newMemory(t, session.MemoryConfig{})
					store := &faulty{Store: memory}
					w := newWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(1)), MaxInFlight: inFlight})
					client := w.client(version)
					w.want("before the fault", client, false)
					w.want("before the fault", client, true)

					end := fail(store)
					n, resumed := number(10_000, 400), 0
					waits := make([]time.Duration, n)
					for i := range waits {
						begin := time.Now()
						if w.resumes(client) { // and fails the test if the handshake does
							resumed++
						}
						if waits[i] = time.Since(begin); waits[i] > DefaultBudget {
							t.Fatalf("handshake %d waited %v; want at most the budget, %v", i, waits[i], DefaultBudget)
						}
						time.Sleep(5 * time.Millisecond)
					}
					if n := stranded(); n > inFlight {
						t.Errorf("%d goroutines are stranded; want at most %d", n, inFlight)
					} else if what == "never returns" && n == 0 {
						t.Error("no goroutine is stranded; the test shows nothing")
					}
					if what != "returns garbage" { // a Store that works, as far as the breaker knows
						if !w.Stats().Store.BreakerOpen {
							t.Error("the breaker is closed")
						}
						if resumed < n*9/10 {
							t.Errorf("%d of %d handshakes resumed; want fallback tickets for nearly all", resumed, n)
						}
					}
					open := waits[n/2:]
					slices.Sort(open)
					if p99 := open[len(open)*99/100]; p99 != 0 {
						t.Errorf("with the breaker open the 99th percentile of the waits is %v; want 0", p99)
					}
					t.Logf("%d handshakes, none failed, %d resumed; longest wait %v", n, resumed, slices.Max(waits))

					end()
					store.set(nil)
					time.Sleep(openAtMost)
					w.resumes(client) // begins the probe
					synctest.Wait()
					w.resumes(client) // what it has may not have been stored
					w.want("after the fault", client, true)
					synctest.Wait() // an answer comes before its goroutine has ended
					if st := w.Stats().Store; st.BreakerOpen || st.InFlight != 0 {
						t.Errorf("after the fault: %+v; want the breaker closed and nothing in flight", st)
					}
					w.Close()
					memory.Close()
				})
			})
		})
	}
}

// openAtMost is longer than an open breaker waits before it lets a probe through, where its Store answers at all.
const openAtMost = time.Second

// trip makes as many calls that fail as open a breaker.
func trip(g *guard.Guard) {
	for !g.Stats().BreakerOpen {
		_, _ = guard.Do(time.Second, g, guard.NoProbe, func(context.Context) (struct{}, error) { return struct{}{}, errDown })
	}
}

// stranded counts the goroutines that the guard began and that have not ended. The process's number
// of goroutines would not do: cleanups that the collector runs come and go in it.
func stranded() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return len(regexp.MustCompile(`created by \S*/guard\.(launch|Start)\[`).FindAll(stacks, -1))
}

// The same by the clock on the wall, with the latencies to look at. Only asserts what a busy machine
// cannot break.
func TestLatenciesUnderFaults(t *testing.T) {
	measure := func(w *world, client *tls.Config, n int) (p50, p99 time.Duration) {
		waits := make([]time.Duration, n)
		for i := range waits {
			begin := time.Now()
			w.resumes(client)
			waits[i] = time.Since(begin)
		}
		slices.Sort(waits)
		return waits[n/2], waits[n*99/100]
	}
	for what, fail := range storeFaults {
		t.Run(what, func(t *testing.T) {
			store := &faulty{Store: newMemory(t, session.MemoryConfig{})}
			w := newWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(1))})
			client := w.client(tls.VersionTLS13)
			n := number(10_000, 200)
			p50, p99 := measure(w, client, n)
			end := fail(store)
			defer end()
			measure(w, client, 50) // opens the breaker
			faultP50, faultP99 := measure(w, client, n)
			t.Logf("median and 99th percentile: %v, %v with a Store that works, %v, %v with one that %s", p50, p99, faultP50, faultP99, what)
			if got := w.Stats().Store.InFlight; got > DefaultMaxInFlight {
				t.Errorf("%d calls in flight; want at most %d", got, DefaultMaxInFlight)
			}
		})
	}
}

// With NoFallback, a Store that is down means full handshakes, and nothing worse.
func TestWithoutFallbackClientsDoFullHandshakes(t *testing.T) {
	for what, cfg := range map[string]ServerConfig{"NoFallback": {NoFallback: true}, "SingleUse": {SingleUse: true}} {
		t.Run(what, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				store := &faulty{Store: newMemory(t, session.MemoryConfig{})}
				cfg.Store, cfg.Keyring, cfg.Budget = store, ring(t, secret(1)), long
				w := newWorld(t, cfg)
				accepting := cfg
				accepting.NoFallback, accepting.SingleUse = false, false
				other := newServer(t, accepting)
				elsewhere := &tls.Config{Certificates: w.server.Certificates}
				if err := other.Install(elsewhere); err != nil {
					t.Fatal(err)
				}
				client := w.client(version)
				w.want("first", client, false)
				w.want("second", client, true)
				store.set(down)
				w.want("down", client, false)
				w.want("down again", client, false)
				if got := w.misses()[MissStoreError]; got != 2 {
					t.Errorf("misses: %v; want 2 store errors, the second of which a dead handle remembers", w.misses())
				}
				resumes(t, elsewhere, client)
				if !resumes(t, elsewhere, client) {
					t.Fatal("the other server issues no fallback tickets; the test shows nothing")
				}
				w.want("with a fallback ticket of another server", client, false)
			})
		})
	}
}

// The second fallback is what the configuration had before.
func TestHooksBeforeAreTheSecondFallback(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		store := &faulty{Store: newMemory(t, session.MemoryConfig{})}
		w := newWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(1)), Budget: long, NoFallback: true}, stockHooks)
		client := w.client(version)
		store.set(down)
		w.want("first", client, false)
		w.want("a ticket of the hook before", client, true)
		if st := w.Stats(); st.Foreign != 2 || st.FoundForeign != 1 || st.Dead != 0 {
			t.Errorf("stats: %+v; want 2 foreign tickets, one of them found", st)
		}
	})
}

func TestHooksBeforeThatFailDoNoHarm(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		hooks := map[string]func(cfg *tls.Config){
			"errors": func(cfg *tls.Config) {
				cfg.WrapSession = func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return nil, errDown }
				cfg.UnwrapSession = func([]byte, tls.ConnectionState) (*tls.SessionState, error) { return nil, errDown }
			},
			"panics": func(cfg *tls.Config) {
				cfg.WrapSession = func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { panic("no") }
				cfg.UnwrapSession = func([]byte, tls.ConnectionState) (*tls.SessionState, error) { panic("no") }
			},
			"empty tickets": func(cfg *tls.Config) {
				cfg.WrapSession = func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return []byte{}, nil }
			},
		}
		for what, set := range hooks {
			t.Run(what, func(t *testing.T) {
				store := &faulty{Store: newMemory(t, session.MemoryConfig{})}
				w := newWorld(t, ServerConfig{Store: store, Keyring: ring(t, secret(1)), Budget: long, NoFallback: true}, set)
				client := w.client(version)
				client.ClientSessionCache.Put(host, foreignSession(t, w, version))
				store.set(down)
				w.want("a foreign ticket", client, false)
				w.want("a dead handle", client, false)
				if st := w.Stats(); st.Dead != 2 {
					t.Errorf("stats: %+v; want 2 dead handles", st)
				}
			})
		}
	})
}

// foreignSession returns a client's session that another server issued.
func foreignSession(t testing.TB, w *world, version uint16) *tls.ClientSessionState {
	t.Helper()
	cache := new(lastSession)
	resumes(t, &tls.Config{Certificates: w.server.Certificates}, w.client(version, func(cfg *tls.Config) { cfg.ClientSessionCache = cache }))
	return cache.state
}
