package timerwheel

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is the Wheel as its doc comments promise it: a map, walked for every question.
type model struct {
	wheel *Wheel
	now   Tick
	due   map[uint32]Tick // slot -> deadline
	far   map[uint32]bool // slots that were filed beyond the ring, perhaps

	drained   bool // Due has returned false with budget to spare, and the time and the due set stand since
	drainedAt Tick // when it last did; the ring at the top reaches from here at least
	inexact   bool // one of Next's two exceptions may apply; an empty Wheel ends them
}

func (m *model) earliest() Tick {
	at := Tick(math.MaxInt64)
	for _, deadline := range m.due {
		at = min(at, deadline)
	}
	return at
}

func (m *model) schedule(slot uint32, deadline Tick) {
	_, again := m.due[slot]
	beyondRing := deadline > m.now && uint64(deadline)-uint64(m.drainedAt) > ringSpan
	m.inexact = m.inexact || again || beyondRing
	m.drained = m.drained && deadline > m.now
	m.due[slot], m.far[slot] = deadline, beyondRing
	m.wheel.Schedule(slot, deadline)
}

func (m *model) cancel(t *rapid.T, slot uint32) {
	_, want := m.due[slot]
	delete(m.due, slot)
	m.inexact = true
	if got := m.wheel.Cancel(slot); got != want {
		t.Fatalf("Cancel(%d) = %v; want %v", slot, got, want)
	}
}

func (m *model) advance(to Tick) {
	if to > m.now {
		m.now, m.drained = to, false
	}
	m.wheel.Advance(to)
}

// take calls DueWithin once and reports whether it may be called again with the same budget.
func (m *model) take(t *rapid.T, budget *int) bool {
	before := *budget
	peeked := make([]uint32, rapid.IntRange(0, 3).Draw(t, "peeked")) // 0: not, for Peek opens buckets
	if len(peeked) > 0 {
		peeked = peeked[:m.wheel.Peek(peeked)]
	}
	for i, slot := range peeked {
		if deadline, scheduled := m.due[slot]; !scheduled || deadline > m.now || slices.Contains(peeked[:i], slot) {
			t.Fatalf("at %d Peek = %d; slot %d is of %d (scheduled: %v)", m.now, peeked, slot, deadline, scheduled)
		}
	}
	slot, ok := m.wheel.DueWithin(budget)
	if len(peeked) > 0 && before > 0 && (!ok || slot != peeked[0] || *budget != before-1) {
		t.Fatalf("Peek = %d; then DueWithin = %d, %v and took %d of the budget", peeked, slot, ok, before-*budget)
	}
	if *budget < 0 || *budget > before || (ok && *budget == before) {
		t.Fatalf("DueWithin = %d, %v turned the budget from %d into %d", slot, ok, before, *budget)
	}
	if ok {
		deadline, scheduled := m.due[slot]
		if !scheduled || deadline > m.now {
			t.Fatalf("at %d DueWithin = %d; its deadline is %d (scheduled: %v)", m.now, slot, deadline, scheduled)
		}
		delete(m.due, slot)
		return true
	}
	anyDue := len(m.due) > 0 && m.earliest() <= m.now
	if *budget > 0 {
		m.drained, m.drainedAt = true, m.now
		if anyDue {
			t.Fatalf("at %d DueWithin = false with budget %d; a deadline is %d", m.now, *budget, m.earliest())
		}
	}
	if at, _ := m.wheel.Next(); anyDue && at > m.now {
		t.Fatalf("budget used up at %d with work due: Next() = %d; want not after now", m.now, at)
	}
	return false
}

func (m *model) check(t *rapid.T) {
	if len(m.due) == 0 {
		m.inexact = false
	}
	if got := m.wheel.Len(); got != len(m.due) {
		t.Fatalf("Len() = %d; want %d", got, len(m.due))
	}
	at, ok := m.wheel.Next()
	switch want := m.earliest(); {
	case ok != (len(m.due) > 0):
		t.Fatalf("Next() = %d, %v with %d slots scheduled", at, ok, len(m.due))
	case !ok:
	case at > max(want, m.now):
		t.Fatalf("at %d Next() = %d; the earliest deadline is %d", m.now, at, want)
	case m.drained && at <= m.now:
		t.Fatalf("at %d Next() = %d after Due returned false; want later", m.now, at)
	case m.drained && !m.inexact && at != want:
		t.Fatalf("at %d Next() = %d; want exactly %d", m.now, at, want)
	}
	for slot, deadline := range m.wheel.All() {
		if want, ok := m.due[slot]; !ok || deadline != want {
			t.Fatalf("All yields slot %d at %d; want %d (scheduled: %v)", slot, deadline, want, ok)
		}
	}
	upcoming := map[uint32]bool{}
	for slot := range m.wheel.Upcoming() {
		upcoming[slot] = true
	}
	for slot, deadline := range m.due {
		if m.far[slot] && !m.drained {
			continue // missed until Due has filed it again
		}
		if deadline > m.now && deadline-1 == m.now && !upcoming[slot] {
			t.Fatalf("at %d Upcoming misses slot %d, due at %d", m.now, slot, deadline)
		}
	}
}

