package fastcache

// What a shard learns from the sessions that come back, and what it does about it.
//
// The window and main share the places. A place more for the window lets every newcomer
// stay one eviction longer; a place less for main sends those on that it has given up. Both
// are worth the share of those evicted that come back soon after. So of newcomers and of
// what main gives up, the shard counts who does, and the share moves until both are worth
// the same.
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

	// A guess about main counts like what so many evictions have shown.
	guessShare = 0.01
	guessMin   = 4

	// Ghosts are trusted where one newcomer in trustOf has one, and more than one of late: false
	// ones are one in 130 000.
	trustOf     = 512
	trustWithin = 64 // newcomers that "of late" covers at least

	// While they are not, a large shard leaves ghosts of one key in watchOf only, enough to see
	// when somebody comes back: where nobody does, as in rotation, ghosts cost a tenth of an Update.
	// All bits of the hash choose them: with three of the fingerprint's, which all ghosts would then
	// share, a false ghost was ten times as likely.
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

	cold    uint32 // main's oldest if the hand has found it unused, or noSlot
	wanted  bool   // somebody asked for cold since the hand looked
	skipped bool   // the last victim was kept for main to fill
}

func newReturns() returns {
	return returns{share: windowFirst, again: [trialKinds]float64{0.5, 0.5}, cold: noSlot}
}

// elapse fades what was learnt as a tick passes, and gives main its due.
func (q *queues) elapse() {
	r := &q.returns
	unit, n := float64(q.unit), float64(max(q.places(), 1))
	slow, fast := max(0, 1-unit/n), max(0, 1-unit/max(n/2, trustWithin))
	r.gaveUp *= slow
	r.cameBack *= slow
	r.newcomers *= fast
	r.known *= fast
	r.left *= fast
	r.used *= fast
	r.trusted = r.trusted && r.known > 1+r.newcomers/trustOf
	q.judge()
	if q.ends[mainQueue].len > 0 && q.ghosts.recent != nil {
		q.widen(-mainWeight * q.mainReturns() * unit)
	}
}

// widen moves places from main to the window.
func (q *queues) widen(places float64) {
	r := &q.returns
	r.share = min(max(r.share+places/float64(max(q.places(), 1)), windowMin), windowMax)
}

// mainRoom reports whether main holds less than its share of the places.
func (q *queues) mainRoom() bool { return q.ends[mainQueue].len < q.mainPlaces() }

func (q *queues) mainPlaces() int { return int(float64(q.places()) * (1 - q.returns.share)) }

// early is how many evictions later a return still counts as early.
func (q *queues) early() float64 {
	return max(earlyWindow*float64(q.newcomers()), earlyMin*float64(q.places()), 1)
}

// mainReturns is the share of those that main gives up who come back early. Where main gives
// up nobody, nothing is seen of it; then main's coldest session is taken to be used about as
// often as it has gone without use.
func (q *queues) mainReturns() float64 {
	r := &q.returns
	guess := 1.0
	if r.coldAge > 0 {
		guess = min(1, q.early()/r.coldAge)
	}
	weight := max(guessMin, guessShare*float64(q.places()))
	return (r.cameBack + weight*guess) / (r.gaveUp + weight)
}

// trust notes, and returns, whether newcomers come back often enough to learn from it, now that one
// has that stands for so many. If not, the window is all: first in, first out.
func (q *queues) trust(standsFor float64) bool {
	r := &q.returns
	r.trusted = r.known > standsFor+r.newcomers/trustOf
	return r.trusted
}

// watches reports whether a key leaves a ghost, and how many keys it stands for.
func (q *queues) watches(hash uint32) (bool, float64) {
	if q.returns.trusted || len(q.links) <= smallSample {
		return true, 1
	}
	return hash*watchMix>>watchShift == 0, watchOf
}

// admit returns the queue for a newcomer.
func (q *queues) admit(hash uint32) queueID {
	if q.ghosts.recent == nil {
		return window // nothing was evicted yet
	}
	r := &q.returns
	if sampled, before := q.ghosts.sampled(hash, len(q.links)); sampled {
		observe(&r.steady, before, overSample)
	}
	watched, standsFor := q.watches(hash)
	if !watched {
		return window
	}
	r.newcomers += standsFor
	at, left, ok := q.ghosts.take(hash, q.now)
	if !ok {
		return window
	}
	r.known += standsFor
	if !q.trust(standsFor) {
		return window
	}
	away := q.span(at)
	q.learn(away, left)
	r.wanted = true
	if q.mainRoom() || r.cold != noSlot && away < q.age(r.cold) {
		return mainQueue
	}
	return window
}

// learn notes that a session has come back.
func (q *queues) learn(away float64, left bool) {
	r := &q.returns
	early := q.early()
	if left {
		if away <= early {
			r.cameBack++
		}
		return
	}
	stay := float64(q.newcomers())
	if slot := q.newcomer(noSlot); slot != noSlot && !q.marked(slot, leftMain) {
		stay = q.age(slot)
	}
	if away > stay+early+float64(q.unit) {
		return
	}
	// A place that main loses is missed now and then, and each miss brings the others' end
	// nearer: where all come back as fast as main's own, a larger window keeps none of them.
	if worth := 1 - away*q.mainReturns()/early; worth > 0 {
		q.widen(worth)
	}
}

// remember leaves a ghost of a session that is evicted.
func (q *queues) remember(slot, hash uint32) {
	q.ghosts.ready(len(q.links))
	switch id := q.in(slot); {
	case id == spent:
		// its owner knows that it will not be used again
	case id == mainQueue || q.marked(slot, leftMain):
		q.returns.gaveUp++
		q.ghosts.add(hash, q.now, true)
	default:
		if watched, _ := q.watches(hash); watched {
			q.ghosts.add(hash, q.links[slot].since, false)
		}
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
