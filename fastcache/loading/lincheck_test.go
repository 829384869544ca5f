package loading_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/fastcache/loading"
)

// A few goroutines make random calls for one key, every call is recorded, and porcupine looks for an order of the
// calls, each between its beginning and its end, that explains the answers. Every load returns a value that no other returns.

type linKind uint8

const (
	linGet linKind = iota
	linLookup
	linUpdate
	linDelete
	linTake
	linTakeNewest
	linDeletePartial
	linClear
	linLoadEnded // what a TakeNewest does besides: see record
)

var linKinds = []linKind{linGet, linGet, linGet, linLookup, linLookup, linUpdate, linDelete, linTake, linTakeNewest, linDeletePartial, linClear}

type linCall struct {
	kind  linKind
	value int // of an Update
}

type linAnswer struct {
	value int
	ok    bool
}

// A linState is what the key has.
type linState struct {
	value int    // 0: none
	onWay bool   // it is loaded for the first Get that has returned it, and may not be stored yet
	used  uint64 // the values that loads have returned: none comes back once it was removed
}

const (
	linClients = 4
	linCalls   = 12
	histories  = 2000
	linUpdates = 64 // values from here on are those of Updates; loads return less
)

// linStep says whether an answer is right, and what the key has after it.
func linStep(s linState, call linCall, a linAnswer) (bool, linState) {
	gone := linState{used: s.used}
	switch call.kind {
	case linGet:
		if s.value != 0 {
			return a.value == s.value, s
		}
		fresh := a.value > 0 && a.value < linUpdates && s.used&(1<<a.value) == 0
		return fresh, linState{a.value, true, s.used | 1<<a.value}
	case linLookup:
		if a.ok {
			return a.value == s.value, linState{s.value, false, s.used}
		}
		return s.value == 0 || s.onWay, s
	case linUpdate:
		return true, linState{call.value, false, s.used}
	case linDelete, linTake, linTakeNewest:
		if a.ok {
			return s.value != 0 && (call.kind == linDelete || a.value == s.value), gone
		}
		// TakeNewest of nothing takes nothing, and a load that is on its way goes on.
		if call.kind == linTakeNewest {
			return s.value == 0 || s.onWay, s
		}
		return s.value == 0 || s.onWay, gone
	case linLoadEnded:
		if !s.onWay {
			return true, s
		}
	}
	return true, gone
}

// A linRecorder makes the calls of one history.
type linRecorder struct {
	cache  *fastcache.Cache[int]
	c      *loading.Cache[int]
	stamp  atomic.Int64
	loads  atomic.Int64
	values atomic.Int64
}

func (r *linRecorder) load(context.Context, fastcache.Key) (int, time.Duration, error) {
	n := int(r.loads.Add(1))
	for range n % 4 {
		runtime.Gosched()
	}
	return n, 0, nil
}

func (r *linRecorder) call(client int, call linCall) porcupine.Operation {
	op := porcupine.Operation{ClientId: client, Input: call, Call: r.stamp.Add(1)}
	var a linAnswer
	switch call.kind {
	case linGet:
		v, err := r.c.Get(ctx, key(1))
		a = linAnswer{v, err == nil}
	case linLookup:
		a.value, a.ok = r.cache.Lookup(key(1))
	case linUpdate:
		a.ok = r.cache.Update(key(1), call.value) == nil
	case linDelete:
		a.ok = r.cache.Delete(key(1))
	case linTake:
		a.value, a.ok = r.cache.Take(key(1))
	case linTakeNewest:
		_, a.value, a.ok = r.cache.TakeNewest(key(1).Partial)
	case linDeletePartial:
		r.cache.DeletePartial(key(1).Partial)
	case linClear:
		r.cache.Clear()
	}
	op.Output, op.Return = a, r.stamp.Add(1)
	return op
}

