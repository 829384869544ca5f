package tlscache

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
	"github.com/sessioncache/sessioncache/tlscache/internal/tickets"
	"github.com/sessioncache/sessioncache/tlscache/internal/tlsstate"
)

// checkHistories has four clients make random calls at once, over and over, and looks for an order of the calls of
// each history, each between its beginning and its end, in which a model gives the same answers. Fresh returns what
// the calls of one history are made on: a function that draws one and makes it.
func checkHistories(t *testing.T, model porcupine.Model, fresh func() func(*rand.Rand) (in, out any)) {
	const clients, calls = 4, 6
	for seed := range uint64(number(100000, 10000)) {
		call := fresh()
		var stamp atomic.Int64 // a read-modify-write, which no load of a call can pass
		var all [clients][]porcupine.Operation
		var begin, ended sync.WaitGroup
		begin.Add(clients)
		for id := range clients {
			ended.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(id)))
				begin.Done()
				begin.Wait()
				for range calls {
					op := porcupine.Operation{ClientId: id, Call: stamp.Add(1)}
					op.Input, op.Output = call(rng)
					op.Return = stamp.Add(1)
					all[id] = append(all[id], op)
				}
			})
		}
		ended.Wait()
		var history []porcupine.Operation
		for _, ops := range all {
			history = append(history, ops...)
		}
		if !porcupine.CheckOperations(model, history) {
			t.Fatalf("seed %d: no order of these calls explains their answers:\n%v", seed, describe(model, history))
		}
	}
}

func describe(model porcupine.Model, history []porcupine.Operation) (text string) {
	for _, op := range history {
		text += fmt.Sprintf("client %d, %d to %d: %s\n", op.ClientId, op.Call, op.Return, model.DescribeOperation(op.Input, op.Output))
	}
	return text
}

// The tickets of a key of a SingleUse pool are a stack, also for callers that put and take at the same time: each is handed out
// once, the newest first.
func TestPoolsOfSingleUseAreLinearizable(t *testing.T) {
	type call struct{ put string } // empty: take
	stack := porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, in, out any) (bool, any) {
			held := state.(string)
			if put := in.(call).put; put != "" {
				return true, put + held
			}
			got := out.(string)
			if held == "" {
				return got == "", held
			}
			return got == held[:1], held[1:]
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("put %q, or took %q", in.(call).put, out) },
	}
	c := newTestClient(t, ClientConfig{SingleUse: true, PerKey: 64})
	labels := "abcdefghijklmnopqrstuvwxyz"
	checkHistories(t, stack, func() func(*rand.Rand) (in, out any) {
		c.Flush()
		var puts atomic.Int32
		return func(rng *rand.Rand) (in, out any) {
			if rng.IntN(2) == 0 {
				label := labels[puts.Add(1)-1:][:1]
				now := c.clock.Read()
				c.pool.Put("key", tickets.Ticket{Label: []byte(label), Facts: tlsstate.Facts{Version: 0x304}, Until: now.Plus(time.Hour), End: now.Plus(time.Hour)})
				return call{put: label}, nil
			}
			got, _ := c.pool.Take("key", c.clock.Read())
			if got == nil {
				return call{}, ""
			}
			return call{}, string(got.Lent().Label)
		}
	})
}

// A watermark rises and never falls, for all callers that raise it, learn of it from a Store, or ask, at the
// same time.
func TestWatermarksAreLinearizable(t *testing.T) {
	type call struct {
		raise, adopt, covers int64 // one of them is set
	}
	highest := porcupine.Model{
		Init: func() any { return [2]int64{} },
		Step: func(state, in, out any) (bool, any) {
			at, c := state.([2]int64), in.(call)
			switch {
			case c.raise != 0:
				at[0] = max(at[0], c.raise)
			case c.adopt != 0:
				at[1] = max(at[1], c.adopt)
			default:
				return out.(bool) == (c.covers <= max(at[0], at[1])), at
			}
			return true, at
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v: %v", in, out) },
	}
	checkHistories(t, highest, func() func(*rand.Rand) (in, out any) {
		clocks := new(clock.Fake)
		clocks.Stop()
		w := newWatermarks(clocks.Clock())
		birth := clocks.Read()
		of := watermark{sealing.OfServerName, "a"}
		return func(rng *rand.Rand) (in, out any) {
			n := 1 + rng.Int64N(5)
			at := clock.Stamp{Wall: birth.Wall + n*clock.Tick, Order: birth.Order + n*clock.Tick}
			switch rng.IntN(6) {
			case 0:
				w.raise(of, at)
				return call{raise: n}, nil
			case 1, 2, 3:
				w.adopt(of, told{at: at.Wall})
				return call{adopt: n}, nil
			}
			return call{covers: n}, w.covers(&sealing.Record{Auth: at, Server: "a"})
		}
	})
}

// Of several that learn of a first revocation at once, each finds it at its next look, though another one set the mark.
func TestWhatAStoreHasToldCoversAtOnce(t *testing.T) {
	clocks := new(clock.Fake)
	clocks.Stop()
	birth := clocks.Read()
	of := watermark{sealing.OfServerName, "a"}
	for range number(200000, 40000) {
		w := newWatermarks(clocks.Clock())
		var missed atomic.Bool
		var begin, ended sync.WaitGroup
		begin.Add(3)
		for range 3 {
			ended.Go(func() {
				begin.Done()
				begin.Wait()
				w.adopt(of, told{at: birth.Wall})
				if !w.covers(&sealing.Record{Auth: birth, Server: "a"}) {
					missed.Store(true)
				}
			})
		}
		ended.Wait()
		if missed.Load() {
			t.Fatal("a session resumes after this process has learnt that it is revoked")
		}
	}
}
