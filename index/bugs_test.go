package index

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"weak"
)

// The tests of this file stand for bugs that indexes of other caches had. Most use one
// partial key, "a", with digest 1.

// Others' bug: the index entry survived its value.
func TestARemovedNodeAndItsEmptyGroupBecomeGarbage(t *testing.T) {
	x := New[int](1)
	nodes := push(x, 1, "a", 0, 1, 2, 3, 4)
	group := weak.Make(nodes[0].Group())
	var weaks []weak.Pointer[Node[int]]
	for _, n := range nodes {
		weaks = append(weaks, weak.Make(n))
	}
	for _, i := range []int{2, 4, 0, 3, 1} { // middle, newest, oldest, and down to none
		if !remove(x, nodes[i]) {
			t.Fatalf("Remove(node %d) = false; want true", i)
		}
		nodes[i] = nil
		runtime.GC()
		if weaks[i].Value() != nil {
			t.Errorf("node %d is still reachable after its removal; the others are %v", i, walk(x.Find(1, "a")))
		}
	}
	if group.Value() != nil {
		t.Error("the empty group is still reachable")
	}
	runtime.KeepAlive(x)
}

// Others' bug: removing the old entry removed what had replaced it.
func TestRemovingAReplacedNodeKeepsItsReplacement(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(x *Index[int], old *Node[int]) // what happens to old before 2 is pushed
	}{
		{"in the same group", func(x *Index[int], old *Node[int]) { replace(x, old, 1) }},
		{"in the group made after the old one was emptied", func(x *Index[int], old *Node[int]) { remove(x, old) }},
		{"in the group made after the old one was revoked", func(x *Index[int], _ *Node[int]) { revoke(x, 1, "a") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New[int](1)
			old := push(x, 1, "a", 0)[0]
			c.before(x, old)
			push(x, 1, "a", 2)
			want := walk(x.Find(1, "a"))
			for range 2 {
				if remove(x, old) {
					t.Error("Remove(old) = true; want false: it was unlinked before, or is frozen")
				}
				wantItems(t, x, 1, "a", want...)
				wantInvariants(t, x)
			}
		})
	}
}

// Others' bug: an invalidation between "stored" and "indexed" missed the session. Here the
// slot stored stands for the caller's table; it is set while the group is locked.
func TestWhatIsStoredIsIndexedOrRevoked(t *testing.T) {
	x := New[int](1)
	var stored atomic.Pointer[Node[int]]
	var stop atomic.Bool
	updates := make(chan struct{})
	go func() {
		defer close(updates)
		for i := 0; !stop.Load(); i++ {
			n := &Node[int]{Item: i}
			g := x.Lock(1, "a")
			g.PushNewest(n)
			stored.Store(n)
			x.Unlock(g)
		}
	}()
	revocations := make(chan struct{})
	go func() {
		defer close(revocations)
		for !stop.Load() {
			before := stored.Load()
			revoke(x, 1, "a")
			if before != nil && !before.Group().Revoked() {
				t.Errorf("session %d was stored before Revoke, which has missed it", before.Item)
				return
			}
		}
	}()
	for range 20_000 {
		n := stored.Load()
		if n == nil {
			runtime.Gosched()
			continue
		}
		g := x.Find(1, "a")
		if g == n.Group() && reaches(g, n) || n.Group().Revoked() {
			continue
		}
		t.Errorf("session %d is stored; the index has no way to it, and it is not revoked", n.Item)
		break
	}
	stop.Store(true)
	wait(t, updates, "Lock")
	wait(t, revocations, "Revoke")
	if g := x.Find(1, "a"); g != nil {
		wantInvariants(t, x)
	}
}

func reaches(g *Group[int], n *Node[int]) bool {
	for m := g.Newest(); m != nil && m.Item >= n.Item; m = m.Next() {
		if m == n {
			return true
		}
	}
	return false
}

