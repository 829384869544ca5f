package fastcache

import (
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

// A key that was handed out keeps its own entry alive at most, however the sessions went that were
// stored with it: no link, list or group leads from it to others.

const retainSessions = 40

type retainValue [1024]byte // no small object, which would share its memory with others

// A retainCache is a cache of one partial key whose values are watched.
type retainCache struct {
	*Cache[*retainValue]
	keys   []Key
	values []weak.Pointer[retainValue]

	mu      sync.Mutex
	removed []Removal[*retainValue] // by OnRemove
}

// reports returns what OnRemove has been told, and forgets it.
func (r *retainCache) reports() []Removal[*retainValue] {
	r.mu.Lock()
	defer r.mu.Unlock()
	reports := r.removed
	r.removed = nil
	return reports
}

func newRetainCache(t *testing.T, cfg Config[*retainValue], partial string) *retainCache {
	t.Helper()
	r := &retainCache{}
	cfg.TTL = time.Hour
	cfg.MaxSessions = retainSessions
	cfg.OnRemove = func(rem Removal[*retainValue]) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.removed = append(r.removed, rem)
	}
	r.Cache = NewForTest(cfg, 1, HashGood)
	for i := range retainSessions {
		k, v := Key{partial, fmt.Sprintf("%032d", i)}, new(retainValue)
		r.keys, r.values = append(r.keys, k), append(r.values, weak.Make(v))
		if err := r.Update(k, v); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// alive returns how many of the values that were stored first are still in memory.
func (r *retainCache) alive(atMost int) (n int) {
	for range 5 { // what the collector has seen on a stack by accident is gone the next time
		runtime.GC()
		n = 0
		for _, v := range r.values {
			if v.Value() != nil {
				n++
			}
		}
		if n <= atMost {
			break
		}
	}
	return n
}

// handOuts return one key each: of the session that comes so many after the first.
var handOuts = map[string]func(r *retainCache, nth int) Key{
	"All":           func(r *retainCache, nth int) Key { return nthOf(r.All(), nth) },
	"SelectSession": func(r *retainCache, nth int) Key { return nthOf(r.SelectSession(r.keys[0].Partial), nth) },
	"Entries": func(r *retainCache, nth int) Key {
		for e := range r.Entries() {
			if nth--; nth < 0 {
				return e.Key
			}
		}
		panic("too few")
	},
	"Foldl": func(r *retainCache, nth int) Key {
		return Foldl(r.Cache, func(k Key, _ *retainValue, acc Key) Key {
			if nth--; nth == -1 {
				return k
			}
			return acc
		}, Key{})
	},
	"Peek": func(r *retainCache, nth int) Key {
		e, _ := r.Peek(r.keys[nth])
		return e.Key
	},
	"TakeNewest": func(r *retainCache, _ int) Key {
		k, _, _ := r.TakeNewest(r.keys[0].Partial)
		return k
	},
	"OnRemove": func(r *retainCache, nth int) Key {
		r.Delete(r.keys[nth])
		synctest.Wait()
		return r.reports()[0].Key
	},
}

func nthOf(all iter.Seq2[Key, *retainValue], nth int) Key {
	for k := range all {
		if nth--; nth < 0 {
			return k
		}
	}
	panic("too few")
}

// removals end all sessions.
var removals = map[string]func(t *testing.T, r *retainCache){
	"DeletePartial": func(_ *testing.T, r *retainCache) { r.DeletePartial(r.keys[0].Partial) },
	"Delete":        func(_ *testing.T, r *retainCache) { r.each(func(k Key) { r.Delete(k) }) },
	"Take backwards": func(_ *testing.T, r *retainCache) {
		slices.Reverse(r.keys)
		r.each(func(k Key) { r.Take(k) })
	},
	"Clear":  func(_ *testing.T, r *retainCache) { r.Clear() },
	"Close":  func(_ *testing.T, r *retainCache) { r.Close() },
	"expiry": func(*testing.T, *retainCache) { time.Sleep(2 * time.Hour) },
	"eviction": func(t *testing.T, r *retainCache) {
		for i := range 3 * retainSessions {
			if err := r.Update(Key{"others", fmt.Sprint(i)}, nil); err != nil {
				t.Fatal(err)
			}
		}
	},
	"replacement": func(_ *testing.T, r *retainCache) { r.each(func(k Key) { _ = r.Update(k, nil) }) },
	"replacement of the newest first": func(_ *testing.T, r *retainCache) {
		slices.Reverse(r.keys)
		r.each(func(k Key) { _ = r.Update(k, nil) })
	},
	"DeletePartial after half was deleted": func(_ *testing.T, r *retainCache) {
		for i := 0; i < len(r.keys); i += 2 {
			r.Delete(r.keys[i])
		}
		r.DeletePartial(r.keys[0].Partial)
	},
	"TakeNewest": func(_ *testing.T, r *retainCache) {
		for ok := true; ok; {
			_, _, ok = r.TakeNewest(r.keys[0].Partial)
		}
	},
	"deletion in a loop over them": func(_ *testing.T, r *retainCache) {
		for k := range r.SelectSession(r.keys[0].Partial) {
			r.Delete(k)
		}
	},
	"revocation in a loop over them": func(_ *testing.T, r *retainCache) {
		for k := range r.SelectSession(r.keys[0].Partial) {
			r.DeletePartial(k.Partial)
		}
	},
}

func (r *retainCache) each(f func(Key)) {
	for _, k := range r.keys {
		f(k)
	}
}

func TestAKeyThatWasHandedOutKeepsOneEntryAtMost(t *testing.T) {
	long := strings.Repeat("h", 200)
	for name, layout := range map[string]struct {
		cfg     Config[*retainValue]
		partial string
	}{
		"indexed":          {Config[*retainValue]{}, "host"},
		"long partial key": {Config[*retainValue]{}, long},
		"without index":    {Config[*retainValue]{NoIndex: true}, "host"},
		"idle":             {Config[*retainValue]{IdleTTL: time.Hour}, "host"},
	} {
		for out, handOut := range handOuts {
			for end, remove := range removals {
				if layout.cfg.NoIndex && (out == "TakeNewest" || end == "TakeNewest") {
					continue
				}
				t.Run(name+"/"+out+"/"+end, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := newRetainCache(t, layout.cfg, layout.partial)
						defer r.Close()
						var kept []Key
						for _, nth := range []int{0, retainSessions - 2} {
							if nth == 0 || out != "OnRemove" && out != "TakeNewest" {
								kept = append(kept, handOut(r, nth))
							}
						}
						remove(t, r)
						synctest.Wait()
						r.reports()
						if n := r.alive(len(kept)); n > len(kept) {
							t.Errorf("%d keys keep %d sessions of %d alive", len(kept), n, retainSessions)
						}
						runtime.KeepAlive(kept)
					})
				})
			}
		}
	}
}

