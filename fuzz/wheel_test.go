package fuzz

import (
	"cmp"
	"math"
	"slices"
	"testing"

	"github.com/sessioncache/sessioncache/timerwheel"
)

type tick = timerwheel.Tick

// A timer is one scheduled slot of the model.
type timer struct {
	slot     uint32
	deadline tick
	far      bool // scheduled beyond the ring: Next may be early while it waits
}

// A wheelRun is a wheel beside its model: a list of timers sorted by deadline, and a clock.
type wheelRun struct {
	*testing.T
	wheel  *timerwheel.Wheel
	timers []timer
	now    tick

	// disturbed says that a deadline was cancelled or moved since the wheel was last empty. Then
	// Next may be early.
	disturbed bool

	// drained says that Due has returned false at the present time, drainedAt when it last did.
	drained   bool
	drainedAt tick
}

// ring is how far ahead of drainedAt the wheel's top level reaches.
const ring = 63 << 30

// The operations, in an input's first byte of four: kind, slot, distance, offset.
const (
	wheelSchedule = iota
	wheelScheduleRun
	wheelCancel
	wheelAdvance
	wheelSleep
	wheelDue
	wheelDueWithin
	wheelBack
	wheelKinds
)

var starts = []tick{0, 1, -1, 63, 1<<36 - 5, -1 << 36, math.MinInt64, math.MaxInt64 - 5000, math.MaxInt64 - 1<<37, math.MaxInt64, 1<<62 - 3}

// distance returns a span that two bytes stand for: around a power of two (the edges of levels and
// of the ring among them), a multiple of a level's bucket, a handful of ticks, or the ends of time.
func distance(a, b byte) tick {
	small := tick(int8(b))
	switch {
	case a < 64:
		return addTicks(1<<min(a, 62), small)
	case a < 128:
		return tick(a-64) * tick(b)
	case a < 192:
		return tick(b) << (6 * ((a - 128) % 6))
	case a < 250:
		return small
	}
	return []tick{math.MinInt64, math.MinInt64 + 1, math.MaxInt64 - 1, math.MaxInt64, ring + small, ring}[a-250]
}

// addTicks is a + b, or the nearest tick.
func addTicks(a, b tick) tick {
	switch sum := a + b; {
	case b > 0 && sum < a:
		return math.MaxInt64
	case b < 0 && sum > a:
		return math.MinInt64
	default:
		return sum
	}
}

func (r *wheelRun) schedule(slot uint32, deadline tick) {
	r.wheel.Schedule(slot, deadline)
	if r.forget(slot) {
		r.disturbed = true
	}
	r.timers = append(r.timers, timer{slot, deadline, distant(r.drainedAt, deadline)})
	slices.SortFunc(r.timers, func(a, b timer) int {
		return cmp.Or(cmp.Compare(a.deadline, b.deadline), cmp.Compare(a.slot, b.slot))
	})
	r.drained = r.drained && deadline > r.now
}

// distant reports whether a deadline lies beyond the ring. Unsigned, since the span may be 2^64.
func distant(from, deadline tick) bool { return deadline > from && uint64(deadline-from) > ring }

func (r *wheelRun) forget(slot uint32) bool {
	before := len(r.timers)
	r.timers = slices.DeleteFunc(r.timers, func(t timer) bool { return t.slot == slot })
	return len(r.timers) < before
}

func (r *wheelRun) cancel(slot uint32) {
	got, want := r.wheel.Cancel(slot), r.forget(slot)
	if got != want {
		r.Fatalf("Cancel(%d) = %v; want %v", slot, got, want)
	}
	r.disturbed = r.disturbed || want
}

func (r *wheelRun) advance(now tick) {
	r.wheel.Advance(now)
	if now > r.now {
		r.now, r.drained = now, false
	}
}

// take hands out slots until the budget is used up or none is due.
func (r *wheelRun) take(budget int) {
	for {
		before := budget
		slot, ok := r.wheel.DueWithin(&budget)
		if budget < 0 || ok && budget == before {
			r.Fatalf("DueWithin left the budget at %d of %d, having handed out: %v", budget, before, ok)
		}
		if !ok {
			break
		}
		r.handedOut(slot)
	}
	if budget == 0 {
		return // there may be more
	}
	r.drained, r.drainedAt = true, r.now
	if len(r.timers) > 0 && r.timers[0].deadline <= r.now {
		r.Fatalf("none due at %d; want slot %d of %d", r.now, r.timers[0].slot, r.timers[0].deadline)
	}
}