// A group that is out of the map has a successor, so a session could be stored, and seen,
// before the revocation that it survives. Revoke is stopped just before it takes the group out.
func TestAGroupIsRevokedBeforeItsKeyIsFree(t *testing.T) {
	x := New[int](1)
	push(x, 1, "a", 0)
	g, m := x.Find(1, "a"), x.maps[0].Load()
	m.mu.Lock()
	done := goBlocked(t, func() { revoke(x, 1, "a") })
	if x.Find(1, "a") != g || !g.Revoked() {
		t.Errorf("on its way out the group is mapped: %v, revoked: %v; want both", x.Find(1, "a") == g, g.Revoked())
	}
	m.mu.Unlock()
	wait(t, done, "Revoke")
	if x.Find(1, "a") != nil {
		t.Error("the revoked group is still mapped")
	}
}

// Others' bug: an update dropped the entries of other sessions with it.
func TestReplacingANodeKeepsTheOthers(t *testing.T) {
	for _, c := range []struct {
		name string
		at   int // 0 is the oldest
		want []int
	}{
		{name: "the newest", at: 3, want: []int{9, 2, 1, 0}},
		{name: "one in the middle", at: 1, want: []int{9, 3, 2, 0}},
		{name: "the oldest", at: 0, want: []int{9, 3, 2, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New[int](1)
			nodes := push(x, 1, "a", 0, 1, 2, 3)
			push(x, 1, "b", 7)
			if _, unlinked := replace(x, nodes[c.at], 9); !unlinked {
				t.Errorf("Unlink(node %d) = false; want true", c.at)
			}
			wantItems(t, x, 1, "a", c.want...)
			wantItems(t, x, 1, "b", 7)
			wantInvariants(t, x)
		})
	}
	t.Run("the only one", func(t *testing.T) {
		x := New[int](1)
		only := push(x, 1, "a", 0)[0]
		g := x.Find(1, "a")
		replace(x, only, 9)
		wantItems(t, x, 1, "a", 9)
		if got := x.Find(1, "a"); got != g {
			t.Error("the group was made anew; want the same: it was never empty when it was unlocked")
		}
	})
}

// Others' bug: the index had a bound or a lifetime of its own and forgot first.
func TestTheIndexNeverDropsALinkedNode(t *testing.T) {
	x := New[int](1) // far too few
	const groups, inOne = 10_000, 10_000
	for i := range groups {
		push(x, mix(uint64(i)), partialKey(i), i)
	}
	for i := range inOne {
		push(x, mix(0), partialKey(0), i+1)
	}
	runtime.GC()
	if got := x.Len(); got != groups {
		t.Errorf("Len() = %d; want %d", got, groups)
	}
	for i := 1; i < groups; i++ {
		wantItems(t, x, mix(uint64(i)), partialKey(i), i)
	}
	if got := len(walk(x.Find(mix(0), partialKey(0)))); got != inOne+1 {
		t.Errorf("the big group links %d nodes; want %d", got, inOne+1)
	}
	wantInvariants(t, x)
}

// Others' bug: one lock for the whole index. All digests are equal here, so the groups even
// share a bucket.
func TestALockedGroupStopsNobodyElse(t *testing.T) {
	x := New[int](1)
	push(x, 1, "a", 0)
	gone := push(x, 1, "gone", 0)[0]
	push(x, 1, "revoked", 0)
	run(t, "a goroutine that holds the lock of a", func() {
		a := x.Lock(1, "a")
		b := x.Lock(1, "b") // a second one, and new
		a.PushNewest(&Node[int]{Item: 1})
		b.PushNewest(&Node[int]{Item: 2})
		if x.Find(1, "a") != a || x.Find(1, "b") != b {
			t.Error("Find does not return a group that is locked; want it")
		}
		wantItems(t, x, 1, "a", 1, 0)
		wantItems(t, x, 1, "b", 2)
		if !remove(x, gone) || revoke(x, 1, "revoked") == nil {
			t.Error("Remove or Revoke in another group failed")
		}
		for i := range 5000 { // the map grows as well
			push(x, uint64(i), partialKey(i), i)
		}
		seen := 0
		for range x.All {
			seen++
		}
		if got := x.Len(); got != 5002 || seen != got {
			t.Errorf("Len() = %d, All yields %d; want 5002", got, seen)
		}
		x.Unlock(a) // in the order of locking, for once
		x.Unlock(b)
	})
	wantInvariants(t, x)
}

