package timerwheel

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// takeDue empties the due set and returns it by ascending slot.
func takeDue(t *testing.T, w *Wheel) []uint32 {
	t.Helper()
	var due []uint32
	for slot, ok := w.Due(); ok; slot, ok = w.Due() {
		due = append(due, slot)
		checkInvariants(t, w)
	}
	checkInvariants(t, w)
	slices.Sort(due)
	return due
}

func wantDue(t *testing.T, w *Wheel, want ...uint32) {
	t.Helper()
	if diff := cmp.Diff(want, takeDue(t, w)); diff != "" {
		t.Errorf("due at %d (-want +got):\n%s", w.now.tick(), diff)
	}
}

func wantNext(t *testing.T, w *Wheel, want Tick) {
	t.Helper()
	if got, ok := w.Next(); !ok || got != want {
		t.Errorf("Next() = %d, %v; want %d, true", got, ok, want)
	}
}

// edges are the ticks at which a digit carries, the ends of the ring and of time.
var edges = []Tick{
	1, 2, 62, 63, 64, 65, 127, 128, 4095, 4096, 4097, 1<<18 - 1, 1 << 18, 1<<24 - 1, 1 << 24,
	1<<30 - 1, 1 << 30, Tick(ringSpan) - 1, Tick(ringSpan), Tick(ringSpan) + 1,
	1<<36 - 1, 1 << 36, 1<<36 + 1, 1<<36 + 1<<30, 3<<36 + 5, 1<<40 - 1,
}

// starts put the wheel's hand in every position that was a bug in some wheel.
var starts = []Tick{
	0, 1, 63, 64, 4095, 1<<36 - 1, 1<<36 - 70, 1 << 36, -1, -63, -64, -65, -1 << 30, -1 << 36,
	math.MinInt64, math.MinInt64 + 1, math.MaxInt64 - 1<<41,
}

func TestDueAtItsDeadlineExactlyInOneJump(t *testing.T) {
	for _, start := range starts {
		for _, after := range edges {
			w := New(start)
			w.Schedule(3, start+after)
			checkInvariants(t, w)
			wantNext(t, w, start+min(after, 63<<30))
			w.Advance(start + after - 1)
			wantDue(t, w) // never early
			w.Advance(start + after)
			wantDue(t, w, 3) // and the bucket under the cursor isn't missed
			if _, ok := w.Next(); ok || w.Len() != 0 {
				t.Errorf("start %d, deadline %d ticks later: Next is set or Len() = %d after the only slot was due", start, after, w.Len())
			}
		}
	}
}

func TestDueAtItsDeadlineExactlyBySleeping(t *testing.T) {
	for _, start := range starts {
		for _, after := range edges {
			w := New(start)
			w.Schedule(3, start+after)
			for wakeUps := 1; ; wakeUps++ {
				at, ok := w.Next()
				if !ok || at > start+after || wakeUps > 20 {
					t.Fatalf("start %d, deadline %d: wake-up %d is at %d, %v", start, start+after, wakeUps, at, ok)
				}
				w.Advance(at)
				if at == start+after {
					break
				}
				wantDue(t, w)
			}
			wantDue(t, w, 3)
		}
	}
}

func TestDueAtItsDeadlineExactlyInRandomSteps(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, start := range starts {
		for _, after := range edges {
			w := New(start)
			w.Schedule(3, start+after)
			now := start
			for range 30 {
				now += Tick(rng.Int64N(int64(start + after - now)))
				w.Advance(now)
				wantDue(t, w)
			}
			w.Advance(start + after)
			wantDue(t, w, 3)
		}
	}
}

func TestPastDeadlineIsDueAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name          string
		now, deadline Tick
	}{
		{name: "one tick ago", now: 100, deadline: 99},
		{name: "this very tick", now: 100, deadline: 100},
		{name: "a level ago", now: 100, deadline: 36},
		{name: "long before New", now: 100, deadline: -1 << 40},
		{name: "the smallest tick", now: 0, deadline: math.MinInt64},
		{name: "the smallest tick, from the largest", now: math.MaxInt64, deadline: math.MinInt64},
		{name: "the largest tick, which is now", now: math.MaxInt64, deadline: math.MaxInt64},
		{name: "everything is the smallest tick", now: math.MinInt64, deadline: math.MinInt64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := New(tt.now)
			w.Schedule(0, tt.deadline)
			wantNext(t, w, tt.now)
			if got := maps.Collect(w.All()); got[0] != tt.deadline {
				t.Errorf("All yields %v; want deadline %d as scheduled", got, tt.deadline)
			}
			wantDue(t, w, 0)
		})
	}
}