// A loop over a partial key's sessions that is never ended keeps those that it stands on, not all that
// leave meanwhile; and once it ends, a key keeps one entry again.
func TestALoopKeepsNothingThatItHasNotComeTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetainCache(t, Config[*retainValue]{}, "host")
		defer r.Close()
		next, stop := iter.Pull2(r.SelectSession("host"))
		kept, _, _ := next()
		first := r.values
		r.values = nil
		for i := range 500 { // more than are there: the loop cannot come to these
			k, v := Key{"host", fmt.Sprint(i)}, new(retainValue)
			r.values = append(r.values, weak.Make(v))
			if err := r.Update(k, v); err != nil || !r.Delete(k) {
				t.Fatal("not stored", err)
			}
		}
		synctest.Wait()
		r.reports()
		if n := r.alive(2); n > 2 {
			t.Errorf("a loop that has not ended keeps %d of 500 sessions that came and went behind it", n)
		}
		r.Clear()
		stop()
		synctest.Wait()
		r.reports()
		r.values = first
		if n := r.alive(1); n > 1 {
			t.Errorf("a key from a loop that has ended keeps %d sessions", n)
		}
		runtime.KeepAlive(kept)
	})
}

// A loop whose body deletes what it sees, and what comes next or came before, goes on to the end.
func TestALoopThatDeletesWhatItSeesComesToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ahead := range []int{0, 1, 2} {
			r := newRetainCache(t, Config[*retainValue]{}, "host")
			at := retainSessions // keys are seen from the last to the first
			seen := 0
			for k := range r.SelectSession("host") {
				for at--; r.keys[at] != k; at-- {
				}
				seen++
				for i := at - ahead; i <= at; i++ {
					r.Delete(r.keys[max(i, 0)])
				}
			}
			if want := (retainSessions + ahead) / (ahead + 1); seen != want || r.Size() != 0 {
				t.Errorf("deleting %d ahead: %d sessions were seen, %d are left; want %d and none", ahead, seen, r.Size(), want)
			}
			r.Close()
		}
	})
}
