// Package sync stands in for sync: what the packages under test use of it.
package sync

import (
	"sync"
	"unsafe"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// Locker is sync.Locker.
type Locker = sync.Locker

// A Mutex is sync.Mutex.
type Mutex struct {
	held bool
	_    [7]byte
}

type gate Mutex

// Open reports whether the mutex is free.
func (g *gate) Open() bool { return !g.held }

// Lock locks.
func (m *Mutex) Lock() {
	orders.BeforeWaiting(orders.Lock, unsafe.Pointer(m), (*gate)(m))
	m.held = true
}

// Unlock unlocks.
func (m *Mutex) Unlock() {
	orders.Before(orders.Unlock, unsafe.Pointer(m))
	if !m.held {
		panic("sync: unlock of unlocked mutex")
	}
	m.held = false
}

// A Cond is sync.Cond.
type Cond struct {
	L       Locker
	waiters []*waiter
}

type waiter struct{ woken bool }

// Open reports whether the waiter was signalled.
func (w *waiter) Open() bool { return w.woken }

// Wait waits for a Broadcast.
func (c *Cond) Wait() {
	w := &waiter{}
	orders.Before(orders.Write, unsafe.Pointer(c))
	c.waiters = append(c.waiters, w)
	c.L.Unlock()
	orders.BeforeWaiting(orders.Wake, unsafe.Pointer(c), w)
	c.L.Lock()
}

// Broadcast wakes all waiters.
func (c *Cond) Broadcast() {
	orders.Before(orders.Write, unsafe.Pointer(c))
	for _, w := range c.waiters {
		w.woken = true
	}
	c.waiters = nil
}

// A Pool is sync.Pool of one processor, which forgets nothing.
type Pool struct {
	New  func() any
	free []any
}

// Get returns what was put last, or something new.
func (p *Pool) Get() any {
	if n := len(p.free); n > 0 {
		x := p.free[n-1]
		p.free = p.free[:n-1]
		return x
	}
	return p.New()
}

// Put gives something back.
func (p *Pool) Put(x any) { p.free = append(p.free, x) }