func TestTheLargestDeadlineNeverWraps(t *testing.T) {
	for _, now := range []Tick{math.MinInt64, -1, 0, 1 << 40, math.MaxInt64 - 1<<36, math.MaxInt64 - 1<<35, math.MaxInt64 - 1<<30, math.MaxInt64 - 64, math.MaxInt64 - 3} {
		w := New(now)
		w.Schedule(1, math.MaxInt64)
		w.Schedule(2, math.MaxInt64-1)
		checkInvariants(t, w)
		w.Advance(math.MaxInt64 - 2)
		wantDue(t, w)
		w.Advance(math.MaxInt64 - 1)
		wantDue(t, w, 2)
		wantNext(t, w, math.MaxInt64)
		w.Advance(math.MaxInt64)
		wantDue(t, w, 1)
		w.Schedule(1, math.MaxInt64)
		wantDue(t, w, 1)
	}
}

func TestDeadlineMovedEarlierCounts(t *testing.T) {
	for _, first := range edges {
		for _, second := range edges {
			w := New(0)
			w.Schedule(5, first)
			w.Schedule(5, second)
			if w.Len() != 1 {
				t.Fatalf("Len() = %d after a re-schedule; want 1", w.Len())
			}
			if at, ok := w.Next(); !ok || at > second {
				t.Errorf("moved from %d to %d: Next() = %d, %v", first, second, at, ok)
			}
			w.Advance(second - 1)
			wantDue(t, w) // the old deadline may have passed
			w.Advance(second)
			wantDue(t, w, 5)
			w.Advance(max(first, second) + 1)
			wantDue(t, w) // once only
		}
	}
}

func TestTheRingTurnsForEver(t *testing.T) {
	now := Tick(-5) << 36
	w := New(now)
	for turn := range 300 {
		far := []Tick{now + Tick(ringSpan) + 1, now + 1<<36 - 1, now + 1<<36, now + 1<<37 + 1}
		for i, deadline := range far {
			w.Schedule(uint32(i), deadline)
		}
		for i, deadline := range far {
			w.Advance(deadline - 1)
			wantDue(t, w)
			w.Advance(deadline)
			wantDue(t, w, uint32(i))
		}
		if now = far[3]; t.Failed() {
			t.Fatalf("in turn %d, at %d", turn, now)
		}
	}
}

func TestBeyondTheRingCostsOneWakeUpATurn(t *testing.T) {
	w := New(0)
	const deadline = 10 << 36
	w.Schedule(0, deadline)
	wakeUps := 0
	for w.Len() > 0 {
		at, _ := w.Next()
		w.Advance(at)
		w.Due()
		wakeUps++
	}
	if want := 11; wakeUps > want {
		t.Errorf("%d wake-ups for a deadline 10 turns ahead; want at most %d", wakeUps, want)
	}
}

func TestClockSetBackChangesNothing(t *testing.T) {
	w := New(0)
	w.Schedule(1, 100)
	w.Schedule(2, 60)
	w.Advance(90)
	w.Advance(50)
	w.Advance(math.MinInt64)
	wantDue(t, w, 2)
	w.Advance(-1)
	w.Schedule(3, 80)
	wantDue(t, w, 3) // 80 is before 90, which stays the present time
	wantNext(t, w, 100)
	w.Advance(100)
	wantDue(t, w, 1)
}

func TestJumpOfYearsSkipsNothing(t *testing.T) {
	const slots = 2000
	year := Tick(math.Round(365 * 24 * 3600 * 1e9 / (1 << 24)))
	rng := rand.New(rand.NewPCG(3, 4))
	w := New(-year)
	for slot := range uint32(slots) {
		w.Schedule(slot, -year+1+Tick(rng.Int64N(int64(5*year))))
	}
	w.Advance(10 * year)
	budget := slots + 1
	due := 0
	for _, ok := w.DueWithin(&budget); ok; _, ok = w.DueWithin(&budget) {
		due++
	}
	checkInvariants(t, w)
	if due != slots || budget != 1 { // what is due already is not cascaded through the levels below
		t.Errorf("%d of %d slots were due and %d of the budget is left; want all, and 1", due, slots, budget)
	}
}

