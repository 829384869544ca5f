package eviction

import (
	"slices"
	"testing"
)

// Sessions of a snapshot are restored newest first, and go before those that were stored since.
func TestRestoredGoBeforeOthersOldestFirst(t *testing.T) {
	var p Policy
	p.Reserve(16)
	p.Insert(0, 100, false)
	for _, slot := range []uint32{1, 2, 3} {
		p.Restore(slot, Newcomer)
	}
	p.Restore(4, Demoted)
	p.Restore(5, Demoted)
	p.Restore(6, Returning)
	if err := p.Check(7); err != nil {
		t.Fatal(err)
	}
	for slot, want := range map[uint32]Standing{0: Newcomer, 3: Newcomer, 4: Demoted, 6: Returning} {
		if got := p.Standing(slot); got != want {
			t.Errorf("Standing(%d) = %d; want %d", slot, got, want)
		}
	}
	var victims []uint32
	for range 6 {
		var hand Hand
		hand.Begin(&p, NoSlot)
		for hand.Looks() {
			hand.Saw(0)
		}
		victims = append(victims, hand.Slot())
		p.Remove(hand.Slot())
	}
	if want := []uint32{5, 4, 3, 2, 1, 0}; !slices.Equal(victims, want) {
		t.Errorf("victims: %v; want %v", victims, want)
	}
	if err := p.Check(1); err != nil {
		t.Error(err)
	}
}

func TestAddOldestIsTheNextToGo(t *testing.T) {
	var l List
	for slot := range uint32(3) {
		l.AddOldest(slot, 4)
	}
	l.Add(3, 4)
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []uint32{2, 1, 0, 3} {
		if got := l.Oldest(NoSlot); got != want {
			t.Fatalf("Oldest() = %d; want %d", got, want)
		}
		l.Remove(want)
	}
}