// takePeeked is take, once Due has handed out the slots that Peek shows.
func (r *wheelRun) takePeeked(budget, room int) {
	peeked := make([]uint32, room)
	peeked = peeked[:r.wheel.Peek(peeked)]
	for _, want := range peeked {
		r.check()
		one := 1
		if slot, ok := r.wheel.DueWithin(&one); !ok || slot != want {
			r.Fatalf("Peek = %d; then DueWithin handed out slot %d, %v", peeked, slot, ok)
		}
		r.handedOut(want)
	}
	r.take(budget)
}

func (r *wheelRun) handedOut(slot uint32) {
	i := slices.IndexFunc(r.timers, func(t timer) bool { return t.slot == slot })
	switch {
	case i < 0:
		r.Fatalf("slot %d is handed out at %d; it is not scheduled", slot, r.now)
	case r.timers[i].deadline > r.now:
		r.Fatalf("slot %d of %d is handed out at %d, early", slot, r.timers[i].deadline, r.now)
	}
	r.forget(slot)
}

// check compares what the wheel shows without being changed.
func (r *wheelRun) check() {
	if got := r.wheel.Len(); got != len(r.timers) {
		r.Fatalf("Len = %d; want %d", got, len(r.timers))
	}
	next, ok := r.wheel.Next()
	if len(r.timers) == 0 {
		r.disturbed = false
		if ok {
			r.Fatalf("Next = %d of an empty wheel; want never", next)
		}
		return
	}
	first := r.timers[0].deadline
	switch exact := r.drained && !r.disturbed && !slices.ContainsFunc(r.timers, func(t timer) bool { return t.far }); {
	case !ok || next > max(first, r.now):
		r.Fatalf("Next = %d, %v at %d; want at most %d, the earliest deadline", next, ok, r.now, max(first, r.now))
	case r.drained && next <= r.now:
		r.Fatalf("Next = %d at %d, drained; want later", next, r.now)
	case exact && next != first:
		r.Fatalf("Next = %d at %d, nothing was cancelled; want %d", next, r.now, first)
	}
}

// checkAll compares all deadlines, which costs more than the operations.
func (r *wheelRun) checkAll() {
	bySlot := slices.SortedFunc(slices.Values(r.timers), func(a, b timer) int { return cmp.Compare(a.slot, b.slot) })
	i := 0
	for slot, deadline := range r.wheel.All() {
		if i >= len(bySlot) || bySlot[i].slot != slot || bySlot[i].deadline != deadline {
			r.Fatalf("All yields slot %d of %d at place %d; want %v", slot, deadline, i, bySlot[min(i, len(bySlot)-1):])
		}
		i++
	}
	if i != len(bySlot) {
		r.Fatalf("All yields %d slots; want %d", i, len(bySlot))
	}
}

func (r *wheelRun) apply(op [4]byte) {
	slot, span := uint32(op[1]), distance(op[2], op[3])
	switch op[0] % wheelKinds {
	case wheelSchedule:
		r.schedule(slot, addTicks(r.now, span))
	case wheelScheduleRun: // several in a bucket, so that a budget ends inside of it
		for i := range uint32(8) {
			r.schedule(slot+i, addTicks(addTicks(r.now, span), tick(i*i)))
		}
	case wheelCancel:
		r.cancel(slot)
	case wheelAdvance:
		r.advance(addTicks(r.now, span))
	case wheelBack:
		r.advance(addTicks(r.now, -(span / 2)))
	case wheelSleep:
		if at, ok := r.wheel.Next(); ok {
			r.advance(at)
		}
	case wheelDue:
		r.take(math.MaxInt)
	case wheelDueWithin:
		if op[2] >= 128 {
			r.takePeeked(int(op[1]%8), int(op[2]%8))
			break
		}
		r.take(int(op[1] % 8))
	}
	r.check()
	r.checkUpcoming()
}

// checkUpcoming wants every slot of the next tick, and only scheduled ones, each once. A slot from
// beyond the ring may be missed until Due has drained the wheel, which is when it is filed again.
func (r *wheelRun) checkUpcoming() {
	got := map[uint32]bool{}
	for slot := range r.wheel.Upcoming() {
		if got[slot] || !slices.ContainsFunc(r.timers, func(t timer) bool { return t.slot == slot }) {
			r.Fatalf("Upcoming yields slot %d, which is not scheduled or was yielded before", slot)
		}
		got[slot] = true
	}
	for _, t := range r.timers {
		if t.far && !r.drained {
			continue
		}
		if r.now < math.MaxInt64 && t.deadline == r.now+1 && !got[t.slot] {
			r.Fatalf("Upcoming misses slot %d, due at the next tick %d (drained: %v)", t.slot, t.deadline, r.drained)
		}
	}
}

