package tlscache

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A faulty is a Store that can be told to misbehave, in a way of its own for each call.
type faulty struct {
	session.Store
	fault atomic.Pointer[fault]
	calls atomic.Int64
}

// A fault replaces a call. It returns what a Lookup or Take returns.
type fault func(ctx context.Context) ([]byte, error)

// set makes every call fail in one way; nil makes the Store work again.
func (f *faulty) set(how fault) {
	if how == nil {
		f.fault.Store(nil)
	} else {
		f.fault.Store(&how)
	}
}

func (f *faulty) do(ctx context.Context, work func() ([]byte, error)) ([]byte, error) {
	f.calls.Add(1)
	if how := f.fault.Load(); how != nil {
		return (*how)(ctx)
	}
	return work()
}

func (f *faulty) Lookup(ctx context.Context, key session.Key) ([]byte, error) {
	return f.do(ctx, func() ([]byte, error) { return f.Store.Lookup(ctx, key) })
}

func (f *faulty) Take(ctx context.Context, key session.Key) ([]byte, error) {
	return f.do(ctx, func() ([]byte, error) { return f.Store.Take(ctx, key) })
}

func (f *faulty) Update(ctx context.Context, key session.Key, s []byte, ttl time.Duration) error {
	_, err := f.do(ctx, func() ([]byte, error) { return nil, f.Store.Update(ctx, key, s, ttl) })
	return err
}

var errDown = errors.New("store is down")

func down(context.Context) ([]byte, error) { return nil, errDown }

func panics(context.Context) ([]byte, error) { panic("a secret") }

func garbage(context.Context) ([]byte, error) { return []byte("not what was stored"), nil }

func tooSlow(ctx context.Context) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// until returns a fault that ignores its context until a channel is closed.
func until(released <-chan struct{}) fault {
	return func(context.Context) ([]byte, error) {
		<-released
		return nil, errDown
	}
}
