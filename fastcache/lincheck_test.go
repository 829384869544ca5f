package fastcache_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sessioncache/sessioncache/fastcache"
)

// The linearizability check: a few goroutines run random operations on a few keys of one
// partial key, every call is recorded, and porcupine looks for an order of the calls, each
// between its beginning and its end, that a plain list of sessions could have answered.

type linKind uint8

const (
	linLookup linKind = iota
	linUpdate
	linTake
	linDelete
	linTakeNewest
	linDeletePartial
	linKinds
)

// linCall is an operation with its argument; linAnswer what it returned.
type linCall struct {
	kind  linKind
	id    byte
	value uint16
}

type linAnswer struct {
	ok    bool
	id    byte
	value uint16
	count int
}

// linState is the sessions of the partial key, newest first, three bytes each: the id and
// the value. A string, so that porcupine can compare states.
type linState string

func (s linState) find(id byte) int {
	for i := 0; i < len(s); i += 3 {
		if s[i] == id {
			return i
		}
	}
	return -1
}

func (s linState) value(i int) uint16     { return uint16(s[i+1])<<8 | uint16(s[i+2]) }
func (s linState) without(i int) linState { return s[:i] + s[i+3:] }
func (s linState) with(c linCall) linState {
	return linState([]byte{c.id, byte(c.value >> 8), byte(c.value)}) + s
}
func (s linState) size() int                  { return len(s) / 3 }
func (s linState) holds(i int, v uint16) bool { return i >= 0 && s.value(i) == v }

// linStep says whether the model may answer so, and the state afterwards.
func linStep(s linState, c linCall, a linAnswer) (bool, linState) {
	i := s.find(c.id)
	switch c.kind {
	case linLookup:
		if !a.ok {
			return i < 0, s
		}
		return s.holds(i, a.value), s
	case linUpdate:
		if i >= 0 {
			s = s.without(i)
		}
		return a.ok, s.with(c)
	case linTake:
		if !a.ok {
			return i < 0, s
		}
		if !s.holds(i, a.value) {
			return false, s
		}
		return true, s.without(i)
	case linDelete:
		if i < 0 {
			return !a.ok, s
		}
		return a.ok, s.without(i)
	case linTakeNewest:
		if len(s) == 0 {
			return !a.ok, s
		}
		return a.ok && s[0] == a.id && s.value(0) == a.value, s.without(0)
	default: // linDeletePartial
		return a.count == s.size(), ""
	}
}

var linModel = porcupine.Model{
	Init: func() any { return linState("") },
	Step: func(state, call, answer any) (bool, any) {
		ok, next := linStep(state.(linState), call.(linCall), answer.(linAnswer))
		return ok, next
	},
	DescribeOperation: func(call, answer any) string { return fmt.Sprintf("%+v -> %+v", call, answer) },
}

const linPartial = "one.example.net:443"

// linApply makes one call.
func linApply(c *fastcache.Cache[uint16], call linCall) (a linAnswer) {
	key := fastcache.Key{Partial: linPartial, ID: string(rune('a' + call.id))}
	switch call.kind {
	case linLookup:
		a.value, a.ok = c.Lookup(key)
	case linUpdate:
		a.ok = c.Update(key, call.value) == nil
	case linTake:
		a.value, a.ok = c.Take(key)
	case linDelete:
		a.ok = c.Delete(key)
	case linTakeNewest:
		var k fastcache.Key
		if k, a.value, a.ok = c.TakeNewest(linPartial); a.ok {
			a.id = k.ID[0] - 'a'
		}
	default:
		a.count = c.DeletePartial(linPartial)
	}
	return a
}

