// Package eviction decides which session a full shard gives up. It is a pure structure over slots,
// small numbers that the owner gives its sessions: it knows no cache, no entry and no key, takes no
// lock, reads no clock and calls nothing back. So what it decides follows from the calls alone, and
// a row of calls can be replayed.
//
// # The queues
//
// A slot waits in one of four queues, in the order in which it entered:
//
//	                          a ghost speaks for it
//	Insert ───┬───────────────────────────────────────────────────┐
//	          ▼                                                   ▼
//	┌─────────┬──────────┐  the hand finds it used, and   ┌──────────────┐ used again:
//	│ window    doubted  │  main has room or is colder    │     main     │ to its newest end
//	│                    │ ─────────────────────────────► │              │ ──┐
//	│                    │ ◄───────────────────────────── │              │ ◄─┘
//	└─────────┬──────────┘  unused, and main must give    └───────┬──────┘
//	          │ unused                                            │ unused for too long
//	          ▼                                                   ▼
//	       evicted                                             evicted
//	          └───────────────► leaves a ghost ◄──────────────────┘
//
//	Demote ───► spent ───► evicted before all others, and leaves no ghost
//
// The words mean this, here and in the cache:
//
//	spent    the queue of demoted sessions. They will hardly be used again, so they go first.
//	window   the queue of newcomers: first in, first out.
//	doubted  the part of the window for newcomers that are expected to be used less than others.
//	main     the queue of sessions that have shown that they come back: a clock.
//	ghost    32 bits that an evicted session leaves, so that its return is noticed.
//	hand     one eviction. It looks at the oldest slots, a bounded number, and picks the victim.
//
// # What is learnt
//
// How the places are shared between window and main follows from the ghosts (adapt.go), and what
// part of the window the doubted ones get, from Demote (follow.go). Where nothing comes back under its
// own name, as TLS tickets do not, there are no ghosts to learn from: the window is all, and the
// policy is first in, first out exactly. docs/adr/0005, 0008 and 0012 tell why it is so and what
// was tried.
//
// # Uses
//
// What readers know of a session, how often it was used, stays with the owner. The hand asks for it
// slot by slot, when it needs it:
//
//	var hand eviction.Hand
//	hand.Begin(&policy, eviction.NoSlot)
//	for hand.Looks() {
//		hand.Saw(uses(hand.Slot())) // since the hand came by last, at most MaxUses
//	}
//	victim := hand.Slot()
//
// # Cost
//
// Every method but Reserve takes constant time and allocates nothing, except for the ghosts, which
// are made at the first eviction. A Policy takes 12 bytes for each slot and about 7 more for ghosts.
package eviction

import "iter"

// MaxUses is the largest count of uses that makes a difference: two bits are enough for it.
const MaxUses = 3

type queueID uint8

const (
	unqueued queueID = iota
	spent
	window
	doubted
	main
	queues
)

// Marks beside the queueID in link.state: what is to be learnt from a session.
const (
	queueMask = 7

	// leftMain marks a session in the window that main has given up.
	leftMain = 1 << (iota + 2)

	// usedOnce and usedOften mark a session on trial: it is in main for its uses in the window
	// alone, until the hand sees whether it is used again.
	usedOnce
	usedOften
	trials = usedOnce | usedOften

	// follower marks a newcomer in the window that was stored after a Demote, and watched one of
	// the others, which show what followers are worth.
	follower = 1 << 6
	watched  = 1 << 7
	judged   = follower | watched
)

// A beat is an instant of a Policy's time: it advances with the sessions stored, beatsPerRound
// times in a round, in which as many sessions are stored as there are slots. It wraps after
// 256 rounds.
type beat uint16

const beatsPerRound = 256

// A Policy holds the eviction queues of one shard and what it has learnt.
//
// The zero Policy is empty and usable once Reserve has made room. It is not safe for concurrent
// use: its owner's lock guards it. It never blocks, and must not be copied while it is in use.
//
// invariant: a slot is in one queue ⟺ it was inserted and not removed since.
type Policy struct {
	links []link
	queue [queues]chain // by queueID; unqueued has none

	now     beat
	stored  int // sessions stored within this beat
	perBeat int // sessions stored in a beat

	ghosts  ghosts
	returns returns
	doubt   doubt
}

// Reserve makes room for slots below n. Its cost is that of copying 12 bytes for each.
func (p *Policy) Reserve(n int) {
	if p.links == nil {
		p.perBeat = 1
		p.returns = newReturns()
	}
	p.links = grown(p.links, n)
	for ; p.perBeat*beatsPerRound < n; p.perBeat *= 2 {
		p.now /= 2
		for i := range p.links {
			p.links[i].since /= 2
		}
	}
	p.ghosts = ghosts{} // their beats were shorter
	p.returns.cold = NoSlot
}

