// Package atomic stands in for sync/atomic: the same types, which stop before each operation. They are
// laid out as those are. No operation is atomic by itself: one thread runs at a time.
package atomic

import (
	"unsafe"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

type number interface {
	~int32 | ~int64 | ~uint32 | ~uint64
}

type cell[T comparable] struct{ v T }

// Load loads.
func (c *cell[T]) Load() T {
	orders.Before(orders.Read, unsafe.Pointer(c))
	return c.v
}

// Store stores.
func (c *cell[T]) Store(v T) {
	orders.Before(orders.Write, unsafe.Pointer(c))
	c.v = v
}

// Swap stores and returns what was there.
func (c *cell[T]) Swap(v T) T {
	orders.Before(orders.Write, unsafe.Pointer(c))
	old := c.v
	c.v = v
	return old
}

// CompareAndSwap stores new where old is, and reports whether it was.
func (c *cell[T]) CompareAndSwap(old, new T) bool {
	orders.Before(orders.Write, unsafe.Pointer(c))
	if c.v != old {
		return false
	}
	c.v = new
	return true
}

type counter[T number] struct{ cell[T] }

// Add adds and returns the sum.
func (c *counter[T]) Add(delta T) T {
	orders.Before(orders.Write, unsafe.Pointer(c))
	c.v += delta
	return c.v
}

// Or sets bits and returns what was there.
func (c *counter[T]) Or(mask T) T {
	orders.Before(orders.Write, unsafe.Pointer(c))
	old := c.v
	c.v |= mask
	return old
}

// Int32 is atomic.Int32.
type Int32 struct{ counter[int32] }

// Int64 is atomic.Int64.
type Int64 struct{ counter[int64] }

// Uint32 is atomic.Uint32.
type Uint32 struct{ counter[uint32] }

// Uint64 is atomic.Uint64.
type Uint64 struct{ counter[uint64] }

// Bool is atomic.Bool.
type Bool struct{ cell[bool] }

// Pointer is atomic.Pointer.
type Pointer[T any] struct{ cell[*T] }
