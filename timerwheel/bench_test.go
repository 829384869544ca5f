package timerwheel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// day is 24 hours at the tick that fastcache uses, 2^24 ns.
const day = Tick(24 * 3600 * 1_000_000_000 >> 24)

// load is slots in random order with random deadlines within a day, all drawn before the clock runs.
// In order they would share cache lines with their neighbours, which sessions never do.
type load struct {
	order []uint32
	after []Tick
}

func newLoad(slots int) load {
	rng := rand.New(rand.NewPCG(7, uint64(slots)))
	l := load{order: make([]uint32, slots), after: make([]Tick, slots)}
	for i, slot := range rng.Perm(slots) {
		l.order[i], l.after[i] = uint32(slot), 1+Tick(rng.Int64N(int64(day)))
	}
	return l
}

func (l load) schedule(w *Wheel, now Tick) {
	for i, slot := range l.order {
		w.Schedule(slot, now+l.after[i])
	}
}

func bySlots(b *testing.B, run func(b *testing.B, l load, w *Wheel)) {
	for _, slots := range []int{4096, 200_000, 1_000_000} {
		b.Run(fmt.Sprintf("slots=%d", slots), func(b *testing.B) {
			l, w := newLoad(slots), New(0)
			l.schedule(w, 0)
			b.ReportAllocs()
			run(b, l, w)
		})
	}
}

func cancelAll(b *testing.B, l load, w *Wheel) {
	for _, slot := range l.order {
		w.Cancel(slot)
	}
	if w.Len() != 0 {
		b.Fatalf("Len() = %d after all were cancelled", w.Len())
	}
}

func BenchmarkSchedule(b *testing.B) {
	bySlots(b, func(b *testing.B, l load, w *Wheel) {
		cancelAll(b, l, w)
		i := 0
		for b.Loop() {
			if i == len(l.order) {
				b.StopTimer()
				if w.Len() != i {
					b.Fatalf("Len() = %d after %d were scheduled", w.Len(), i)
				}
				cancelAll(b, l, w)
				i = 0
				b.StartTimer()
			}
			w.Schedule(l.order[i], l.after[i])
			i++
		}
	})
}

func BenchmarkReschedule(b *testing.B) {
	bySlots(b, func(b *testing.B, l load, w *Wheel) {
		i, now := 0, Tick(0)
		for b.Loop() {
			if i == len(l.order) {
				i = 0
				now += 64 // as a session is moved to its life after its last use
			}
			w.Schedule(l.order[i], now+l.after[len(l.after)-1-i])
			i++
		}
		if w.Len() != len(l.order) {
			b.Fatalf("Len() = %d; want %d", w.Len(), len(l.order))
		}
	})
}

func BenchmarkCancel(b *testing.B) {
	bySlots(b, func(b *testing.B, l load, w *Wheel) {
		i, missed := 0, 0
		for b.Loop() {
			if i == len(l.order) {
				b.StopTimer()
				l.schedule(w, 0)
				i = 0
				b.StartTimer()
			}
			if !w.Cancel(l.order[i]) {
				missed++
			}
			i++
		}
		if missed != 0 {
			b.Fatalf("%d slots to cancel were not scheduled", missed)
		}
	})
}

// BenchmarkAdvanceDue times one slot from its bucket to the owner, with its share of the cascading
// and of the calls of Advance and Due that found nothing.
func BenchmarkAdvanceDue(b *testing.B) {
	const slots = 200_000
	for _, step := range []Tick{0, 1, 64, 4096} {
		name := fmt.Sprintf("slots=%d/step=%d", slots, step)
		if step == 0 {
			name = fmt.Sprintf("slots=%d/step=next", slots)
		}
		b.Run(name, func(b *testing.B) {
			l, w, now := newLoad(slots), New(0), Tick(0)
			l.schedule(w, now)
			due, rounds := 0, 1
			b.ReportAllocs()
			for b.Loop() {
				if w.Len() == 0 {
					b.StopTimer()
					l.schedule(w, now)
					rounds++
					b.StartTimer()
				}
				for {
					if _, ok := w.Due(); ok {
						break
					}
					if now += step; step == 0 {
						now, _ = w.Next()
					}
					w.Advance(now)
				}
				due++
			}
			if due+w.Len() != rounds*slots {
				b.Fatalf("%d due and %d left of %d", due, w.Len(), rounds*slots)
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	bySlots(b, func(b *testing.B, l load, w *Wheel) {
		for b.Loop() {
			if at, ok := w.Next(); !ok || at > day {
				b.Fatalf("Next() = %d, %v", at, ok)
			}
		}
	})
}