// Others' bug: empty groups were never freed.
func TestAnEmptyGroupVanishes(t *testing.T) {
	for _, c := range []struct {
		name  string
		empty func(x *Index[int], n *Node[int])
	}{
		{"with the removal of its only node", func(x *Index[int], n *Node[int]) { remove(x, n) }},
		{"when it is unlocked after its only node was unlinked", func(x *Index[int], n *Node[int]) {
			g := x.LockOf(n)
			g.Unlink(n)
			x.Unlock(g)
		}},
		{"when it is unlocked after more came and went", func(x *Index[int], n *Node[int]) {
			fresh, _ := replace(x, n, 1)
			remove(x, fresh)
		}},
		{"with its revocation", func(x *Index[int], _ *Node[int]) { revoke(x, 1, "a") }},
		{"when it was revoked and its node is removed", func(x *Index[int], n *Node[int]) {
			revoke(x, 1, "a")
			remove(x, n)
		}},
		{"when it was made anew and nothing was pushed", func(x *Index[int], n *Node[int]) {
			remove(x, n)
			x.Unlock(x.Lock(1, "a"))
			x.Unlock(x.LockOf(n))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New[int](1)
			n := push(x, 1, "a", 0)[0]
			c.empty(x, n)
			if got := x.Find(1, "a"); got != nil {
				t.Errorf("Find = a group with %v; want nil", walk(got))
			}
			if got := x.LockExisting(1, "a"); got != nil {
				t.Fatalf("LockExisting = a group of %d; want nil", got.Len())
			}
			if got := x.Len(); got != 0 {
				t.Errorf("Len() = %d; want 0", got)
			}
			for g := range x.All {
				t.Errorf("All yields %q; want nothing", g.Partial())
			}
			if next := push(x, 1, "a", 5)[0].Group(); next == n.Group() || next.Revoked() {
				t.Error("the next session got the old group; want a new one that is not revoked")
			}
			wantItems(t, x, 1, "a", 5)
			wantInvariants(t, x)
		})
	}
}

// A caller that waits for the lock of a group that then vanishes must not push into it: no walk
// would ever find it.
func TestWhoWaitsForAGroupThatVanishesGetsTheNextOne(t *testing.T) {
	for _, c := range []struct {
		name string
		lock func(x *Index[int], n *Node[int]) *Group[int]
		none bool
	}{
		{"Lock", func(x *Index[int], _ *Node[int]) *Group[int] { return x.Lock(1, "a") }, false},
		{"LockExisting", func(x *Index[int], _ *Node[int]) *Group[int] { return x.LockExisting(1, "a") }, true},
		{"Revoke", func(x *Index[int], _ *Node[int]) *Group[int] { return revoke(x, 1, "a") }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New[int](1)
			n := push(x, 1, "a", 0)[0]
			held := x.LockOf(n)
			var got *Group[int]
			done := goBlocked(t, func() { got = c.lock(x, n) })
			held.Unlink(n)
			x.Unlock(held)
			wait(t, done, c.name)
			if c.none {
				if got != nil {
					t.Fatalf("%s = a group of %d; want nil, since it was emptied", c.name, got.Len())
				}
				return
			}
			if got == held || got != x.Find(1, "a") {
				t.Fatalf("%s = a group that Find does not return; want a new one", c.name)
			}
			got.PushNewest(&Node[int]{Item: 1})
			x.Unlock(got)
			wantItems(t, x, 1, "a", 1)
			wantInvariants(t, x)
		})
	}
}

