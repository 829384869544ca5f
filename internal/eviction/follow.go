package eviction

import "math"

// A caller that demotes a used session and then stores another most likely serves a client
// that has come back. So a session stored right after a Demote is a follower; any other newcomer may
// be that of a client that comes only once. Where followers are used clearly more often, the others
// are doubted: they wait in a queue of their own, which holds as large a part of the window as they
// are worth, and which gives the next victim while it is larger.
//
// Only sessions that stay equally long are compared: followers, and the others while there is no
// doubt. Doubted ones go so soon that it says little of them if they were not used, so they do not
// count. Doubt therefore ends by itself: what is known of the others fades until chance could
// explain it, and all are watched anew.

const (
	// The others are doubted if they are used less than doubtBelow times as often as followers
	// are, and the difference is more than doubtErrors standard errors.
	doubtBelow  = 0.8
	doubtErrors = 3

	// doubtedMin is the least part of the window that is left to them, so that new clients get in.
	doubtedMin = 0.125

	// judgedMin is how many newcomers, at least, what is known of them goes back.
	judgedMin = 2048
)

// doubt is what a shard has learnt of newcomers, once a used one was demoted.
type doubt struct {
	told              bool // there was a Demote
	followers, others tally
	share             float64 // of the window, for the doubted ones; 1: none is doubted
}

// A tally is how many newcomers of a kind were stored in the window, and how many of them used.
// Counts fade with the sessions stored.
type tally struct{ stored, used float64 }

func (t *tally) fade(by float64) {
	t.stored *= by
	t.used *= by
}

// rate is the share of sessions used, which the fading may exceed for a moment.
func (t *tally) rate() float64 { return min(1, t.used/max(t.stored, 1)) }

// enrol counts a newcomer, and returns where in the window it waits and how it is marked.
func (p *Policy) enrol(follows bool) (queueID, uint8) {
	d := &p.doubt
	switch {
	case !d.told:
		return window, 0
	case follows:
		d.followers.stored++
		return window, follower
	}
	if d.share < 1 {
		return doubted, 0
	}
	d.others.stored++
	return window, watched
}

// noteUsedUp counts a session that was used and will not be again.
func (p *Policy) noteUsedUp(slot uint32) {
	d := &p.doubt
	if !d.told {
		d.told, d.share = true, 1
	}
	switch {
	case p.marked(slot, follower):
		d.followers.used++
	case p.marked(slot, watched):
		d.others.used++
	}
}

// judge decides, as a beat passes, whether to doubt newcomers that follow no Demote.
func (p *Policy) judge() {
	d := &p.doubt
	if !d.told {
		return
	}
	by := 1 - float64(p.perBeat)/float64(max(p.places(), judgedMin))
	d.followers.fade(by)
	d.others.fade(by)
	d.share = 1
	n, m := d.others.stored, d.followers.stored
	if n == 0 || m == 0 {
		return
	}
	others, followers := d.others.rate(), d.followers.rate()
	both := min(1, (d.others.used+d.followers.used+1)/(n+m+2))
	if others < doubtBelow*followers && followers-others > doubtErrors*math.Sqrt(both*(1-both)*(1/n+1/m)) {
		d.share = max(others/(others+followers), doubtedMin)
	}
}

// newcomers returns how many sessions the window holds, the doubted ones included.
func (p *Policy) newcomers() int { return p.queue[window].len + p.queue[doubted].len }

// newcomer returns the slot in the window, but except, that goes next, or NoSlot: the oldest, or
// the oldest doubted one while there are too many of these.
func (p *Policy) newcomer(except uint32) uint32 {
	slot, other := p.oldest(window, except), p.oldest(doubted, except)
	switch {
	case other == NoSlot:
		return slot
	case slot == NoSlot,
		float64(p.queue[doubted].len) > p.doubt.share*float64(p.newcomers()),
		p.now-p.links[other].since > p.now-p.links[slot].since:
		return other
	}
	return slot
}