// FuzzWheel checks timerwheel against a sorted list: a slot is handed out once, never early, at the
// first drained Due at or after its deadline; Next is never later than the earliest deadline, and
// exact where it says so; a budget is kept; no tick, negative or largest, does harm.
//
// An input is one byte that chooses the start and four for each operation.
//
// To search: go test ./fuzz -run '^$' -fuzz '^FuzzWheel$'. To repeat: go test ./fuzz -run FuzzWheel/NAME.
func FuzzWheel(f *testing.F) {
	for _, seed := range wheelSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		start := starts[int(data[0])%len(starts)]
		r := &wheelRun{T: t, wheel: timerwheel.New(start), now: start, drained: true, drainedAt: start}
		for data = data[1:min(len(data), 1+4*maxOps)]; len(data) >= 4; data = data[4:] {
			r.apply([4]byte(data))
		}
		r.checkAll()
		r.advance(math.MaxInt64)
		r.take(math.MaxInt)
		r.check()
		if len(r.timers) > 0 {
			t.Fatalf("%d slots left at the end of time", len(r.timers))
		}
	})
}

// wheelSeeds are the bugs that other wheels had (research on caches, 2.3), from every start.
func wheelSeeds() [][]byte {
	var seeds [][]byte
	for start := range starts {
		for _, ops := range [][]byte{
			// the bucket under the cursor
			{
				wheelSchedule, 1, 0, 0, wheelAdvance, 0, 0, 0, wheelDue, 0, 0, 0,
			},
			// past when scheduled
			{
				wheelSchedule, 1, 200, 251, wheelDue, 0, 0, 0,
			},
			// moved earlier
			{
				wheelSchedule, 1, 62, 0, wheelSchedule, 1, 200, 1, wheelAdvance, 0, 200, 1,
				wheelDue, 0, 0, 0,
			},
			// the end of time
			{
				wheelSchedule, 1, 253, 0, wheelSchedule, 2, 252, 0, wheelAdvance, 0, 36, 0,
				wheelDue, 0, 0, 0,
			},
			// the ring's edge
			{
				wheelSchedule, 1, 36, 0, wheelSchedule, 2, 255, 0, wheelSleep, 0, 0, 0,
				wheelDue, 0, 0, 0,
			},
			// the documentation's example
			{
				wheelSchedule, 1, 6, 6, wheelAdvance, 0, 6, 2, wheelDue, 0, 0, 0,
				wheelAdvance, 0, 200, 4, wheelDue, 0, 0, 0,
			},
			{
				wheelScheduleRun, 1, 12, 0, wheelAdvance, 0, 12, 30, wheelDueWithin, 3, 0, 0,
				wheelCancel, 6, 0, 0, wheelSchedule, 7, 12, 0, wheelDue, 0, 0, 0,
			},
			{
				wheelSchedule, 255, 18, 0, wheelCancel, 255, 0, 0, wheelCancel, 255, 0, 0,
				wheelAdvance, 0, 24, 0, wheelDue, 0, 0, 0,
			},
			{
				wheelSchedule, 1, 12, 0, wheelAdvance, 0, 11, 0, wheelBack, 0, 12, 0,
				wheelSchedule, 2, 10, 0, wheelSleep, 0, 0, 0, wheelDue, 0, 0, 0,
			},
			{
				wheelScheduleRun, 1, 12, 0, wheelAdvance, 0, 12, 30, wheelDueWithin, 2, 131, 0,
				wheelCancel, 6, 0, 0, wheelSchedule, 7, 12, 0, wheelDueWithin, 0, 135, 0, wheelDue, 0, 0, 0,
			},
			{
				wheelScheduleRun, 8, 30, 250, wheelSleep, 0, 0, 0, wheelDue, 0, 0, 0,
				wheelSleep, 0, 0, 0, wheelDue, 0, 0, 0, wheelSleep, 0, 0, 0, wheelDueWithin, 2, 0, 0,
			},
		} {
			seeds = append(seeds, append([]byte{byte(start)}, ops...))
		}
	}
	return seeds
}