// The next group may be there, with sessions, before the one who waits wakes up.
func TestWhoWaitsForAGroupThatWasReplacedGetsItsSuccessor(t *testing.T) {
	for _, c := range []struct {
		name string
		lock func(x *Index[int], n *Node[int]) *Group[int]
	}{
		{"Lock", func(x *Index[int], _ *Node[int]) *Group[int] { return x.Lock(1, "a") }},
		{"LockExisting", func(x *Index[int], _ *Node[int]) *Group[int] { return x.LockExisting(1, "a") }},
		{"Revoke", func(x *Index[int], _ *Node[int]) *Group[int] { return revoke(x, 1, "a") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := New[int](1)
			n := push(x, 1, "a", 0)[0]
			held := x.LockOf(n)
			var got *Group[int]
			done := goBlocked(t, func() { got = c.lock(x, n) })
			held.Unlink(n)
			x.unmapLocked(held) // the first half of Unlock
			next := push(x, 1, "a", 1)[0].Group()
			held.mu.Unlock()
			wait(t, done, c.name)
			if got != next {
				t.Fatalf("%s = %p; want %p, the group that is mapped now", c.name, got, next)
			}
			if c.name != "Revoke" {
				x.Unlock(got)
				wantItems(t, x, 1, "a", 1)
			}
			if got.Revoked() != (c.name == "Revoke") {
				t.Errorf("Revoked() = %v after %s", got.Revoked(), c.name)
			}
		})
	}
}

// Others' bug: an update that was under way put its session back into an invalidated group.
func TestAnUpdateUnderWayEndsUpInANewGroupOrIsRevoked(t *testing.T) {
	var survived, revoked int
	for range 60 {
		x := New[int](1)
		old := push(x, 1, "a", 0)[0]
		held := x.LockOf(old)
		fresh := &Node[int]{Item: 1}
		update := func() {
			g := lockForUpdate(x, old)
			g.PushNewest(fresh)
			g.Unlink(old)
			x.Unlock(g)
		}
		var frozen *Group[int]
		calls := []func(){update, func() { frozen = revoke(x, 1, "a") }}
		rand.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
		first := goBlocked(t, calls[0])
		second := goBlocked(t, calls[1])
		x.Unlock(held)
		wait(t, first, "the first of update and Revoke")
		wait(t, second, "the second of update and Revoke")

		if frozen != held || !held.Revoked() {
			t.Fatal("Revoke did not revoke the group it had waited for")
		}
		switch fresh.Group() {
		case held: // came first
			revoked++
			wantItems(t, x, 1, "a")
			if got := walk(frozen); !slices.Equal(got, []int{1}) {
				t.Fatalf("the revoker sweeps %v; want the update's 1", got)
			}
		default: // came second
			survived++
			wantItems(t, x, 1, "a", 1)
			if got := walk(frozen); !slices.Equal(got, []int{0}) {
				t.Fatalf("the revoker sweeps %v; want 0, which the update found", got)
			}
		}
		wantInvariants(t, x)
	}
	if survived == 0 || revoked == 0 {
		t.Errorf("%d updates survived and %d were revoked; want some of both, or this test proves little", survived, revoked)
	}
}

// A revoked group is frozen, whatever is still done to its nodes.
func TestARevokedGroupStaysAsItWas(t *testing.T) {
	x := New[int](1)
	nodes := push(x, 1, "a", 0, 1, 2)
	g := revoke(x, 1, "a")
	want := fmt.Sprint(walk(g))
	for _, n := range nodes {
		if remove(x, n) {
			t.Errorf("Remove(node %d) = true after Revoke; want false", n.Item)
		}
		if fresh, unlinked := replace(x, n, 10+n.Item); unlinked || fresh.Group() == g {
			t.Errorf("an update of session %d worked in the revoked group; want a new one", n.Item)
		}
	}
	if got := fmt.Sprint(walk(g)); got != want || !g.Revoked() {
		t.Errorf("the revoked group links %v, Revoked() = %v; want %v, true", got, g.Revoked(), want)
	}
	wantItems(t, x, 1, "a", 12, 11, 10)
	wantInvariants(t, x)
}
