package fastcache

// The hand that picks the session to evict. It sees the uses that Lookup has counted since
// it last came by, and that is all that readers have to do with it.

const (
	// handLimit bounds the entries that one eviction looks at; then the next one goes,
	// used or not. It keeps the work under one lock far below batchSessions.
	handLimit = 32

	// coldLimit is how many sessions in use the hand passes in main to find one that is not.
	coldLimit = 4

	// hotUses carry a session into main where ghosts are not trusted. A ticket that is used
	// twice at once by a client in a hurry is not hot.
	hotUses = 3

	// Where sessions that were used in the window are seldom used again in main, as tickets
	// are not, only one in promoteOf is given the chance: enough to notice a change.
	promoteMin = 0.25
	promoteOf  = 32

	// staleRounds is how many rounds a session may wait in main unused at most; it may be
	// part of a long loop. Where newcomers are used, it must yield once it has waited
	// staleWindows times as long as it takes the same places in the window to see a use.
	staleRounds  = 16
	staleWindows = 4
)

// A hand is one eviction.
type hand struct {
	*queues
	except  uint32                   // is not evicted
	harvest func(slot uint32) uint32 // returns and clears the uses of a slot's entry
	budget  int                      // entries that it may still look at
}

// victim picks the slot to evict, which stays queued, but never the slot except; false if
// there is no other. harvest returns and clears the uses of a slot's entry.
func (q *queues) victim(except uint32, harvest func(slot uint32) uint32) (uint32, bool) {
	if slot := q.oldest(spent, except); slot != noSlot {
		return slot, true
	}
	h := hand{q, except, harvest, handLimit}
	if q.returns.wanted {
		q.returns.wanted = false
		h.coldest()
	}
	for h.budget > 0 {
		slot, picked := h.tryMain()
		if slot == noSlot {
			slot, picked = h.tryWindow()
		}
		if slot == noSlot {
			break
		}
		if picked {
			return slot, true
		}
	}
	for _, id := range [...]queueID{window, doubted, mainQueue} {
		if slot := q.oldest(id, except); slot != noSlot {
			return slot, true
		}
	}
	return noSlot, false
}

// tryMain looks at main's oldest session if main must give: because it has waited too long,
// or main has more than its share. It returns noSlot if not, and whether the session goes
// for good; one that is not used moves on to the window, one that is stays.
func (h *hand) tryMain() (slot uint32, picked bool) {
	slot = h.oldest(mainQueue, h.except)
	if slot == noSlot {
		return noSlot, false
	}
	stale := h.age(slot) > h.stale()
	if !stale && h.ends[mainQueue].len <= h.mainPlaces() && h.newcomer(h.except) != noSlot {
		return noSlot, false
	}
	switch used := h.examine(slot); {
	case used:
		h.keep(slot)
	case stale:
		return slot, true
	default:
		h.move(window, slot, h.now, leftMain)
	}
	return slot, false
}

// tryWindow looks at the window's oldest session and returns it, or noSlot if there is none,
// and whether it goes.
func (h *hand) tryWindow() (slot uint32, picked bool) {
	slot = h.newcomer(h.except)
	if slot == noSlot {
		return noSlot, false
	}
	r := &h.returns
	h.budget--
	uses := h.harvest(slot)
	if !h.marked(slot, leftMain) {
		r.left++
		if uses > 0 {
			r.used++
		}
	}
	if h.promotes(slot, uses) {
		return slot, false
	}
	if uses == 0 && r.steady >= steady && !r.skipped && h.mainRoom() {
		// All come back, but after so long that ghosts do not see it. Any session is as good
		// as another, if it only stays.
		r.skipped = true
		h.move(mainQueue, slot, h.links[slot].since, 0)
		return slot, false
	}
	r.skipped = false
	return slot, true
}

// promotes gives a used session at the window's end more time, in main if it deserves that,
// and reports whether it did.
func (h *hand) promotes(slot, uses uint32) bool {
	var trial uint8
	switch {
	case uses == 0:
		return false
	case h.marked(slot, leftMain):
		// It was used while main had given it up.
	case uses < hotUses && !h.returns.trusted:
		return false
	default:
		trial = usedOnce
		if uses > 1 {
			trial = usedOften
		}
		if !h.deserves(kindOf(trial)) {
			if h.returns.promoted++; h.returns.promoted%promoteOf != 0 {
				return false
			}
		}
	}
	if h.mainRoom() || h.age(slot) < h.coldest() {
		h.move(mainQueue, slot, h.now, trial)
	} else {
		h.move(window, slot, h.now, 0)
	}
	return true
}

// deserves reports whether sessions used in the window are used again in main, often enough or
// at least sooner than newcomers are.
func (h *hand) deserves(trial int) bool {
	r := &h.returns
	again := r.again[trial]
	return again >= promoteMin ||
		again*float64(h.newcomers())*r.left > r.used*r.trialAge[trial]
}

// What is learnt of trials is indexed by their kind.
const (
	usedOnceTrial = iota
	usedOftenTrial
	trialKinds
)

func kindOf(trial uint8) int {
	if trial&usedOften != 0 {
		return usedOftenTrial
	}
	return usedOnceTrial
}

// coldest passes a few sessions in main that are in use and returns how long the first one
// that is not has gone without; 0 if it found none.
func (h *hand) coldest() float64 {
	r := &h.returns
	for range coldLimit {
		slot := h.oldest(mainQueue, h.except)
		if slot == noSlot || h.budget == 0 {
			return 0
		}
		age := h.age(slot) + float64(h.unit)
		r.coldAge += (age - r.coldAge) / overColds
		if !h.examine(slot) {
			r.cold = slot
			return age
		}
		h.keep(slot)
	}
	return 0
}

// examine reports whether a session in main was used since the hand last came by, and ends
// its trial.
func (h *hand) examine(slot uint32) bool {
	h.budget--
	used := h.harvest(slot) > 0
	if trial := h.links[slot].queue & trials; trial != 0 {
		h.links[slot].queue &^= trials
		r, kind := &h.returns, kindOf(trial)
		observe(&r.again[kind], used, overExams)
		r.trialAge[kind] += (h.age(slot) + float64(h.unit) - r.trialAge[kind]) / overExams
	}
	return used
}

// keep moves a session in use to main's newest end.
func (h *hand) keep(slot uint32) { h.move(mainQueue, slot, h.now, 0) }

// stale returns how long a session may wait in main unused.
func (h *hand) stale() float64 {
	r := &h.returns
	n := float64(h.places())
	if r.used == 0 {
		return staleRounds * n // nobody is worth more
	}
	return min(staleRounds*n, max(n, staleWindows*float64(h.newcomers())*r.left/r.used))
}
