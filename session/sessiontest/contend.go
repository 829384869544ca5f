package sessiontest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// contend has callers do their work over and over, all at once, until they have met often enough.
// Work returns false to end it all. They have threads of their own meanwhile, where there is one processor, too:
// the system takes it from a thread sooner, and at more places, than the runtime takes it from a goroutine.
func (t *tester) contend(callers int, how time.Duration, work func(g int) bool) {
	threads.widen()
	defer threads.narrow()
	const (
		turns  = 100   // from one caller to another, at least; some fall between two steps
		rounds = 20000 // where the machine is busy, time alone says little; a slow Store need not do as many
	)
	var last, changes, done atomic.Int64
	var ended atomic.Bool
	began, beganHere := t.watch.elapsed(), time.Now()
	together(callers, func(g int) {
		for !ended.Load() {
			if !work(g) || t.ctx.Err() != nil {
				ended.Store(true)
			}
			if last.Swap(int64(g)) != int64(g) {
				changes.Add(1)
			}
			took := t.watch.elapsed() - began
			enough := changes.Load() >= turns && (done.Add(1) >= rounds || took >= 4*how)
			if took >= how && (enough || took >= 10*how) || time.Since(beganHere) > 10*time.Second {
				ended.Store(true)
			}
		}
	})
}

// threads lets goroutines run on a few threads at least while anybody needs that.
var threads threadCount

type threadCount struct {
	mu     sync.Mutex
	users  int
	before int
}

const minThreads = 4

func (c *threadCount) widen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users++; c.users == 1 {
		if c.before = runtime.GOMAXPROCS(0); c.before < minThreads {
			runtime.GOMAXPROCS(minThreads)
		}
	}
}

func (c *threadCount) narrow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users--; c.users == 0 && c.before < minThreads {
		runtime.GOMAXPROCS(c.before)
	}
}

// A ledger numbers the sessions that contending callers store, and knows who got which.
type ledger struct {
	mu     sync.Mutex
	stored uint64
	taken  map[uint64]bool
	failed bool
}

// next returns a session that was never stored before, of some size.
func (l *ledger) next(size int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored++
	return binary.BigEndian.AppendUint64(make([]byte, 0, size), l.stored)[:size]
}

// take notes that a session was handed out and reports whether that was the first time.
func (l *ledger) take(s []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(s) < 8 {
		return false
	}
	n := binary.BigEndian.Uint64(s)
	again := l.taken[n]
	l.taken[n] = true
	l.failed = l.failed || again
	return !again
}

// fought has callers fight for the sessions of some keys, all of one partial key: who takes one
// stores another one in its place. Each must be handed out once, and none may be lost.
func (t *tester) fought(call string, keys []session.Key, size int, take func() (session.Key, []byte, error)) {
	l := &ledger{taken: map[uint64]bool{}}
	for _, k := range keys {
		t.update(k, string(l.next(size)), ttl)
	}
	t.contend(8, t.contention/2, func(int) bool {
		k, s, err := take()
		if errors.Is(err, session.ErrNotFound) {
			runtime.Gosched() // another has it in its hands
			return true
		}
		if err == nil && !l.take(s) {
			t.Errorf("%s handed out a session twice, or one that was never stored", call)
			return false
		}
		if err == nil {
			err = t.store.Update(t.ctx, k, l.next(size), ttl)
		}
		if err != nil && t.ctx.Err() == nil {
			t.Errorf("%s, or the Update after it, = %v; want nil or session.ErrNotFound", call, err)
		}
		return err == nil
	})
	if t.ctx.Err() != nil || l.failed || t.Failed() {
		return
	}
	for _, k := range keys {
		if s, err := t.store.Lookup(t.ctx, k); err != nil || !l.take(s) {
			t.Errorf("Lookup(%s) = %v after the last Update; want the session that nobody took: %s removed another than it returned",
				show(k), err, call)
		}
	}
	if len(l.taken) != int(l.stored) {
		t.Errorf("%d sessions were stored, %d handed out or left; want as many: %s removed another than it returned",
			l.stored, len(l.taken), call)
	}
}

// takeFought: what is heavy makes calls long, so that they are interrupted more often within the
// Store than without.
func takeFought(t *tester) {
	heavy := session.Key{Partial: "host", ID: strings.Repeat("k", 64<<10)}
	for _, k := range []session.Key{key("host", 1), heavy} {
		t.fought("Take", []session.Key{k}, session.DefaultMaxSessionSize, func() (session.Key, []byte, error) {
			s, err := t.store.Take(t.ctx, k)
			return k, s, err
		})
	}
}

func takeNewestFought(t *tester, s session.Indexed) {
	keys := []session.Key{key("host", 1), key("host", 2)}
	for n := range keys {
		t.fought("TakeNewest", keys[:n+1], session.DefaultMaxSessionSize, func() (session.Key, []byte, error) {
			e, err := s.TakeNewest(t.ctx, "host", false)
			return e.Key, e.Session, err
		})
		if _, err := s.DeletePartial(t.ctx, "host"); err != nil {
			t.Errorf("DeletePartial() = %v; want nil", err)
		}
	}
}

// takeLocalFought is takeFought through the other door.
func takeLocalFought(t *tester, s session.Local) {
	k := key("host", 1)
	t.fought("TakeLocal", []session.Key{k}, session.DefaultMaxSessionSize, func() (session.Key, []byte, error) {
		item, err := s.TakeLocal(k)
		return k, item.Bytes, err
	})
}

// ownersKeep: each caller has a key that only it writes to. What the others do to theirs must not
// undo it, as a Store does that reads, changes and writes more than one session.
func ownersKeep(t *tester) {
	const callers = 8
	indexed, _ := t.store.(session.Indexed)
	var rounds [callers]int
	t.contend(callers, t.contention/2, func(g int) bool {
		k := key("host", g)
		rounds[g]++
		want := fmt.Sprint(g, " ", rounds[g])
		if err := t.store.Update(t.ctx, k, []byte(want), ttl); err != nil {
			return t.unexpectedHere("Update", err)
		}
		if got, err := t.store.Lookup(t.ctx, k); string(got) != want || err != nil {
			return t.unexpectedHere(fmt.Sprintf("Lookup of what nobody else stores, %q,", want), errors.Join(err, fmt.Errorf("got %s", brief(string(got)))))
		}
		if indexed != nil && rounds[g]%8 == 1 {
			all, err := indexed.SelectSession(t.ctx, "host", 0)
			if err != nil || !slices.Contains(sessions(all), want) {
				return t.unexpectedHere("SelectSession, which lacks a session that nobody removed,", err)
			}
		}
		if rounds[g]%4 != 0 {
			return true
		}
		if err := t.store.Delete(t.ctx, k); err != nil {
			return t.unexpectedHere("Delete", err)
		}
		if got, err := t.store.Lookup(t.ctx, k); !errors.Is(err, session.ErrNotFound) {
			return t.unexpectedHere("Lookup of what was deleted and only its caller stores, "+brief(string(got)), err)
		}
		return true
	})
}

// unexpectedHere reports a fault, unless the time of the check is over.
func (t *tester) unexpectedHere(what string, err error) bool {
	if t.ctx.Err() == nil {
		t.Errorf("%s = %v, with others writing to other keys; want what this caller did last", what, err)
	}
	return false
}
