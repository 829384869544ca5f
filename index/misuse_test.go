package index

import (
	"fmt"
	"math"
	"testing"
)

// What a caller gets wrong says what it is, and the numbers where there are any; nothing is half done then.
func TestMisusePanicsAndSaysWhatIsWanted(t *testing.T) {
	group := func() (*Index[int], *Group[int], *Node[int]) {
		x := New[int](1)
		n := push(x, 1, "a", 1)[0]
		return x, n.Group(), n
	}
	for _, tt := range []struct {
		name  string
		wrong func()
		want  string
	}{
		{"less than none", func() { New[int](-1) }, "index: partialKeys is -1; want 0 to 1073741824"},
		{"the least", func() { New[int](math.MinInt) }, fmt.Sprintf("index: partialKeys is %d; want 0 to 1073741824", math.MinInt)},
		{"too many", func() { New[int](1<<30 + 1) }, "index: partialKeys is 1073741825; want 0 to 1073741824"},
		{"the most", func() { New[int](math.MaxInt) }, fmt.Sprintf("index: partialKeys is %d; want 0 to 1073741824", math.MaxInt)},
		{"Find in the zero Index", func() { new(Index[int]).Find(1, "a") }, "index: the zero Index is not usable; call New"},
		{"Lock in the zero Index", func() { new(Index[int]).Lock(1, "a") }, "index: the zero Index is not usable; call New"},
		{"LockExisting in the zero Index", func() { new(Index[int]).LockExisting(1, "a") }, "index: the zero Index is not usable; call New"},
		{"a node that was never linked", func() { x, _, _ := group(); x.LockOf(&Node[int]{}) }, "index: LockOf of a node that was never linked"},
		{"a node twice", func() {
			_, g, n := group()
			g.PushNewest(n)
		}, "index: a node is linked at most once; readers may still stand on it"},
		{"a group that has gone", func() {
			x, g, n := group()
			x.LockOf(n)
			g.Unlink(n)
			x.Unlock(g)
			g.PushNewest(&Node[int]{})
		}, "index: a node is linked into a group that has left the map; no lookup would find it"},
		{"a group twice revoked", func() {
			x, g, n := group()
			x.LockOf(n)
			x.Revoke(g)
			x.LockOf(n)
			x.Revoke(g)
		}, "index: Revoke of a group that has left the map; want one that Lock or LockExisting has returned"},
		{"a linked node retired", func() { _, g, n := group(); g.Retire(n) },
			"index: Retire of a node that is linked, or never was; want one that Unlink or Replace has unlinked"},
		{"a walk that never began", func() { _, g, _ := group(); g.Leave() }, "index: Leave without Enter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				if got := recover(); got != tt.want {
					t.Errorf("panics with %v; want %s", got, tt.want)
				}
			}()
			tt.wrong()
		})
	}
	if x := new(Index[int]); x.Len() != 0 {
		t.Error("the zero Index is not empty")
	}
}