// addSaturating is a + b, or the nearest Tick.
func addSaturating(a, b Tick) Tick {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}

// drawDistance favours what has broken wheels: a tick around the edge of a level or of the ring.
func drawDistance(t *rapid.T) Tick {
	edge := Tick(1) << rapid.SampledFrom([]int{0, 6, 12, 18, 24, 30, 36, 37, 42, 62}).Draw(t, "edge")
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		return Tick(rapid.IntRange(-3, 70).Draw(t, "near"))
	case 1:
		return edge + Tick(rapid.IntRange(-2, 2).Draw(t, "off"))
	case 2:
		return Tick(rapid.Int64Range(0, int64(edge)).Draw(t, "within"))
	case 3:
		return Tick(ringSpan) + Tick(rapid.IntRange(-2, 2).Draw(t, "off ring"))
	}
	return rapid.SampledFrom([]Tick{math.MinInt64, math.MinInt64 + 1, -1, math.MaxInt64 - 1, math.MaxInt64}).Draw(t, "extreme")
}

func drawStart(t *rapid.T) Tick {
	return rapid.OneOf(
		rapid.SampledFrom([]Tick{0, -1, -70, 1<<36 - 5, -1 << 36, math.MinInt64, math.MaxInt64 - 5000, math.MaxInt64 - 1<<37, math.MaxInt64 - 1<<33, math.MaxInt64}),
		rapid.Map(rapid.Int64(), func(v int64) Tick { return Tick(v) }),
	).Draw(t, "start")
}

func TestWheelDoesWhatAMapWouldDo(t *testing.T) {
	slots := rapid.OneOf(rapid.Uint32Range(0, 12), rapid.Uint32Range(0, 300))
	rapid.Check(t, func(t *rapid.T) {
		start := drawStart(t)
		m := &model{wheel: New(start), now: start, due: map[uint32]Tick{}, far: map[uint32]bool{}, drained: true, drainedAt: start}
		schedule := func(t *rapid.T) {
			m.schedule(slots.Draw(t, "slot"), addSaturating(m.now, drawDistance(t)))
		}
		within := func(most int) func(t *rapid.T) {
			return func(t *rapid.T) {
				for budget := rapid.IntRange(0, most).Draw(t, "budget"); m.take(t, &budget); {
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"schedule":       schedule,
			"schedule more":  schedule,
			"schedule batch": func(t *rapid.T) { batch(t, m) },
			"cancel":         func(t *rapid.T) { m.cancel(t, slots.Draw(t, "slot")) },
			"advance":        func(t *rapid.T) { m.advance(addSaturating(m.now, drawDistance(t))) },
			"advance a bit":  func(t *rapid.T) { m.advance(addSaturating(m.now, Tick(rapid.IntRange(0, 80).Draw(t, "by")))) },
			"advance back":   func(t *rapid.T) { m.advance(addSaturating(m.now, -drawDistance(t)/2)) },
			"sleep": func(t *rapid.T) {
				if at, ok := m.wheel.Next(); ok {
					m.advance(at)
				}
			},
			"copy":       func(t *rapid.T) { m.copy(slots.Draw(t, "slot of the copy")) },
			"due all":    within(1 << 30),
			"due budget": within(4),
			"":           func(t *rapid.T) { m.check(t); checkInvariants(t, m.wheel) },
		})
	})
}

// copy goes on with a copy, in a Wheel that had a slot of its own. What becomes of the original is nothing to it.
func (m *model) copy(slot uint32) {
	original := m.wheel
	m.wheel = New(m.now)
	m.wheel.Schedule(slot, math.MaxInt64)
	m.wheel.CopyFrom(original)
	for slot := range uint32(301) {
		original.Cancel(slot)
	}
	original.Advance(math.MaxInt64)
}

// batch puts slots close together into one far bucket, so that a budget runs out inside of it.
func batch(t *rapid.T, m *model) {
	base := addSaturating(m.now, drawDistance(t))
	for slot := range rapid.Uint32Range(2, 10).Draw(t, "slots") {
		m.schedule(slot+20, addSaturating(base, Tick(rapid.IntRange(0, 100).Draw(t, "spread"))))
	}
}
