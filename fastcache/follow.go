package fastcache

import (
	"math"
	"sync"
)

// Whoever demotes a session that was used, and then stores another, most likely serves a client that
// has come back. So the session stored after a Demote is a follower, and any other newcomer may be
// that of a client that comes only once. Where followers are used clearly more often, the others are
// doubted: they wait in a queue of their own, which holds as large a part of the window as they are
// worth, and gives the next victim while it is larger.
//
// Both are judged by those that stay equally long: followers, and the others while nobody is doubted. What
// the doubted ones do says little of them, for they are soon gone, so it does not count. Doubt therefore
// ends by itself: what is known of the others fades until chance could explain it, and all are watched anew.

const (
	// Others are doubted if they are used less than doubtBelow times as often as followers are, and
	// chance explains a difference of doubtErrors standard errors at most.
	doubtBelow  = 0.8
	doubtErrors = 3

	// doubtedMin is the least part of the window that is left to them, so that new clients get in.
	doubtedMin = 0.125

	// judgedMin is how many newcomers, at least, what is known of them goes back.
	judgedMin = 2048

	// maxDemotes bounds how many Updates count as followers after Demotes that none followed.
	maxDemotes = 16
)

// follow is what a shard has learnt of newcomers, once it was told of a used one.
type follow struct {
	told            bool
	followers, rest record
	share           float64 // the doubted ones', of the window; 1: nobody is doubted
}

// A record is how many newcomers of a kind were stored in the window, and how many of them used.
// Counts fade with the sessions stored.
type record struct{ stored, used float64 }

func (r *record) fade(by float64) {
	r.stored *= by
	r.used *= by
}

// rate is the share of sessions used, which the fading may exceed for a moment.
func (r *record) rate() float64 { return min(1, r.used/max(r.stored, 1)) }

// newDemotes counts, for each processor, the Demotes that no Update has followed yet. So a Demote is not followed
// by another client's Update, where many are served at once, and no cache line is shared.
func newDemotes() sync.Pool { return sync.Pool{New: func() any { return new(int) }} }

// demoted counts a Demote for the next Update to take.
func (c *Cache[V]) demoted() {
	if !c.told.Load() {
		c.told.Store(true)
	}
	n := c.demotes.Get().(*int)
	*n = min(*n+1, maxDemotes)
	c.demotes.Put(n)
}

// follows reports whether an Update follows a Demote.
func (c *Cache[V]) follows() bool {
	if !c.told.Load() {
		return false
	}
	n := c.demotes.Get().(*int)
	yes := *n > 0
	if yes {
		*n--
	}
	c.demotes.Put(n)
	return yes
}

// line returns where in the window a newcomer waits, and how it is marked.
func (q *queues) line(follows bool) (queueID, uint8) {
	f := &q.follow
	switch {
	case !f.told:
		return window, 0
	case follows:
		f.followers.stored++
		return window, follower
	}
	if f.share < 1 {
		return doubted, 0
	}
	f.rest.stored++
	return window, watched
}

// usedUp notes that a session was used and will not be again.
func (q *queues) usedUp(slot uint32) {
	f := &q.follow
	if !f.told {
		f.told, f.share = true, 1
	}
	switch {
	case q.marked(slot, follower):
		f.followers.used++
	case q.marked(slot, watched):
		f.rest.used++
	}
}

// judge decides, as a tick passes, whether to doubt newcomers that follow no Demote.
func (q *queues) judge() {
	f := &q.follow
	if !f.told {
		return
	}
	by := 1 - float64(q.unit)/float64(max(q.places(), judgedMin))
	f.followers.fade(by)
	f.rest.fade(by)
	f.share = 1
	n, m := f.rest.stored, f.followers.stored
	if n == 0 || m == 0 {
		return
	}
	rest, followers := f.rest.rate(), f.followers.rate()
	both := min(1, (f.rest.used+f.followers.used+1)/(n+m+2))
	if rest < doubtBelow*followers && followers-rest > doubtErrors*math.Sqrt(both*(1-both)*(1/n+1/m)) {
		f.share = max(rest/(rest+followers), doubtedMin)
	}
}

// newcomers returns how many sessions the window holds, the doubted ones included.
func (q *queues) newcomers() int { return q.ends[window].len + q.ends[doubted].len }

// newcomer returns the one in the window, except, that goes next, or noSlot: the oldest, unless
// there are too many that are doubted.
func (q *queues) newcomer(except uint32) uint32 {
	slot, other := q.oldest(window, except), q.oldest(doubted, except)
	switch {
	case other == noSlot:
		return slot
	case slot == noSlot,
		float64(q.ends[doubted].len) > q.follow.share*float64(q.newcomers()),
		q.now-q.links[other].since > q.now-q.links[slot].since:
		return other
	}
	return slot
}