// Slots beyond the ring are filed again when it has turned. A jump over many turns must not
// replay them: over all ticks that would be 2^28 moves of each slot, which is 15 s.
func TestJumpOverManyTurnsMovesASlotOnce(t *testing.T) {
	w := New(math.MinInt64)
	const slots = 10
	for slot := range uint32(slots) {
		w.Schedule(slot, math.MaxInt64-Tick(slot))
	}
	w.Advance(math.MaxInt64 - slots)
	budget := 100
	if slot, ok := w.DueWithin(&budget); ok || budget != 100-slots {
		t.Errorf("DueWithin = %d, %v and %d moves; want none due and %d moves", slot, ok, 100-budget, slots)
	}
	checkInvariants(t, w)
	wantNext(t, w, math.MaxInt64-slots+1)
}

func TestEmptyWheelNeverWakes(t *testing.T) {
	w := New(7)
	check := func(when string) {
		t.Helper()
		if at, ok := w.Next(); ok {
			t.Errorf("%s: Next() = %d, true; want never", when, at)
		}
		if slot, ok := w.Due(); ok {
			t.Errorf("%s: Due() = %d, true; want none", when, slot)
		}
		checkInvariants(t, w)
	}
	check("new")
	w.Advance(1 << 50)
	check("after a jump")
	w.Schedule(9, 1<<51)
	w.Cancel(9)
	check("after a cancel")
	w.Schedule(9, 1<<51)
	w.Advance(1 << 51)
	wantDue(t, w, 9)
	check("after the only slot was due")
}

func TestCancelSaysWhetherTheSlotWasScheduled(t *testing.T) {
	w := New(0)
	cancel := func(slot uint32, want bool) {
		t.Helper()
		if got := w.Cancel(slot); got != want {
			t.Errorf("Cancel(%d) = %v; want %v", slot, got, want)
		}
		checkInvariants(t, w)
	}
	cancel(0, false)
	cancel(math.MaxUint32, false)
	w.Schedule(4, 70) // alone in its bucket: both its neighbours are the head
	cancel(0, false)
	cancel(4, true)
	cancel(4, false)
	w.Schedule(4, -1)
	cancel(4, true) // due but not handed out
	wantDue(t, w)
	w.Schedule(4, 0)
	wantDue(t, w, 4)
	cancel(4, false)
}

// An owner that sleeps from Next to Next is woken for deadlines, not for cascading.
func TestOneWakeUpForAThousandSlotsADayAhead(t *testing.T) {
	const day = Tick(24 * 3600 * 1_000_000_000 >> 24)
	for _, start := range []Tick{0, 12345, -day / 2} {
		w := New(start)
		for slot := range uint32(1000) {
			w.Schedule(slot, start+day)
		}
		wakeUps := 0
		for w.Len() > 0 {
			at, _ := w.Next()
			w.Advance(at)
			takeDue(t, w)
			wakeUps++
		}
		if wakeUps != 1 {
			t.Errorf("from %d: %d wake-ups; want 1", start, wakeUps)
		}
	}
}

func TestNextIsEarlyAfterCancelForOneWakeUpPerLevel(t *testing.T) {
	w := New(0)
	w.Schedule(1, 1<<24)
	w.Schedule(2, 1<<25-1)
	w.Cancel(1)
	wakeUps := 0
	for w.Len() > 0 {
		at, _ := w.Next()
		w.Advance(at)
		takeDue(t, w)
		wakeUps++
	}
	if wakeUps != 2 {
		t.Errorf("%d wake-ups; want 2: one for the cancelled slot, one for the other", wakeUps)
	}
}

func TestAllYieldsEverySlotOnce(t *testing.T) {
	w, first := halfDrained(t)
	w.Schedule(100, math.MaxInt64)
	w.Schedule(101, -5)
	want := map[uint32]Tick{100: math.MaxInt64, 101: -5}
	for slot := range uint32(10) {
		want[slot] = 70 + Tick(slot)
	}
	delete(want, first)
	if diff := cmp.Diff(want, maps.Collect(w.All())); diff != "" {
		t.Errorf("All (-want +got):\n%s", diff)
	}
	for slot := range w.All() {
		w.Cancel(slot)
		if w.Len() == 5 {
			break
		}
	}
	checkInvariants(t, w)
	if w.Len() != 5 {
		t.Errorf("Len() = %d after a loop that cancels until 5 are left", w.Len())
	}
}

func TestSlotTooLargePanicsWithTheNumbers(t *testing.T) {
	defer func() {
		want := fmt.Sprintf("timerwheel: slot is %d; want at most %d", uint32(math.MaxUint32), uint32(1<<32-387))
		if got := recover(); got != want {
			t.Errorf("Schedule panics with %v; want %s", got, want)
		}
	}()
	New(0).Schedule(math.MaxUint32, 1)
}