// linRecord runs clients concurrently and returns what they called and got.
func linRecord(c *fastcache.Cache[uint16], seed uint64, clients, calls, ids int) []porcupine.Operation {
	var (
		// A stamp is a read-modify-write, which no load of the operation can pass; plain
		// clock readings could be reordered with a read-only operation and report
		// violations that are none.
		stamp atomic.Int64
		value atomic.Uint32
		start = make(chan struct{})
		wg    sync.WaitGroup
		all   = make([][]porcupine.Operation, clients)
	)
	for client := range clients {
		rng := rand.New(rand.NewPCG(seed, uint64(client)))
		wg.Go(func() {
			<-start
			for range calls {
				call := linCall{kind: linKind(rng.IntN(int(linKinds) + 3)), id: byte(rng.IntN(ids))}
				if call.kind >= linKinds { // half of the calls look up or update
					call.kind = linUpdate * linKind(rng.IntN(2))
				}
				if call.kind == linUpdate {
					call.value = uint16(value.Add(1))
				}
				if rng.IntN(4) == 0 {
					runtime.Gosched()
				}
				op := porcupine.Operation{ClientId: client, Input: call, Call: stamp.Add(1)}
				op.Output = linApply(c, call)
				op.Return = stamp.Add(1)
				all[client] = append(all[client], op)
			}
		})
	}
	close(start)
	wg.Wait()
	var history []porcupine.Operation
	for _, ops := range all {
		history = append(history, ops...)
	}
	return history
}

// linHistories is how many histories each configuration runs; LIN_HISTORIES asks for more.
func linHistories(t *testing.T) int {
	n := 1000
	if more := os.Getenv("LIN_HISTORIES"); more != "" {
		var err error
		if n, err = strconv.Atoi(more); err != nil {
			t.Fatalf("LIN_HISTORIES is %q; want a number", more)
		}
	}
	return n
}

func TestPromise2And3And4HistoriesAreLinearizable(t *testing.T) {
	for _, hash := range []struct {
		name string
		mask uint64
	}{{"good", fastcache.HashGood}, {"constant", fastcache.HashConstant}, {"truncated", fastcache.HashTruncated}} {
		for _, shards := range []int{1, 8} {
			t.Run(fmt.Sprintf("hash=%s/shards=%d", hash.name, shards), func(t *testing.T) {
				for i := range linHistories(t) {
					seed := uint64(i)
					c := fastcache.NewForTest(fastcache.Config[uint16]{}, shards, hash.mask)
					history := linRecord(c, seed, 4, 12, 3)
					linCheck(t, seed, history)
					if err := c.CheckInvariantsForTest(); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					c.Close()
				}
			})
		}
	}
}

// linCheck fails the test if no order explains the history, and draws it to a file.
func linCheck(t *testing.T, seed uint64, history []porcupine.Operation) {
	t.Helper()
	result, info := porcupine.CheckOperationsVerbose(linModel, history, 30*time.Second)
	if result == porcupine.Ok {
		return
	}
	var page bytes.Buffer
	path := "not drawn"
	if err := porcupine.Visualize(linModel, info, &page); err == nil {
		if f, err := os.CreateTemp("", "history-*.html"); err == nil {
			path = f.Name()
			page.WriteTo(f)
			f.Close()
		}
	}
	t.Fatalf("seed %d: the history of %d calls is %v; drawn to %s", seed, len(history), result, path)
}

// A check that accepts everything proves nothing: two winners of one session are refused.
func TestLinearizabilityModelRefusesTwoTakers(t *testing.T) {
	history := []porcupine.Operation{
		{ClientId: 0, Input: linCall{kind: linUpdate, id: 1, value: 7}, Call: 1, Output: linAnswer{ok: true}, Return: 2},
		{ClientId: 0, Input: linCall{kind: linTake, id: 1}, Call: 3, Output: linAnswer{ok: true, value: 7}, Return: 6},
		{ClientId: 1, Input: linCall{kind: linTake, id: 1}, Call: 4, Output: linAnswer{ok: true, value: 7}, Return: 5},
	}
	if porcupine.CheckOperations(linModel, history) {
		t.Error("the model accepts that two callers take one session; want a violation")
	}
}
