package eviction_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sessioncache/sessioncache/internal/eviction"
)

// Lists keep their slots apart, each in the order in which they were added.
func TestListsKeepTheirOrder(t *testing.T) {
	const lists, slots = 5, 100
	rng := rand.New(rand.NewPCG(1, 2))
	l, want := eviction.NewLists(lists), make([][]uint32, lists)
	on := map[uint32]int{}
	for step := range 5000 {
		slot := uint32(rng.IntN(slots))
		if list, ok := on[slot]; ok {
			l.Remove(list, slot)
			want[list] = slices.DeleteFunc(want[list], func(s uint32) bool { return s == slot })
			delete(on, slot)
		} else {
			list := rng.IntN(lists)
			l.Add(list, slot, slots)
			want[list], on[slot] = append(want[list], slot), list
		}
		for list, want := range want {
			oldest := eviction.NoSlot
			if len(want) > 0 {
				oldest = want[0]
			}
			got := slices.Collect(l.Slots(list))
			if !slices.Equal(got, want) || l.Len(list) != len(want) || l.Oldest(list) != oldest {
				t.Fatalf("step %d: list %d has %v, %d of them, the oldest %d; want %v", step, list, got, l.Len(list), l.Oldest(list), want)
			}
			if err := l.Check(list, func(slot uint32) bool { return slices.Contains(want, slot) }); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Before anything is evicted, All yields the slots in the order of their Updates, but for demoted ones, which come
// first.
func TestAllYieldsTheOldestFirst(t *testing.T) {
	var p eviction.Policy
	if got := slices.Collect(p.All()); len(got) != 0 {
		t.Errorf("All of an empty Policy yields %v", got)
	}
	p.Reserve(8)
	for slot := range uint32(6) {
		p.Insert(slot, slot<<20, false)
	}
	p.Renew(1)
	p.Demote(4)
	p.Remove(3)
	if got, want := slices.Collect(p.All()), []uint32{4, 0, 2, 5, 1}; !slices.Equal(got, want) {
		t.Errorf("All yields %v; want %v", got, want)
	}
	for slot := range p.All() {
		if slot != 4 {
			t.Errorf("All yields slot %d after the loop has ended", slot)
		}
		break
	}
}
