package index

import (
	"strings"
	"testing"
	"unsafe"
)

func TestSessionsAreWalkedNewestFirst(t *testing.T) {
	x := New[int](1)
	nodes := push(x, 1, "a", 0, 1, 2)
	wantItems(t, x, 1, "a", 2, 1, 0)
	g := x.LockExisting(1, "a")
	defer x.Unlock(g)
	if g.Newest() != nodes[2] || g.Oldest() != nodes[0] || g.Len() != 3 {
		t.Errorf("Newest() = %p, Oldest() = %p, Len() = %d; want %p, %p, 3", g.Newest(), g.Oldest(), g.Len(), nodes[2], nodes[0])
	}
	if g.Digest() != 1 || g.Partial() != "a" || g.Revoked() {
		t.Errorf("Digest() = %d, Partial() = %q, Revoked() = %v; want 1, a, false", g.Digest(), g.Partial(), g.Revoked())
	}
}

func TestANodeIsLinkedAtMostOnceInItsLife(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(x *Index[int], n *Node[int])
		again  string // the partial key of the second PushNewest
	}{
		{"while it is linked", func(*Index[int], *Node[int]) {}, "a"},
		{"while it is linked elsewhere", func(*Index[int], *Node[int]) {}, "b"},
		{"after its removal", func(x *Index[int], n *Node[int]) { remove(x, n) }, "a"},
		{"after its revocation", func(x *Index[int], _ *Node[int]) { revoke(x, 1, "a") }, "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New[int](1)
			n := push(x, 1, "a", 0)[0]
			c.before(x, n)
			g := x.Lock(1, c.again)
			defer x.Unlock(g)
			defer func() {
				if recover() == nil {
					t.Error("PushNewest accepted the node; want a panic")
				}
			}()
			g.PushNewest(n)
		})
	}
}

func TestAGroupThatLeftTheMapTakesNoNode(t *testing.T) {
	for name, leave := range map[string]func(x *Index[int], n *Node[int]){
		"emptied": func(x *Index[int], n *Node[int]) { remove(x, n) },
		"revoked": func(x *Index[int], _ *Node[int]) { revoke(x, 1, "a") },
	} {
		t.Run(name, func(t *testing.T) {
			x := New[int](1)
			n := push(x, 1, "a", 0)[0]
			leave(x, n)
			g := x.LockOf(n)
			defer x.Unlock(g)
			defer func() {
				if recover() == nil {
					t.Error("PushNewest accepted a node that nobody would find; want a panic")
				}
			}()
			g.PushNewest(&Node[int]{Item: 1})
		})
	}
}

func TestUnlinkLeavesForeignNodesAlone(t *testing.T) {
	x := New[int](1)
	mine := push(x, 1, "a", 0, 1)
	foreign := push(x, 1, "b", 7)[0]
	g := x.Lock(1, "a")
	for _, c := range []struct {
		name string
		node *Node[int]
		want bool
	}{
		{"never linked", &Node[int]{}, false},
		{"linked in another group", foreign, false},
		{"linked here", mine[0], true},
		{"unlinked before", mine[0], false},
	} {
		if got := g.Unlink(c.node); got != c.want {
			t.Errorf("Unlink of a node %s = %v; want %v", c.name, got, c.want)
		}
	}
	x.Unlock(g)
	wantItems(t, x, 1, "a", 1)
	wantItems(t, x, 1, "b", 7)
	wantInvariants(t, x)
}

func TestAnyPartialKeyIsKeptAsACopy(t *testing.T) {
	for _, partial := range []string{
		"", "\x00", "\x00\x00", "host:443",
		strings.Repeat("x", inlinePartial-1), strings.Repeat("x", inlinePartial), strings.Repeat("x", inlinePartial+1),
		strings.Repeat("\xff", 1<<16),
	} {
		x := New[int](1)
		callers := []byte(partial)
		g := x.Lock(1, unsafe.String(unsafe.SliceData(callers), len(callers)))
		g.PushNewest(&Node[int]{Item: 3})
		x.Unlock(g)
		for i := range callers {
			callers[i]++ // the caller reuses its buffer
		}
		if got := g.Partial(); got != partial {
			t.Errorf("Partial() = %.40q of %d bytes; want %.40q of %d", got, len(got), partial, len(partial))
		}
		wantItems(t, x, 1, partial, 3)
		wantItems(t, x, 1, partial+"\x00")
		wantInvariants(t, x)
	}
}

func TestAllStopsWhenItIsTold(t *testing.T) {
	x := New[int](1 << 16) // several maps
	for i := range 100 {
		push(x, mix(uint64(i)), partialKey(i), i)
	}
	for stopAt := 1; stopAt <= 100; stopAt++ {
		seen := map[string]bool{}
		for g := range x.All {
			seen[g.Partial()] = true
			if len(seen) == stopAt {
				break
			}
		}
		if len(seen) != stopAt {
			t.Fatalf("All yields %d different groups before the %d-th; want all", len(seen), stopAt)
		}
	}
}

// The body of All may do what it likes: no lock is held over it.
func TestTheBodyOfAllMayChangeTheIndex(t *testing.T) {
	x := New[int](1)
	for i := range 100 {
		push(x, 7, partialKey(i), i) // one bucket
	}
	run(t, "All", func() {
		for g := range x.All {
			push(x, 7, g.Partial()+"/new", 1)
			remove(x, g.Newest())
		}
	})
	if got := x.Len(); got != 100 {
		t.Errorf("Len() = %d; want 100", got)
	}
	wantInvariants(t, x)
}

// A reader that stands on the oldest node walks on to one that is linked behind it.
func TestAWalkComesToWhatIsPushedBehindIt(t *testing.T) {
	x := New[int](0)
	n := push(x, 1, "p", 1)[0]
	g := x.LockOf(n)
	g.PushOldest(&Node[int]{Item: 0})
	x.Unlock(g)
	if older := n.Next(); older == nil || older.Item != 0 {
		t.Errorf("the node behind the oldest is %v; want the one that was pushed", older)
	}
	wantInvariants(t, x)
}
