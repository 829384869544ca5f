package fastcache

// Which session goes when the cache is full.
//
// A session waits in one of three queues of its shard, oldest at the tail:
//
//	spent   demoted sessions: they go first
//	window  all others, in the order of their Updates: first in, first out
//	main    sessions that were used twice while in the window: a clock with a 2-bit credit
//
// A TLS 1.3 ticket is used at most once and then replaced by a newer one under another id,
// so of two sessions the one never used is worth more, and one use says nothing for a
// session. Nothing leaves the window for main under such traffic: it is a FIFO exactly,
// which keeps more returning clients than LRU or the page caches that drop what was not
// used (docs/adr/0005). A second use is what rotation never shows; sessions that have it
// are worth keeping in main, and how many places main gets follows from the uses that the
// hand harvests: the part that yields more uses per place grows.
//
// The queues link slots, not pointers, in arrays of their own that cost the collector
// nothing. Readers never see them; all methods need the shard's lock.

const (
	noSlot = ^uint32(0) // ends a queue

	// promoteUses is how many uses in the window carry a session into main.
	promoteUses = 2

	// handLimit bounds the entries that one eviction looks at; then the next one goes,
	// used or not. It keeps the work under one lock far below batchSessions.
	handLimit = 32

	// shareUnits is the resolution of main's share; shareStep is what one round moves it.
	shareUnits = 64
	shareStep  = 4
	shareMin   = 4
	shareMax   = 60
)

type queueID uint8

const (
	unqueued queueID = iota
	spent
	window
	mainQueue
	queueCount
)

// A queueLink is a slot's place in its queue.
type queueLink struct {
	newer, older uint32
}

// queues are the eviction queues of one shard. The zero value is empty and usable.
type queues struct {
	links []queueLink
	// state packs a slot's queue (low 2 bits) and its credit in main (high bits).
	state []uint8
	ends  [queueCount]struct {
		newest, oldest uint32
		len            int
	}
	share    int             // main's share of the places, in shareUnits
	uses     [queueCount]int // harvested in this round, by queue
	examined int             // entries the hand looked at in this round
}

const creditShift = 2

// reserve makes room for slots up to n.
func (q *queues) reserve(n int) {
	if q.share == 0 {
		q.share = shareUnits / 2
		for i := range q.ends {
			q.ends[i].newest, q.ends[i].oldest = noSlot, noSlot
		}
	}
	q.links = grown(q.links, n)
	q.state = grown(q.state, n)
}

func (q *queues) in(slot uint32) queueID { return queueID(q.state[slot] & (1<<creditShift - 1)) }

// push makes an unqueued slot the newest of a queue.
func (q *queues) push(id queueID, slot uint32, credit uint32) {
	e := &q.ends[id]
	q.links[slot] = queueLink{newer: noSlot, older: e.newest}
	if e.newest == noSlot {
		e.oldest = slot
	} else {
		q.links[e.newest].newer = slot
	}
	e.newest = slot
	e.len++
	q.state[slot] = uint8(id) | uint8(credit)<<creditShift
}

// remove takes a slot out of its queue.
func (q *queues) remove(slot uint32) {
	e, l := &q.ends[q.in(slot)], q.links[slot]
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
	q.state[slot] = uint8(unqueued)
}

// renew puts a slot whose session was replaced at the newest end: of main if it has earned
// its place there, else of the window, whence a demoted one is demoted no more.
func (q *queues) renew(slot uint32) {
	id, credit := window, uint32(0)
	if q.in(slot) == mainQueue {
		id, credit = mainQueue, uint32(q.state[slot]>>creditShift)
	}
	q.remove(slot)
	q.push(id, slot, credit)
}

// demote makes a slot one of the next victims, after those demoted before.
func (q *queues) demote(slot uint32) {
	if q.in(slot) != spent {
		q.remove(slot)
		q.push(spent, slot, 0)
	}
}

// victim picks the slot to evict, which stays queued, but never the slot except; false if
// there is no other. harvest returns and clears the uses of a slot's entry.
func (q *queues) victim(except uint32, harvest func(slot uint32) uint32) (uint32, bool) {
	if slot := q.oldest(spent, except); slot != noSlot {
		return slot, true
	}
	for range handLimit {
		id := q.hand()
		slot := q.oldest(id, except)
		if slot == noSlot {
			break // only except is left in this queue
		}
		uses := harvest(slot)
		q.note(id, uses)
		if !q.keep(id, slot, uses) {
			return slot, true
		}
	}
	for _, id := range [...]queueID{window, mainQueue} {
		if slot := q.oldest(id, except); slot != noSlot {
			return slot, true
		}
	}
	return noSlot, false
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

// hand returns the queue that must give: main where it exceeds its share, else the window.
func (q *queues) hand() queueID {
	inMain, inWindow := q.ends[mainQueue].len, q.ends[window].len
	if inWindow == 0 || inMain*shareUnits > (inMain+inWindow)*q.share {
		return mainQueue
	}
	return window
}

// keep moves a slot that has earned more time to main's newest end and reports whether it
// did.
func (q *queues) keep(id queueID, slot uint32, uses uint32) bool {
	var credit uint32
	if id == window {
		if uses < promoteUses {
			return false
		}
	} else {
		credit = min(uint32(q.state[slot]>>creditShift)+uses, maxUse)
		if credit == 0 {
			return false
		}
		credit--
	}
	q.remove(slot)
	q.push(mainQueue, slot, credit)
	return true
}

// note counts harvested uses; a round ends when the hand has looked at as many entries as
// there are. The queue that gave more uses per place then gets a larger share.
func (q *queues) note(id queueID, uses uint32) {
	q.uses[id] += int(uses)
	q.examined++
	inMain, inWindow := q.ends[mainQueue].len, q.ends[window].len
	if q.examined < inMain+inWindow {
		return
	}
	switch perMain, perWindow := q.uses[mainQueue]*inWindow, q.uses[window]*inMain; {
	case perMain > perWindow:
		q.share = min(q.share+shareStep, shareMax)
	case perMain < perWindow:
		q.share = max(q.share-shareStep, shareMin)
	}
	q.examined = 0
	q.uses = [queueCount]int{}
}