func TestASlotCosts16Bytes(t *testing.T) {
	if got := unsafe.Sizeof(node{}); got != 16 {
		t.Errorf("a node is %d bytes; want 16", got)
	}
}

func TestTheWheelGrowsToTheLargestSlotAndNoFurther(t *testing.T) {
	w := New(0)
	for _, slot := range []uint32{0, 1, 5, 100, 99, 4000} {
		w.Schedule(slot, 10)
	}
	if got := len(w.nodes); got != 4000+1+firstSlot {
		t.Errorf("%d nodes for slots up to 4000; want %d", got, 4000+1+firstSlot)
	}
}

func TestNoAllocationOnceGrown(t *testing.T) {
	w := New(0)
	w.Schedule(999, 1)
	now := Tick(0)
	allocs := testing.AllocsPerRun(100, func() {
		for slot := range uint32(1000) {
			w.Schedule(slot, now+Tick(slot)*50)
			w.Schedule(slot, now+Tick(slot)*40)
		}
		w.Cancel(500)
		now += 50_000
		w.Advance(now)
		for _, ok := w.Due(); ok; _, ok = w.Due() {
		}
	})
	if allocs != 0 || w.Len() != 0 {
		t.Errorf("%v allocations per run and Len() = %d; want neither", allocs, w.Len())
	}
}

// The zero Wheel has no lists: what would use them says so, the rest finds it empty.
func TestTheZeroWheelSaysSo(t *testing.T) {
	for name, use := range map[string]func(w *Wheel){
		"Schedule":  func(w *Wheel) { w.Schedule(0, 1) },
		"Due":       func(w *Wheel) { w.Due() },
		"DueWithin": func(w *Wheel) { budget := 1; w.DueWithin(&budget) },
		"Peek":      func(w *Wheel) { w.Peek(make([]uint32, 1)) },
		"Next":      func(w *Wheel) { w.Next() },
		"CopyFrom":  func(w *Wheel) { w.CopyFrom(New(0)) },
		"Upcoming": func(w *Wheel) {
			for range w.Upcoming() {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got, want := recover(), "timerwheel: the zero Wheel is not usable; call New"; got != want {
					t.Errorf("panics with %v; want %s", got, want)
				}
			}()
			use(new(Wheel))
		})
	}
	w := new(Wheel)
	w.Advance(1)
	for slot := range w.All() {
		t.Errorf("All yields %d", slot)
	}
	if w.Len() != 0 || w.Cancel(3) {
		t.Errorf("Len() = %d, and Cancel finds something; want an empty Wheel", w.Len())
	}
}

// Every Tick is a good time to begin at and a good deadline, and a budget may be anything.
func TestEveryTickAndEveryBudgetWillDo(t *testing.T) {
	ticks := []Tick{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, math.MaxInt64 - 1, math.MaxInt64}
	for _, now := range ticks {
		for _, deadline := range ticks {
			w := New(now)
			w.Schedule(3, deadline)
			w.Advance(deadline)
			for _, budget := range []int{math.MinInt, -1, 0} {
				if slot, ok := w.DueWithin(&budget); ok {
					t.Errorf("New(%d): DueWithin hands out %d for a budget of %d", now, slot, budget)
				}
			}
			if slot, ok := w.Due(); !ok || slot != 3 {
				t.Errorf("New(%d): Due() = %d, %v at the deadline %d; want 3", now, slot, ok, deadline)
			}
		}
	}
}

// Reserve makes room for as many slots as it says, and no more, and leaves what is scheduled alone.
func TestReserveTakesWhatIsNeeded(t *testing.T) {
	w := New(0)
	w.Schedule(3, 10)
	for _, n := range []int{-1, 0, 100, 1000, 50} {
		w.Reserve(n)
	}
	if got := cap(w.nodes) - firstSlot; got != 1000 {
		t.Errorf("there is room for %d slots; want 1000", got)
	}
	w.Schedule(999, 10)
	w.Advance(10)
	if due := takeDue(t, w); !slices.Equal(due, []uint32{3, 999}) || cap(w.nodes)-firstSlot != 1000 {
		t.Errorf("%v are due; want 3 and 999, in the room that was reserved", due)
	}
	if most := uint64(math.MaxUint32); uint64(math.MaxInt) > most {
		defer func() {
			if got, want := recover(), "timerwheel: n is 4294967295; want at most 4294966910"; got != want {
				t.Errorf("panics with %v; want %s", got, want)
			}
		}()
		w.Reserve(int(most))
	}
}
