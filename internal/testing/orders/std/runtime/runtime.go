// Package runtime stands in for runtime: what the packages under test use of it.
package runtime

import (
	"runtime"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// Gosched lets others go on: a loop that calls it waits for them.
func Gosched() { orders.Yield() }

// GOARCH is runtime.GOARCH.
const GOARCH = runtime.GOARCH

// Stack is runtime.Stack.
func Stack(buf []byte, all bool) int { return runtime.Stack(buf, all) }

// GOMAXPROCS is runtime.GOMAXPROCS.
func GOMAXPROCS(n int) int { return runtime.GOMAXPROCS(n) }
