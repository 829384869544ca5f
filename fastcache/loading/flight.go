package loading

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// A flight is one load on its way, with those who wait for it. It has a lease of its key. Others join it while the lease is
// held: so none joins a load that a removal has overtaken, one that has stored, or one that was given up.
type flight[V any] struct {
	lease *fastcache.Lease[V]

	ctx    context.Context // of the load
	cancel context.CancelFunc

	waiters int  // under Cache.mu; a refresh is one, until it gives up
	landed  bool // under Cache.mu

	refresh bool // it began as one, and had its slot at once
	giveUp  *time.Timer

	done chan struct{} // closed when what follows is final

	// owner: the flight's goroutine, until it closes done.
	value    V
	err      error
	ttl      time.Duration // for which err is kept
	panicked *PanicError
	kept     error // what storing value came to
}

// A PanicError is what Get panics with when the load that it waited for panicked. All who waited for that load have the same.
type PanicError struct {
	Value any    // what the load panicked with
	Stack []byte // of the goroutine that ran it
}

// Error shows the value and the stack.
func (p *PanicError) Error() string {
	return fmt.Sprintf("loading: the load panicked: %v\n\n%s", p.Value, p.Stack)
}

// Unwrap returns the value if it is an error.
func (p *PanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// join returns the flight of a key, with one more who waits for it; or, without a flight, what Get is to return.
func (c *Cache[V]) join(ctx context.Context, key fastcache.Key) (f *flight[V], value V, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.mu.flights[key]; f != nil && f.lease.Held() {
		f.waiters++
		c.mu.stats.Joined++
		return f, value, nil
	}
	if c.mu.closed {
		return nil, value, ErrClosed
	}
	lease, err := c.cache.Lease(key)
	if err != nil {
		return nil, value, err
	}
	// A flight may have stored, or an Update, since the caller looked. What is stored from now on ends the lease.
	if e, ok := c.cache.Peek(key); ok {
		lease.Release()
		return nil, e.Value, nil
	}
	if err := c.keptError(key); err != nil {
		lease.Release()
		return nil, value, err
	}
	f = c.beginLocked(ctx, lease)
	go c.fly(f)
	return f, value, nil
}

// beginLocked makes a flight for one who waits, in place of one that nobody may join any more.
func (c *Cache[V]) beginLocked(ctx context.Context, lease *fastcache.Lease[V]) *flight[V] {
	f := &flight[V]{lease: lease, waiters: 1, done: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.mu.flights[lease.Key()] = f
	c.mu.stats.UnderWay++
	c.flying.Add(1)
	return f
}

// leave gives up waiting for a flight. The last to leave ends the load, and what it may still return is not kept.
func (c *Cache[V]) leave(f *flight[V]) {
	c.mu.Lock()
	f.waiters--
	abandoned := f.waiters == 0 && !f.landed
	if abandoned {
		c.forgetLocked(f)
	}
	c.mu.Unlock()
	if abandoned {
		f.lease.Release()
		f.cancel()
	}
}

// forgetLocked takes a flight from the map, if no other has taken its place.
func (c *Cache[V]) forgetLocked(f *flight[V]) {
	if key := f.lease.Key(); c.mu.flights[key] == f {
		delete(c.mu.flights, key)
	}
}

// fly runs a load in a goroutine of its own, which each who waits can leave behind.
func (c *Cache[V]) fly(f *flight[V]) {
	defer c.land(f)
	defer f.catch()
	defer context.AfterFunc(c.ending, f.cancel)()
	if !f.refresh && !c.takeSlot(f) {
		f.err = f.ctx.Err()
		return
	}
	defer c.freeSlot()
	f.err = ErrExited // stays, if load calls runtime.Goexit
	value, ttl, err := c.load(f.ctx, f.lease.Key())
	f.value, f.ttl, f.err = value, ttl, err
	switch {
	case err != nil:
		return
	case ttl < 0:
		f.ttl, f.err = 0, fmt.Errorf("%w: the load function returned %v; want more than 0, or 0 for the cache's", fastcache.ErrBadTTL, ttl)
	case ttl == 0:
		f.kept = f.lease.Update(value)
	default:
		f.kept = f.lease.UpdateTTL(value, ttl)
	}
}

// takeSlot waits until fewer than MaxLoads run. False says that nobody waits any more.
func (c *Cache[V]) takeSlot(f *flight[V]) bool {
	if c.slots == nil {
		return true
	}
	select {
	case c.slots <- struct{}{}:
		return true
	case <-f.ctx.Done():
		return false
	}
}

func (c *Cache[V]) freeSlot() {
	if c.slots != nil {
		<-c.slots
	}
}

// catch notes a panic. The end of the goroutine by runtime.Goexit is none, and goes on.
func (f *flight[V]) catch() {
	if r := recover(); r != nil {
		f.panicked = &PanicError{r, debug.Stack()}
	}
}

// land ends a flight, and lets those who wait have what it came to. What it stored, or the error that is kept, is there
// before others can begin the next.
func (c *Cache[V]) land(f *flight[V]) {
	defer c.flying.Done()
	if f.err != nil && c.ending.Err() != nil {
		f.err = ErrClosed
	}
	if !c.keepError(f) {
		f.lease.Release()
		if f.refresh {
			c.forget(f)
		}
	}
	c.mu.Lock()
	f.landed = true
	c.forgetLocked(f)
	c.countLocked(f)
	c.mu.Unlock()
	if f.giveUp != nil {
		f.giveUp.Stop()
	}
	f.cancel()
	close(f.done) // publishes: value, err and panicked
}

// result returns what a flight that has landed came to.
func (f *flight[V]) result() (none V, err error) {
	switch {
	case f.panicked != nil:
		panic(f.panicked)
	case f.err != nil:
		return none, f.err
	}
	return f.value, nil
}

// countLocked counts a flight that lands.
func (c *Cache[V]) countLocked(f *flight[V]) {
	st := &c.mu.stats
	st.Loads++
	st.UnderWay--
	if f.refresh {
		st.Refreshes++
	}
	switch {
	case f.panicked != nil:
		st.Panics++
	case f.err != nil:
		st.Errors++
	case errors.Is(f.kept, fastcache.ErrLeaseLost):
		st.Overtaken++
	case f.kept != nil:
		st.Refused++
	}
}
