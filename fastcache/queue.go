package fastcache

// The eviction queues of a shard. A session waits in one of four, oldest at the tail:
//
//	spent    demoted sessions: they go first
//	window   newcomers, in the order of their Updates: first in, first out
//	doubted  the part of the window that is for those of whom less is expected
//	main     sessions that have shown to come back: a clock
//
// hand.go picks the victim, ghost.go remembers whom it picked, and adapt.go learns from
// those who come back how many places the window is worth (docs/adr/0008); follow.go learns
// from Demote whom to doubt (docs/adr/0012).
//
// The queues link slots, not pointers, in arrays of their own that cost the collector
// nothing. Readers never see them; all methods need the shard's lock.

const noSlot = ^uint32(0) // ends a queue

type queueID uint8

const (
	unqueued queueID = iota
	spent
	window
	doubted
	mainQueue
	queueCount
)

// A queueLink is a slot's place in its queue, and what the hand must know of it.
type queueLink struct {
	newer, older uint32
	since        tick  // when it was stored, or last found in use
	queue        uint8 // the queueID, and marks
}

// Marks beside the queueID: what a session is on trial for.
const (
	queueMask = 7

	// leftMain marks a session in the window that main has given up.
	leftMain = 1 << (iota + 2)

	// usedOnce and usedOften mark a session in main that is there for its uses in the
	// window alone, until the hand sees whether it is used again.
	usedOnce
	usedOften
	trials = usedOnce | usedOften

	// follower and watched mark a newcomer in the window that was stored after a Demote, and
	// one of the others that shows what these are worth.
	follower = 1 << 6
	watched  = 1 << 7
	judged   = follower | watched
)

// A tick is a time in a shard's life: it advances with the sessions stored, ticksPerRound
// times while as many are stored as there are slots, and wraps after 256 rounds.
type tick uint16

const ticksPerRound = 256

// queues are the eviction queues of one shard. The zero value is empty and usable.
type queues struct {
	links []queueLink
	ends  [queueCount]struct {
		newest, oldest uint32
		len            int
	}

	now    tick
	within int // sessions stored within this tick
	unit   int // sessions stored per tick

	ghosts  ghosts
	returns returns
	follow  follow
}

// reserve makes room for slots up to n.
func (q *queues) reserve(n int) {
	if q.links == nil {
		q.unit = 1
		q.returns = newReturns()
		for i := range q.ends {
			q.ends[i].newest, q.ends[i].oldest = noSlot, noSlot
		}
	}
	q.links = grown(q.links, n)
	for ; q.unit*ticksPerRound < n; q.unit *= 2 {
		q.now /= 2
		for i := range q.links {
			q.links[i].since /= 2
		}
	}
	q.ghosts = ghosts{} // their ticks were shorter
	q.returns.cold = noSlot
}

func (q *queues) in(slot uint32) queueID { return queueID(q.links[slot].queue & queueMask) }

func (q *queues) marked(slot uint32, marks uint8) bool { return q.links[slot].queue&marks != 0 }

// age returns how many sessions were stored since a slot's was, or was last found in use.
func (q *queues) age(slot uint32) float64 { return q.span(q.links[slot].since) }

// span returns how many sessions were stored since a tick, to within one tick.
func (q *queues) span(since tick) float64 { return float64(q.now-since) * float64(q.unit) }

// places returns how many sessions window and main hold.
func (q *queues) places() int { return q.newcomers() + q.ends[mainQueue].len }

// insert queues a newcomer with its hash: in main if its ghost speaks for it.
func (q *queues) insert(slot, hash uint32, follows bool) {
	if q.within++; q.within >= q.unit {
		q.within = 0
		q.now++
		q.elapse()
	}
	id, marks := q.admit(hash), uint8(0)
	if id == window {
		id, marks = q.line(follows)
	}
	q.push(id, slot, q.now, marks)
}

// push makes an unqueued slot the newest of a queue.
func (q *queues) push(id queueID, slot uint32, since tick, marks uint8) {
	e := &q.ends[id]
	q.links[slot] = queueLink{newer: noSlot, older: e.newest, since: since, queue: uint8(id) | marks}
	if e.newest == noSlot {
		e.oldest = slot
	} else {
		q.links[e.newest].newer = slot
	}
	e.newest = slot
	e.len++
}

// remove takes a slot out of its queue.
func (q *queues) remove(slot uint32) {
	l := q.links[slot]
	e := &q.ends[l.queue&queueMask]
	if l.newer == noSlot {
		e.newest = l.older
	} else {
		q.links[l.newer].older = l.older
	}
	if l.older == noSlot {
		e.oldest = l.newer
	} else {
		q.links[l.older].newer = l.newer
	}
	e.len--
	q.links[slot].queue = uint8(unqueued)
	if q.returns.cold == slot {
		q.returns.cold = noSlot
	}
}

// move puts a queued slot at the newest end of a queue.
func (q *queues) move(id queueID, slot uint32, since tick, marks uint8) {
	q.remove(slot)
	q.push(id, slot, since, marks)
}

// renew puts a slot whose session was replaced at the newest end: of main if it is there,
// else of the window, whence a demoted one is demoted no more.
func (q *queues) renew(slot uint32) {
	id := window
	if q.in(slot) == mainQueue {
		id = mainQueue
	}
	q.move(id, slot, q.now, q.links[slot].queue&(trials|judged))
}

// demote makes a slot one of the next victims, after those demoted before, and reports
// whether it was none of them.
func (q *queues) demote(slot uint32) bool {
	if q.in(slot) == spent {
		return false
	}
	q.usedUp(slot)
	q.move(spent, slot, q.now, 0)
	return true
}

// oldest returns the oldest slot of a queue but except, or noSlot.
func (q *queues) oldest(id queueID, except uint32) uint32 {
	if len(q.links) == 0 {
		return noSlot
	}
	slot := q.ends[id].oldest
	if slot != noSlot && slot == except {
		return q.links[slot].newer
	}
	return slot
}