// CopyFrom gives the Policy the queues of another, and what it has learnt. It costs a copy of the memory, and allocates
// none where it had as much.
func (p *Policy) CopyFrom(other *Policy) {
	links, recent, sample := p.links[:0], p.ghosts.recent[:0], p.ghosts.sample[:0]
	*p = *other
	p.links = append(links, other.links...)
	p.ghosts.recent, p.ghosts.sample = append(recent, other.ghosts.recent...), append(sample, other.ghosts.sample...)
}

// Insert queues the slot of a new session with 32 bits of its key's hash: in main if its ghost
// speaks for it. follows says that the session was stored right after a Demote, and so is most
// likely one of a client that has come back. The slot must be below what Reserve was told, and in
// no queue.
func (p *Policy) Insert(slot, hash uint32, follows bool) {
	if p.stored++; p.stored >= p.perBeat {
		p.stored = 0
		p.now++
		p.passBeat()
	}
	id, marks := p.admit(hash), uint8(0)
	if id == window {
		id, marks = p.enrol(follows)
	}
	p.push(id, slot, p.now, marks)
}

// Renew puts a slot whose session was replaced at the newest end: of main if it is there, else
// of the window. A demoted one is demoted no more.
func (p *Policy) Renew(slot uint32) {
	id := window
	if p.in(slot) == main {
		id = main
	}
	p.move(id, slot, p.now, p.links[slot].state&(trials|judged))
}

// Demote makes a slot one of the next victims, after those demoted before. It returns false, and
// does nothing, if the slot was one of these.
func (p *Policy) Demote(slot uint32) bool {
	if p.in(slot) == spent {
		return false
	}
	p.noteUsedUp(slot)
	p.move(spent, slot, p.now, 0)
	return true
}

// Remove takes a slot out of its queue, for any reason. The slot must be in one.
func (p *Policy) Remove(slot uint32) {
	l := &p.links[slot]
	p.queue[l.state&queueMask].unlink(p.links, slot)
	l.state = uint8(unqueued)
	if p.returns.cold == slot {
		p.returns.cold = NoSlot
	}
}

// LeaveGhost notes that the slot's session is evicted, with the hash that Insert was told, so that
// its return is noticed. The slot stays queued; Remove comes next.
func (p *Policy) LeaveGhost(slot, hash uint32) {
	p.ghosts.makeRoom(len(p.links))
	switch id := p.in(slot); {
	case id == spent:
		// its owner knows that it will not be used again
	case id == main || p.marked(slot, leftMain):
		p.returns.gaveUp++
		p.ghosts.add(hash, p.now, true)
	default:
		if leaves, _ := p.leavesGhost(hash); leaves {
			p.ghosts.add(hash, p.links[slot].since, false)
		}
	}
}

// All yields every queued slot: queue by queue, spent first and main last, the oldest of each first.
func (p *Policy) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, id := range [...]queueID{spent, doubted, window, main} {
			for slot := range p.queue[id].slots(p.links) {
				if !yield(slot) {
					return
				}
			}
		}
	}
}

// Has reports whether a slot is in a queue.
func (p *Policy) Has(slot uint32) bool {
	return int(slot) < len(p.links) && p.in(slot) != unqueued
}

// OldestSpent returns the demoted slot but except that goes next, or NoSlot.
func (p *Policy) OldestSpent(except uint32) uint32 { return p.oldest(spent, except) }

func (p *Policy) in(slot uint32) queueID { return queueID(p.links[slot].state & queueMask) }

func (p *Policy) marked(slot uint32, marks uint8) bool { return p.links[slot].state&marks != 0 }

// age returns how many sessions were stored since a slot's was, or was last found in use.
func (p *Policy) age(slot uint32) float64 { return p.span(p.links[slot].since) }

// span returns how many sessions were stored since an instant, to within one beat.
func (p *Policy) span(since beat) float64 { return float64(p.now-since) * float64(p.perBeat) }

// places returns how many sessions window and main hold.
func (p *Policy) places() int { return p.newcomers() + p.queue[main].len }

// push makes an unqueued slot the newest of a queue.
func (p *Policy) push(id queueID, slot uint32, since beat, marks uint8) {
	p.queue[id].push(p.links, slot)
	l := &p.links[slot]
	l.since, l.state = since, uint8(id)|marks
}

// move puts a queued slot at the newest end of a queue.
func (p *Policy) move(id queueID, slot uint32, since beat, marks uint8) {
	p.Remove(slot)
	p.push(id, slot, since, marks)
}

// oldest returns the oldest slot of a queue but except, or NoSlot.
func (p *Policy) oldest(id queueID, except uint32) uint32 {
	return p.queue[id].first(p.links, except)
}
