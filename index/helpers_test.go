package index

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// A failer is what the helpers need of a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// push links one node per item, each under a lock of its own, and returns the nodes.
func push(x *Index[int], digest uint64, partial string, items ...int) []*Node[int] {
	var nodes []*Node[int]
	for _, item := range items {
		n := &Node[int]{Item: item}
		g := x.Lock(digest, partial)
		g.PushNewest(n)
		x.Unlock(g)
		nodes = append(nodes, n)
	}
	return nodes
}

// lockForUpdate locks the group of a node, or its successor's where it has left the map.
func lockForUpdate[T any](x *Index[T], old *Node[T]) *Group[T] {
	g := x.LockOf(old)
	if g.mu.mapped {
		return g
	}
	x.Unlock(g)
	return x.Lock(g.Digest(), g.Partial())
}

// remove unlinks a node, under its group's lock, and reports whether it was linked.
func remove[T any](x *Index[T], n *Node[T]) bool {
	g := x.LockOf(n)
	defer x.Unlock(g)
	return g.Unlink(n)
}

// revoke revokes the group of a partial key and returns it; nil if there is none.
func revoke[T any](x *Index[T], digest uint64, partial string) *Group[T] {
	g := x.LockExisting(digest, partial)
	if g != nil {
		x.Revoke(g)
	}
	return g
}

// replace links a node for item in place of old, under one lock, as an update does.
func replace(x *Index[int], old *Node[int], item int) (fresh *Node[int], unlinked bool) {
	fresh = &Node[int]{Item: item}
	g := lockForUpdate(x, old)
	defer x.Unlock(g)
	g.PushNewest(fresh)
	return fresh, g.Unlink(old)
}

// walk returns the items of a group, newest first; none if the group is nil.
func walk(g *Group[int]) []int {
	var items []int
	if g != nil {
		for n := g.Newest(); n != nil; n = n.Next() {
			items = append(items, n.Item)
		}
	}
	return items
}

// wantItems compares what Find leads to.
func wantItems(t failer, x *Index[int], digest uint64, partial string, want ...int) {
	t.Helper()
	if got := walk(x.Find(digest, partial)); !slices.Equal(got, want) {
		t.Fatalf("Find(%q) leads to %v; want %v, newest first", partial, got, want)
	}
}

// wantInvariants fails the test at the first contradiction in the index.
func wantInvariants[T any](t failer, x *Index[T]) {
	t.Helper()
	if err := x.checkInvariants(); err != nil {
		t.Fatalf("%v", err)
	}
}

// goBlocked runs f in a goroutine and returns once f waits for a mutex inside the index, so
// that the test knows what f has already read. It returns a channel that closes after f.
func goBlocked(t *testing.T, f func()) (done chan struct{}) {
	t.Helper()
	before := waitingForMutex()
	done = make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for patience := time.Now().Add(10 * time.Second); waitingForMutex() <= before; runtime.Gosched() {
		if time.Now().After(patience) {
			t.Fatal("a call that the held lock must stop has not stopped within 10 s")
		}
	}
	return done
}

// waitingForMutex counts the goroutines that wait for a mutex in a function of this package.
func waitingForMutex() int {
	buf := make([]byte, 1<<20)
	stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	return len(slices.DeleteFunc(stacks, func(stack string) bool {
		return !strings.Contains(stack, "[sync.Mutex.Lock") || !strings.Contains(stack, "/index.(*")
	}))
}

// wait fails the test if done does not close: something holds a lock that it must not.
func wait(t *testing.T, done chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s is still waiting after 10 s", what)
	}
}

// run is goBlocked and wait for calls that must not be stopped by any lock.
func run(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	wait(t, done, what)
}

// mix is a digest that is as good as a random one (splitmix64).
func mix(v uint64) uint64 {
	v += 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}

// partialKey returns the i-th of many partial keys.
func partialKey(i int) string { return fmt.Sprintf("host-%d.example:443", i) }
