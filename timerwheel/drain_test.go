package timerwheel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// halfDrained returns a Wheel that has opened the bucket of slots 0 to 9, deadlines 70 to 79, with one of
// them handed out, at 74: four more are due and five are not.
func halfDrained(t *testing.T) (w *Wheel, first uint32) {
	t.Helper()
	w = New(0)
	for slot := range uint32(10) {
		w.Schedule(slot, 70+Tick(slot))
	}
	w.Advance(74)
	budget := 1
	first, ok := w.DueWithin(&budget)
	if !ok || w.nodes[opened].next == opened {
		t.Fatalf("DueWithin = %d, %v; want a slot of an opened bucket, and others left", first, ok)
	}
	checkInvariants(t, w)
	return w, first
}

func TestScheduleAndCancelWhileABucketIsOpen(t *testing.T) {
	w, first := halfDrained(t)
	w.Cancel(8)         // opened, not due
	w.Schedule(9, 5000) // opened, moved later
	w.Schedule(7, 10)   // opened, moved into the past
	w.Schedule(20, 75)  // new, into the range of the opened bucket
	w.Schedule(21, 74)  // new, due now
	w.Schedule(first, 76)
	checkInvariants(t, w)
	want := slices.DeleteFunc([]uint32{0, 1, 2, 3, 4, 7, 21}, func(slot uint32) bool { return slot == first })
	wantDue(t, w, want...)
	w.Advance(75)
	wantDue(t, w, 5, 20)
	w.Advance(4999)
	wantDue(t, w, slices.Sorted(slices.Values([]uint32{6, first}))...)
	w.Advance(5000)
	wantDue(t, w, 9)
}

func TestCancelAllOfAnOpenBucket(t *testing.T) {
	w, _ := halfDrained(t)
	for slot := range uint32(10) {
		w.Cancel(slot)
		checkInvariants(t, w)
	}
	if at, ok := w.Next(); ok || w.Len() != 0 {
		t.Errorf("Next() = %d, %v and Len() = %d after all were cancelled", at, ok, w.Len())
	}
	w.Schedule(1, 75)
	w.Advance(75)
	wantDue(t, w, 1)
}

func TestBudgetEndsAndTheWorkGoesOn(t *testing.T) {
	const slots = 1000
	w := New(0)
	for slot := range uint32(slots) {
		w.Schedule(slot, 4096+Tick(slot)) // one bucket of level 2
	}
	w.Advance(4096 + slots/2 - 1) // half are due, half are only to be filed again
	due, calls := 0, 0
	for at, _ := w.Next(); at <= 4096+slots/2-1; at, _ = w.Next() {
		calls++
		budget := 64
		for slot, ok := w.DueWithin(&budget); ok; slot, ok = w.DueWithin(&budget) {
			if slot >= slots/2 {
				t.Fatalf("slot %d handed out before its deadline", slot)
			}
			due++
		}
		if budget < 0 {
			t.Fatalf("DueWithin left a budget of %d", budget)
		}
		checkInvariants(t, w)
	}
	if want := slots/64 + 1; due != slots/2 || calls != want {
		t.Errorf("%d slots in %d calls; want %d in %d", due, calls, slots/2, want)
	}
	wantNext(t, w, 4096+slots/2)
}

func TestNoBudgetNoWork(t *testing.T) {
	w := New(0)
	w.Schedule(1, 0)
	for _, budget := range []int{0, -1} {
		left := budget
		if slot, ok := w.DueWithin(&left); ok || left != budget {
			t.Errorf("DueWithin(%d) = %d, %v and left %d", budget, slot, ok, left)
		}
	}
	wantNext(t, w, 0)
	wantDue(t, w, 1)
}

func TestASlotMovesOncePerLevelAtMost(t *testing.T) {
	const slots = 500
	rng := rand.New(rand.NewPCG(5, 6))
	w := New(0)
	for slot := range uint32(slots) {
		w.Schedule(slot, 1+Tick(rng.Int64N(1<<rng.IntN(36))))
	}
	spent := 0
	for now := Tick(0); w.Len() > 0; now += 1 + now/8 {
		w.Advance(now)
		budget := math.MaxInt
		for _, ok := w.DueWithin(&budget); ok; _, ok = w.DueWithin(&budget) {
		}
		spent += math.MaxInt - budget
	}
	if most := slots * levels; spent > most {
		t.Errorf("%d slots cost %d moves; want at most %d", slots, spent, most)
	}
}
