package index

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// A session comes and another one goes: the oldest, or any. The work is O(1); order=random
// adds what the processor's caches miss in a large group.
func BenchmarkInsertRemove(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"1", 1}, {"1000", 1000}, {"1e6", 1_000_000}} {
		oldest := make([]int, size.n)
		for i := range oldest {
			oldest[i] = i
		}
		b.Run("group="+size.name+"/order=oldest", func(b *testing.B) { insertRemove(b, oldest) })
		random := rand.New(rand.NewPCG(1, 2)).Perm(size.n)
		b.Run("group="+size.name+"/order=random", func(b *testing.B) { insertRemove(b, random) })
	}
}

// insertRemove fills a group with as many sessions as order has, and replaces them in that order.
func insertRemove(b *testing.B, order []int) {
	x := New[int](1)
	linked := push(x, 1, "a", make([]int, len(order))...)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		fresh := &Node[int]{}
		g := x.Lock(1, "a")
		g.PushNewest(fresh)
		x.Unlock(g)
		victim := &linked[order[i]]
		if !remove(x, *victim) {
			b.Fatal("Remove = false; want true")
		}
		*victim = fresh
		if i++; i == len(order) {
			i = 0
		}
	}
	if got := len(walk(x.Find(1, "a"))); got != len(order) {
		b.Fatalf("the group links %d nodes; want %d", got, len(order))
	}
}

// A group comes and goes with its only session.
func BenchmarkNewGroup(b *testing.B) {
	x := New[int](1)
	b.ReportAllocs()
	for b.Loop() {
		n := &Node[int]{}
		g := x.Lock(1, "host-1.example:443")
		g.PushNewest(n)
		x.Unlock(g)
		if !remove(x, n) {
			b.Fatal("Remove = false; want true")
		}
	}
	if got := x.Len(); got != 0 {
		b.Fatalf("Len() = %d; want 0", got)
	}
}

func BenchmarkFind(b *testing.B) {
	for _, groups := range []int{1, 1000, 20480} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			x := New[int](groups)
			type key struct {
				digest  uint64
				partial string
			}
			keys := make([]key, groups)
			for i := range keys {
				keys[i] = key{mix(uint64(i)), partialKey(i)}
				push(x, keys[i].digest, keys[i].partial, i)
			}
			rand.Shuffle(groups, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			i, found := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				if x.Find(keys[i].digest, keys[i].partial) != nil {
					found++
				}
				if i++; i == groups {
					i = 0
				}
			}
			if found != b.N {
				b.Fatalf("Find found %d of %d; want all", found, b.N)
			}
		})
	}
}

func BenchmarkWalk(b *testing.B) {
	const sessions = 10
	b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
		x := New[int](1)
		push(x, 1, "a", make([]int, sessions)...)
		met := 0
		b.ReportAllocs()
		for b.Loop() {
			for n := x.Find(1, "a").Newest(); n != nil; n = n.Next() {
				met++
			}
		}
		if met != b.N*sessions {
			b.Fatalf("%d walks met %d sessions; want %d", b.N, met, b.N*sessions)
		}
	})
}
