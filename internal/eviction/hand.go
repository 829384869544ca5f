package eviction

const (
	// MaxExamined bounds the slots that one hand looks at; then the next one goes, used or
	// not. It keeps the work under one lock far below what the cache allows.
	MaxExamined = 32

	// coldLimit is how many sessions in use the hand passes in main to find one that is not.
	coldLimit = 4

	// hotUses carry a session into main where ghosts are not trusted. A ticket that is used
	// twice at once by a client in a hurry is not hot.
	hotUses = MaxUses

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

// A Hand is one eviction under way: it looks at the oldest slots of main and of the window, asks
// for their uses, and moves those that deserve to stay. The example in the package comment
// shows the loop. Between Begin and the end of the loop nothing else may be done to the Policy.
//
// A Hand is a value for the stack of its owner. The zero Hand is usable once, by Begin.
type Hand struct {
	p      *Policy
	except uint32 // is not evicted
	slot   uint32 // that it looks at, or has picked
	look   look
	budget uint8 // slots that it may still look at

	// The search for main's coldest session.
	passes    uint8  // sessions that it may still look at
	trial     uint8  // the mark of promoting, should it go to main
	promoting uint32 // the window's session that waits for the answer, or NoSlot
}

// A look is what the hand looks at a slot for.
type look uint8

const (
	picked    look = iota // no more: it is the victim
	forCold               // is it main's coldest, as it is the oldest and unused?
	forMain               // main must give: shall it stay in main, or move on to the window?
	forStale              // it has waited in main for too long: is it used after all?
	forWindow             // it has come to the window's end: does it earn more time?
)

// Begin makes the hand look for the slot that a Policy shall evict, which is never except.
func (h *Hand) Begin(p *Policy, except uint32) {
	h.p, h.except, h.promoting, h.budget = p, except, NoSlot, MaxExamined
	h.slot = p.oldest(spent, except)
	switch {
	case h.slot != NoSlot: // picked
	case p.returns.wanted:
		p.returns.wanted = false
		h.searchCold()
	default:
		h.next()
	}
}

// Looks reports whether the hand must be told of the uses of Slot, by Saw. Once it is false, the
// hand has picked.
func (h *Hand) Looks() bool { return h.look != picked }

// Slot returns the slot that the hand looks at, and at last the one that it has picked: the victim,
// which stays queued, or NoSlot if there is none but except.
func (h *Hand) Slot() uint32 { return h.slot }

// Saw tells the hand how often the session of Slot was used since a hand was told of it last. The
// hand goes on to the next slot, or picks.
func (h *Hand) Saw(uses uint32) {
	h.budget--
	switch h.look {
	case forWindow:
		h.sawWindow(uses)
	case forCold:
		h.sawCold(uses > 0)
	default:
		h.sawMain(uses > 0)
	}
}

// next chooses the slot to look at, in main or the window, or picks the victim if there is none.
func (h *Hand) next() {
	if h.budget > 0 {
		if h.p.queue[main].len > 0 && h.lookAtMain() {
			return
		}
		if slot := h.p.newcomer(h.except); slot != NoSlot {
			h.slot, h.look = slot, forWindow
			return
		}
	}
	h.look = picked
	for _, id := range [...]queueID{window, doubted, main} {
		if h.slot = h.p.oldest(id, h.except); h.slot != NoSlot {
			return
		}
	}
}

// lookAtMain looks at main's oldest session if main must give: because it has waited too long,
// or main has more than its share.
func (h *Hand) lookAtMain() bool {
	p := h.p
	slot := p.oldest(main, h.except)
	if slot == NoSlot {
		return false
	}
	stale := p.age(slot) > p.stale()
	if !stale && p.queue[main].len <= p.mainPlaces() && p.newcomer(h.except) != NoSlot {
		return false
	}
	h.slot, h.look = slot, forMain
	if stale {
		h.look = forStale
	}
	return true
}

// sawMain lets a session in use stay in main. Another one goes for good if it has waited too
// long, or else moves on to the window.
func (h *Hand) sawMain(used bool) {
	p, slot := h.p, h.slot
	p.endTrial(slot, used)
	switch {
	case used:
		p.keep(slot)
	case h.look == forStale:
		h.look = picked
		return
	default:
		p.move(window, slot, p.now, leftMain)
	}
	h.next()
}

// sawWindow gives a session at the window's end more time if it has earned that, or picks it.
func (h *Hand) sawWindow(uses uint32) {
	p, slot := h.p, h.slot
	r := &p.returns
	if !p.marked(slot, leftMain) {
		r.left++
		if uses > 0 {
			r.used++
		}
	}
	if uses > 0 && h.promote(uses) {
		return
	}
	if uses == 0 && r.steady >= steady && !r.skipped && p.mainRoom() {
		// All come back, but after so long that ghosts do not see it. Any session is as good
		// as another, if it only stays.
		r.skipped = true
		p.move(main, slot, p.links[slot].since, 0)
		h.next()
		return
	}
	r.skipped = false
	h.look = picked
}

// promote gives a used session at the window's end more time and goes on, or returns false.
func (h *Hand) promote(uses uint32) bool {
	p := h.p
	r := &p.returns
	h.trial = 0
	switch {
	case p.marked(h.slot, leftMain):
		// It was used while main had given it up.
	case uses < hotUses && !r.trusted:
		return false
	default:
		h.trial = usedOnce
		if uses > 1 {
			h.trial = usedOften
		}
		if !p.deserves(kindOf(h.trial)) {
			if r.promoted++; r.promoted%promoteOf != 0 {
				return false
			}
		}
	}
	if p.mainRoom() {
		p.move(main, h.slot, p.now, h.trial)
		h.next()
		return true
	}
	h.promoting = h.slot
	h.searchCold()
	return true
}

// searchCold begins to look for main's coldest session: of a few, the first that is not in use.
func (h *Hand) searchCold() {
	h.passes = coldLimit
	h.lookAtCold()
}

// lookAtCold looks at main's oldest session, or ends the search.
func (h *Hand) lookAtCold() {
	p := h.p
	slot := p.oldest(main, h.except)
	if slot == NoSlot || h.passes == 0 || h.budget == 0 {
		h.foundCold(0)
		return
	}
	h.passes--
	h.slot, h.look = slot, forCold
}

// sawCold ends the search at a session that is not in use, and passes one that is.
func (h *Hand) sawCold(used bool) {
	p, slot := h.p, h.slot
	age := p.age(slot) + float64(p.perBeat)
	p.returns.coldAge += (age - p.returns.coldAge) / overColds
	p.endTrial(slot, used)
	if used {
		p.keep(slot)
		h.lookAtCold()
		return
	}
	p.returns.cold = slot
	h.foundCold(age)
}

// foundCold ends the search; age is how long main's coldest session has gone without use, 0 if
// none was found. The session that waited for it goes to main if it was stored or used later.
func (h *Hand) foundCold(age float64) {
	if slot := h.promoting; slot != NoSlot {
		h.promoting = NoSlot
		if h.p.age(slot) < age {
			h.p.move(main, slot, h.p.now, h.trial)
		} else {
			h.p.move(window, slot, h.p.now, 0)
		}
	}
	h.next()
}

// deserves reports whether sessions used in the window are used again in main, often enough or
// at least sooner than newcomers are.
func (p *Policy) deserves(trial int) bool {
	r := &p.returns
	again := r.again[trial]
	return again >= promoteMin ||
		again*float64(p.newcomers())*r.left > r.used*r.trialAge[trial]
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

// endTrial notes whether a session in main that is on trial was used.
func (p *Policy) endTrial(slot uint32, used bool) {
	trial := p.links[slot].state & trials
	if trial == 0 {
		return
	}
	p.links[slot].state &^= trials
	r, kind := &p.returns, kindOf(trial)
	observe(&r.again[kind], used, overExams)
	r.trialAge[kind] += (p.age(slot) + float64(p.perBeat) - r.trialAge[kind]) / overExams
}

// keep moves a session in use to main's newest end.
func (p *Policy) keep(slot uint32) { p.move(main, slot, p.now, 0) }

// stale returns how long a session may wait in main unused.
func (p *Policy) stale() float64 {
	r := &p.returns
	n := float64(p.places())
	if r.used == 0 {
		return staleRounds * n // no newcomer is worth more
	}
	return min(staleRounds*n, max(n, staleWindows*float64(p.newcomers())*r.left/r.used))
}
