package eviction

// What a shard learns from the sessions that come back, and what it does about it.
//
// The window and main share the places. One place more for the window lets every newcomer
// stay one eviction longer; one place more for main does the same for what main gives up. Each
// is worth the share of those evicted that come back soon after. So the shard counts the
// returns of newcomers and of what main has given up, and the window's share moves until a
// place is worth the same to both.
//
// A session that comes back is worth a place in main if it was away for less time than main's
// coldest session has gone without use (the test of LIRS): in a loop longer than the cache
// none is, and main stays as it is.

const (
	// windowFirst is the window's share at the start. It hardly matters: from 0.2 the
	// traces of docs/adr/0008 lose nothing.
	windowFirst = 0.5
	windowMin   = 0.01
	windowMax   = 0.99

	// mainWeight favours the window where both seem worth the same, for it follows changes.
	// With 1 traffic that soon forgets its keys loses three points, with 0.25 steady
	// traffic loses as much.
	mainWeight = 0.8

	// A return is early if a window half as large again, or larger by earlyMin of the places,
	// had kept the session.
	earlyWindow = 0.5
	earlyMin    = 0.03

	// What main's evictions are worth is guessed until some have shown it: the guess weighs as
	// much as this share of the places in evictions, and as guessMin of them at least.
	guessShare = 0.01
	guessMin   = 4

	// Ghosts are trusted where one newcomer in trustOf has one, and more than one of late: false
	// ones are one in 130 000.
	trustOf     = 512
	trustWithin = 64 // newcomers that "of late" covers at least

	// While they are not, in a large shard only one key in watchOf leaves ghosts, enough to notice
	// when sessions come back: where none does, as in rotation, ghosts cost a tenth of an Update.
	// All bits of the hash choose these keys: with three bits of the fingerprint, which all ghosts
	// would then share, a false ghost was ten times as likely.
	watchOf    = 8
	watchMix   = 0x9e3779b1
	watchShift = 32 - 3 // log2(watchOf)

	// steady is the share of newcomers, by the sample, that makes it right to keep any
	// session rather than none while main has room.
	steady = 0.5

	// Averages over the last so many observations.
	overExams  = 64
	overSample = 16
	overColds  = 16
)

// returns are what a shard has learnt. Counts fade with the sessions stored.
type returns struct {
	share float64 // the window's, of the places

	newcomers, known float64             // newcomers, and those of them with a ghost
	trusted          bool                // so many come back that there is something to learn
	gaveUp, cameBack float64             // main's: evicted, and of those back early
	left, used       float64             // newcomers at the end of the window, and those of them used
	coldAge          float64             // how long main's coldest session goes without use
	steady           float64             // the share of the sample that was stored before
	again, trialAge  [trialKinds]float64 // sessions on trial: the share used again, and how long they waited for that
	promoted         uint                // counts promotions that again speaks against

	cold    uint32 // main's oldest if the hand has found it unused, or NoSlot
	wanted  bool   // a newcomer was compared with cold since the hand looked for it
	skipped bool   // the last victim was kept for main to fill
}

func newReturns() returns {
	return returns{share: windowFirst, again: [trialKinds]float64{0.5, 0.5}, cold: NoSlot}
}

// passBeat fades what was learnt as a beat passes, and gives main its due.
func (p *Policy) passBeat() {
	r := &p.returns
	unit, n := float64(p.perBeat), float64(max(p.places(), 1))
	slow, fast := max(0, 1-unit/n), max(0, 1-unit/max(n/2, trustWithin))
	r.gaveUp *= slow
	r.cameBack *= slow
	r.newcomers *= fast
	r.known *= fast
	r.left *= fast
	r.used *= fast
	r.trusted = r.trusted && r.known > 1+r.newcomers/trustOf
	p.judge()
	if p.queue[main].len > 0 && p.ghosts.recent != nil {
		p.widen(-mainWeight * p.mainReturns() * unit)
	}
}

// widen moves places from main to the window.
func (p *Policy) widen(places float64) {
	r := &p.returns
	r.share = min(max(r.share+places/float64(max(p.places(), 1)), windowMin), windowMax)
}

// mainRoom reports whether main holds less than its share of the places.
func (p *Policy) mainRoom() bool { return p.queue[main].len < p.mainPlaces() }

func (p *Policy) mainPlaces() int { return int(float64(p.places()) * (1 - p.returns.share)) }

// early is how many evictions later a return still counts as early.
func (p *Policy) early() float64 {
	return max(earlyWindow*float64(p.newcomers()), earlyMin*float64(p.places()), 1)
}

// mainReturns is the share of what main gives up that comes back early. Where main gives up
// nothing, nothing is seen of it; then main's coldest session is taken to be used once in the
// time that it has gone without use.
func (p *Policy) mainReturns() float64 {
	r := &p.returns
	guess := 1.0
	if r.coldAge > 0 {
		guess = min(1, p.early()/r.coldAge)
	}
	weight := max(guessMin, guessShare*float64(p.places()))
	return (r.cameBack + weight*guess) / (r.gaveUp + weight)
}

// leavesGhost reports whether a key leaves a ghost, and how many keys it then stands for.
func (p *Policy) leavesGhost(hash uint32) (bool, float64) {
	if p.returns.trusted || len(p.links) <= smallSample {
		return true, 1
	}
	return hash*watchMix>>watchShift == 0, watchOf
}

// admit takes a newcomer's ghost, learns from it, and returns the queue for the newcomer.
func (p *Policy) admit(hash uint32) queueID {
	if p.ghosts.recent == nil {
		return window // nothing was evicted yet
	}
	r := &p.returns
	if sampled, before := p.ghosts.noteSample(hash, len(p.links)); sampled {
		observe(&r.steady, before, overSample)
	}
	leaves, standsFor := p.leavesGhost(hash)
	if !leaves {
		return window
	}
	r.newcomers += standsFor
	at, left, ok := p.ghosts.take(hash, p.now)
	if !ok {
		return window
	}
	r.known += standsFor
	r.trusted = r.known > standsFor+r.newcomers/trustOf
	if !r.trusted {
		return window // which is all then: first in, first out
	}
	away := p.span(at)
	p.learn(away, left)
	r.wanted = true
	if p.mainRoom() || r.cold != NoSlot && away < p.age(r.cold) {
		return main
	}
	return window
}

// learn notes that a session has come back, after so many were stored; left says that main had
// given it up.
func (p *Policy) learn(away float64, left bool) {
	r := &p.returns
	early := p.early()
	if left {
		if away <= early {
			r.cameBack++
		}
		return
	}
	stay := float64(p.newcomers())
	if slot := p.newcomer(NoSlot); slot != NoSlot && !p.marked(slot, leftMain) {
		stay = p.age(slot)
	}
	if away > stay+early+float64(p.perBeat) {
		return
	}
	// A place that main loses is missed now and then, and each miss brings the end of the others
	// nearer: where all come back as fast as main's own, a larger window keeps none of them.
	if worth := 1 - away*p.mainReturns()/early; worth > 0 {
		p.widen(worth)
	}
}

// observe moves an average over so many observations.
func observe(average *float64, yes bool, over float64) {
	x := 0.0
	if yes {
		x = 1
	}
	*average += (x - *average) / over
}