// record runs the clients concurrently and returns what they called and got.
func (r *linRecorder) record(seed uint64) (history []porcupine.Operation) {
	var (
		ready atomic.Int32
		wg    sync.WaitGroup
		all   [linClients][]porcupine.Operation
	)
	for client := range linClients {
		rng := rand.New(rand.NewPCG(seed, uint64(client)))
		wg.Go(func() {
			for ready.Add(1); ready.Load() < linClients; {
				runtime.Gosched()
			}
			for range linCalls {
				call := linCall{kind: linKinds[rng.IntN(len(linKinds))]}
				if call.kind == linUpdate {
					call.value = linUpdates + int(r.values.Add(1))
				}
				for range rng.IntN(4) {
					runtime.Gosched()
				}
				op := r.call(client, call)
				all[client] = append(all[client], op)
				switch {
				case call.kind == linDeletePartial || call.kind == linClear:
					all[client] = append(all[client], op) // they end loads at one instant, and sessions at a later one
				case call.kind == linTakeNewest && op.Output.(linAnswer).ok:
					// The session is gone at one instant, and leaves its slot at a later one: a load that begins in between
					// with a lease from before that is not kept.
					op.Input = linCall{kind: linLoadEnded}
					all[client] = append(all[client], op)
				}
			}
		})
	}
	wg.Wait()
	for _, ops := range all {
		history = append(history, ops...)
	}
	return history
}

func linModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return linState{} },
		Step: func(state, input, output any) (bool, any) {
			return linStep(state.(linState), input.(linCall), output.(linAnswer))
		},
	}
}

func TestHistoriesWithLoadsAreLinearizable(t *testing.T) {
	for seed := range uint64(histories) {
		r := &linRecorder{}
		cache, err := fastcache.New(fastcache.Config[int]{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := loading.New(cache, r.load, loading.Config{})
		if err != nil {
			t.Fatal(err)
		}
		r.cache, r.c = cache, c
		history := r.record(seed)
		result := porcupine.CheckOperationsTimeout(linModel(), history, 0) // however long it takes
		c.Close()
		cache.Close()
		if result != porcupine.Ok {
			t.Fatalf("seed %d: the history of %d calls is %v: %+v", seed, len(history), result, history)
		}
	}
}

// A check that accepts everything proves nothing.
func TestTheModelOfHistoriesRefusesWrongOnes(t *testing.T) {
	get := func(v int) [2]any { return [2]any{linCall{kind: linGet}, linAnswer{v, true}} }
	lookup := func(v int) [2]any { return [2]any{linCall{kind: linLookup}, linAnswer{v, v != 0}} }
	del := func(ok bool) [2]any { return [2]any{linCall{kind: linDelete}, linAnswer{0, ok}} }
	update := [2]any{linCall{linUpdate, 70}, linAnswer{0, true}}
	for _, tt := range []struct {
		name  string
		steps [][2]any // one after the other
		want  bool
	}{
		{"a load is kept", [][2]any{get(1), lookup(1), get(1)}, true},
		{"a load is on its way", [][2]any{get(1), lookup(0), lookup(1)}, true},
		{"a load comes back after a Delete", [][2]any{get(1), del(true), lookup(1)}, false},
		{"a load comes back after a Delete of nothing", [][2]any{get(1), del(false), get(1)}, false},
		{"a load is stored over an Update", [][2]any{get(1), update, lookup(1)}, false},
		{"what was stored is lost", [][2]any{get(1), lookup(1), lookup(0)}, false},
		{"a second load beside the first", [][2]any{get(1), get(2)}, false},
		{"a new load after a Delete", [][2]any{get(1), del(true), get(2)}, true},
	} {
		var history []porcupine.Operation
		for i, s := range tt.steps {
			history = append(history, porcupine.Operation{Input: s[0], Output: s[1], Call: int64(2 * i), Return: int64(2*i + 1)})
		}
		if got := porcupine.CheckOperations(linModel(), history); got != tt.want {
			t.Errorf("%s: the model accepts it: %v; want %v", tt.name, got, tt.want)
		}
	}
}
