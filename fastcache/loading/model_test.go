package loading_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/fastcache/loading"
)

// Random operations, with loads that end in any order and waiters that leave, answer as a plain reference does. Time
// is virtual, and after each operation everything comes to rest.
func TestRandomOperationsAnswerAsTheReference(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ops := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 4, 4), 10, 120).Draw(rt, "ops")
		cfg := loading.Config{
			NegativeTTL:  rapid.SampledFrom([]time.Duration{0, 20 * time.Minute}).Draw(rt, "NegativeTTL"),
			RefreshAhead: rapid.SampledFrom([]time.Duration{0, 16 * time.Minute}).Draw(rt, "RefreshAhead"),
		}
		var err error
		synctest.Test(t, func(t *testing.T) { err = runModel(cfg, ops) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

const modelKeys = 2

// A pending is a load that waits for the test to say what it returns. It does not look at its context.
type pending struct {
	key    int
	result chan answer // value, err
	ttl    time.Duration
	flight *refFlight
}

// A bench runs the operations on the Cache and on the reference.
type bench struct {
	cfg     loading.Config
	cache   *fastcache.Cache[int]
	c       *loading.Cache[int]
	loads   []*pending // that have begun and have not returned
	waiters []*refWaiter
	values  int
	ref     reference
}

// A reference says what is so, in the plainest way.
type reference struct {
	sessions [modelKeys]refSession
	flights  [modelKeys]*refFlight // that may be joined
	kept     [modelKeys]refError
}

type refSession struct {
	value int // 0: none
	until time.Time
}

type refError struct {
	err   error // nil: a refresh has failed, Get returns nothing of it
	until time.Time
}

type refFlight struct {
	key     int
	held    bool // nothing has overtaken it
	refresh bool
	until   time.Time // when a refresh is given up
	waiters int       // a refresh is one
}

type refWaiter struct {
	cancel context.CancelFunc
	got    <-chan answer
	flight *refFlight
}

func runModel(cfg loading.Config, ops [][]byte) (err error) {
	b := &bench{cfg: cfg}
	b.cache, _ = fastcache.New(fastcache.Config[int]{TTL: time.Hour})
	b.c, _ = loading.New(b.cache, b.load, cfg)
	defer func() {
		for _, l := range b.loads {
			l.result <- answer{}
		}
		b.c.Close()
		b.cache.Close()
	}()
	for i, op := range ops {
		if err := b.step(op); err != nil {
			return fmt.Errorf("operation %d, %v of %+v: %w", i, op, cfg, err)
		}
		if err := b.compare(); err != nil {
			return fmt.Errorf("after operation %d, %v of %+v: %w", i, op, cfg, err)
		}
	}
	return nil
}

func (b *bench) load(_ context.Context, k fastcache.Key) (int, time.Duration, error) {
	p := &pending{key: int(k.ID[0] - '0'), result: make(chan answer)}
	b.loads = append(b.loads, p) // all else is at rest
	a := <-p.result
	return a.value, p.ttl, a.err
}

// step runs one operation on both.
func (b *bench) step(op []byte) error {
	k, ref := int(op[1])%modelKeys, &b.ref
	ttl := []time.Duration{0, time.Minute, 30 * time.Minute, 2 * time.Hour}[op[2]%4]
	switch op[0] % 12 {
	case 0, 1, 2:
		return b.get(k)
	case 3, 4:
		return b.answer(int(op[1]), ttl, op[3]%3 == 0)
	case 5:
		return b.leave(int(op[1]))
	case 6:
		b.cache.Delete(key(k))
		ref.remove(k)
	case 7:
		b.cache.DeletePartial(key(k).Partial)
		for k := range modelKeys {
			ref.remove(k)
		}
	case 8:
		b.values++
		if ttl == 0 {
			ttl = time.Hour
		}
		b.cache.UpdateTTL(key(k), b.values, ttl)
		ref.store(k, b.values, ttl)
	case 9:
		v, _ := b.cache.Take(key(k))
		if want := ref.sessions[k].value; v != want {
			return fmt.Errorf("Take = %d; want %d", v, want)
		}
		ref.remove(k)
	default:
		const tick = 20 * time.Millisecond // so that what is over has left memory, too
		time.Sleep([]time.Duration{time.Minute, 2 * time.Minute, 15 * time.Minute, 50 * time.Minute}[op[1]%4] + tick)
		synctest.Wait()
		b.expire()
	}
	return nil
}

// remove is any removal of a key.
func (r *reference) remove(k int) {
	r.sessions[k], r.kept[k] = refSession{}, refError{}
	if f := r.flights[k]; f != nil {
		f.held = false
	}
	r.flights[k] = nil
}

func (r *reference) store(k, value int, ttl time.Duration) {
	r.remove(k)
	r.sessions[k] = refSession{value, time.Now().Add(ttl)}
}

// expire ends what is over.
func (b *bench) expire() {
	now := time.Now()
	for k := range modelKeys {
		if !now.Before(b.ref.sessions[k].until) {
			b.ref.sessions[k] = refSession{}
		}
		if !now.Before(b.ref.kept[k].until) {
			b.ref.kept[k] = refError{}
		}
	}
	for _, l := range b.loads {
		if f := l.flight; f.refresh && !now.Before(f.until) {
			f.refresh = false
			b.ref.leave(f)
		}
	}
}

// leave is one who gives up waiting.
func (r *reference) leave(f *refFlight) {
	if f.waiters--; f.waiters > 0 {
		return
	}
	f.held = false
	if r.flights[f.key] == f {
		r.flights[f.key] = nil
	}
}

// begin is a load that must have begun.
func (b *bench) begin(k int, f *refFlight) error {
	for _, l := range b.loads {
		if l.flight == nil && l.key == k {
			l.flight, b.ref.flights[k] = f, f
			return nil
		}
	}
	return errors.New("no load has begun; want one")
}

// get calls Get, which returns at once or waits.
func (b *bench) get(k int) error {
	waits, cancel := context.WithCancel(ctx)
	w := &refWaiter{cancel: cancel, got: ask(waits, b.c, key(k))}
	synctest.Wait()
	s, e := b.ref.sessions[k], b.ref.kept[k]
	if s.value == 0 && e.err == nil { // it waits
		if w.flight = b.ref.flights[k]; w.flight == nil {
			w.flight = &refFlight{key: k, held: true}
			if err := b.begin(k, w.flight); err != nil {
				return err
			}
		}
		w.flight.waiters++
		b.waiters = append(b.waiters, w)
		return nil
	}
	defer cancel()
	want := answer{s.value, nil}
	if s.value == 0 {
		want.err = e.err
	}
	if err := w.gets(want); err != nil {
		return err
	}
	isDue := s.value != 0 && b.cfg.RefreshAhead > 0 && time.Until(s.until) <= b.cfg.RefreshAhead
	if isDue && b.ref.flights[k] == nil && e.until.IsZero() {
		return b.begin(k, &refFlight{key: k, held: true, refresh: true, waiters: 1, until: time.Now().Add(b.cfg.RefreshAhead)})
	}
	return nil
}

// gets compares what a Get has returned.
func (w *refWaiter) gets(want answer) error {
	select {
	case got := <-w.got:
		if got != want {
			return fmt.Errorf("Get = %d, %v; want %d, %v", got.value, got.err, want.value, want.err)
		}
	default:
		return fmt.Errorf("Get waits; want %d, %v", want.value, want.err)
	}
	return nil
}

// answer lets a load return a value or an error.
func (b *bench) answer(i int, ttl time.Duration, fails bool) error {
	if len(b.loads) == 0 {
		return nil
	}
	l := b.loads[i%len(b.loads)]
	b.loads = slices.DeleteFunc(b.loads, func(o *pending) bool { return o == l })
	b.values++
	a := answer{value: b.values}
	if fails {
		a = answer{err: errAbsent}
	}
	l.ttl = ttl
	l.result <- a
	synctest.Wait()
	f := l.flight
	b.waiters = slices.DeleteFunc(b.waiters, func(w *refWaiter) bool { return w.flight == nil })
	for _, w := range b.waiters {
		if w.flight == f {
			if err := w.gets(a); err != nil {
				return err
			}
			w.cancel()
			w.flight = nil
		}
	}
	if f.held {
		b.landed(f, a, ttl)
	}
	return nil
}

// landed is a load that nothing has overtaken.
func (b *bench) landed(f *refFlight, a answer, ttl time.Duration) {
	k := f.key
	b.ref.flights[k] = nil
	if a.err == nil {
		if ttl == 0 {
			ttl = time.Hour
		}
		b.ref.store(k, a.value, ttl)
		return
	}
	if ttl == 0 {
		ttl = b.cfg.NegativeTTL
	}
	switch {
	case ttl > 0:
		b.ref.kept[k] = refError{a.err, time.Now().Add(ttl)}
	case f.refresh:
		b.ref.kept[k] = refError{nil, time.Now().Add(b.cfg.RefreshAhead / 8)}
	}
}

// leave cancels the context of one who waits.
func (b *bench) leave(i int) error {
	b.waiters = slices.DeleteFunc(b.waiters, func(w *refWaiter) bool { return w.flight == nil })
	if len(b.waiters) == 0 {
		return nil
	}
	w := b.waiters[i%len(b.waiters)]
	w.cancel()
	synctest.Wait()
	b.ref.leave(w.flight)
	w.flight = nil
	return w.gets(answer{0, context.Canceled})
}

// compare holds the cache and the loads against the reference.
func (b *bench) compare() error {
	synctest.Wait()
	leases := 0
	for k := range modelKeys {
		e, _ := b.cache.Peek(key(k))
		if want := b.ref.sessions[k]; e.Value != want.value || want.value != 0 && !e.Expires.Equal(want.until) {
			return fmt.Errorf("key %d has %d until %v; want %d until %v", k, e.Value, e.Expires, want.value, want.until)
		}
		if b.ref.flights[k] != nil {
			leases++
		}
		if !b.ref.kept[k].until.IsZero() {
			leases++
		}
	}
	for _, l := range b.loads {
		if l.flight == nil {
			return errors.New("a load has begun; want none")
		}
	}
	if n := b.c.Stats().UnderWay; n != len(b.loads) {
		return fmt.Errorf("%d loads are under way; want %d", n, len(b.loads))
	}
	if n := b.cache.Stats().Leases; n != leases {
		return fmt.Errorf("%d leases are held; want %d", n, leases)
	}
	return nil
}
