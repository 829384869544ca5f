package tlscache

import (
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"
)

// noteLife is how long after UnwrapSession a resumed connection may come for its next ticket. TCP
// connections come at once; QUIC servers send tickets when they like.
const noteLife = 60 * time.Second

const (
	noteShards   = 16
	maxNoteKeys  = 4096 // in one shard
	maxNotesEach = 256  // of one key, one by one; beyond, the earliest time of a minute or two
)

// A lineageKey is whose notes those are: a principal's, or an anonymous client's of a server name.
type lineageKey struct {
	principal principalID
	server    string // only where there is no principal
	full      bool   // not those who resume, but those who showed a certificate
}

// notes remember, between UnwrapSession and WrapSession of a connection, when the resumed session's
// client last proved who it is: crypto/tls gives a resumed connection's new session no link to
// the one it came from. A session issued on resumption inherits that time, or chains of
// resumptions would never end and descendants would survive a revocation. Likewise they
// remember, between VerifyConnection and WrapSession of a full handshake, when it was let in.
//
// Of several connections of one key that are between the two, nobody knows which comes first. So
// none is given a later time than its own: see noted. Notes are safe for concurrent use. The
// zero value is not usable; call newNotes.
type notes struct {
	seed   maphash.Seed
	shards [noteShards]noteShard
}

type noteShard struct {
	mu struct {
		sync.Mutex
		of    map[lineageKey]*noted
		swept time.Time
	}
}

// noted is what there is of one key: as many times as connections are between the two. A connection
// gets the earliest and takes the latest away.
//
// invariant: sorted, the times are each at most those of the connections to come, because to take
// away the latest of one list and any of another keeps that true. Likewise what is noted last
// is paired with the earliest time, so that a note never ends before its connection's.
type noted struct {
	auths []int64     // ascending
	ats   []time.Time // when they were noted, descending

	// busy has the times of a key with more connections between the two than maxNotesEach, as
	// handshakes leave that end there. It forgets which is which, not the earliest.
	busy recentMin
}

func newNotes() *notes {
	n := &notes{seed: maphash.MakeSeed()}
	for i := range n.shards {
		n.shards[i].mu.of = make(map[lineageKey]*noted)
	}
	return n
}

// shard returns the shard of a key, locked.
func (n *notes) shard(k lineageKey) *noteShard {
	s := &n.shards[maphash.Comparable(n.seed, k)%noteShards]
	s.mu.Lock()
	return s
}

// add notes that a session authenticated at auth is about to be resumed. Where there is no room for
// another key, nothing is noted and the connection's next session is a dead handle.
func (n *notes) add(k lineageKey, auth int64, now time.Time) {
	s := n.shard(k)
	defer s.mu.Unlock()
	held := s.mu.of[k]
	if held == nil {
		if !s.makeRoomLocked(now) {
			return
		}
		held = new(noted)
		s.mu.of[k] = held
	}
	held.add(auth, now)
}

// inherit returns the authentication time of a new session on a resumed connection.
func (n *notes) inherit(k lineageKey, now time.Time) (auth int64, ok bool) {
	s := n.shard(k)
	defer s.mu.Unlock()
	held := s.mu.of[k]
	if held == nil {
		return 0, false
	}
	auth = held.inherit(now)
	if held.empty(now) {
		delete(s.mu.of, k)
	}
	return auth, auth != none
}

// makeRoomLocked reports whether the shard may take another key.
func (s *noteShard) makeRoomLocked(now time.Time) bool {
	if len(s.mu.of) < maxNoteKeys {
		return true
	}
	if now.Sub(s.mu.swept) < time.Second {
		return false // swept just now, and still full
	}
	s.mu.swept = now
	for k, held := range s.mu.of {
		if held.drop(now); held.empty(now) {
			delete(s.mu.of, k)
		}
	}
	return len(s.mu.of) < maxNoteKeys
}

func (h *noted) add(auth int64, now time.Time) {
	h.drop(now)
	if h.busy.min(now) != none || len(h.auths) >= maxNotesEach {
		for _, a := range h.auths {
			h.busy.add(a, now)
		}
		h.auths, h.ats = nil, nil
		h.busy.add(auth, now)
		return
	}
	i, _ := slices.BinarySearch(h.auths, auth)
	h.auths = slices.Insert(h.auths, i, auth)
	i, _ = slices.BinarySearchFunc(h.ats, now, func(at, now time.Time) int { return now.Compare(at) })
	h.ats = slices.Insert(h.ats, i, now)
}

// inherit returns none where nothing is noted.
func (h *noted) inherit(now time.Time) (auth int64) {
	h.drop(now)
	if len(h.auths) == 0 {
		return h.busy.min(now)
	}
	auth = h.auths[0]
	h.auths, h.ats = h.auths[:len(h.auths)-1], h.ats[:len(h.ats)-1]
	return auth
}

// drop forgets the notes that nobody will come for.
func (h *noted) drop(now time.Time) {
	n := len(h.ats)
	for n > 0 && now.Sub(h.ats[n-1]) > noteLife {
		n--
	}
	h.auths, h.ats = h.auths[:n], h.ats[:n]
}

func (h *noted) empty(now time.Time) bool { return len(h.auths) == 0 && h.busy.min(now) == none }

// none is the time of no authentication.
const none = math.MaxInt64

// A recentMin is the minimum of what was added within the last one to two noteLives. The zero value
// is empty.
type recentMin struct {
	begun         time.Time // of this period
	this, earlier int64     // of this period and of the one before
}

func (r *recentMin) add(v int64, now time.Time) {
	r.turn(now)
	r.this = min(r.this, v)
}

// min returns none where nothing was added.
func (r *recentMin) min(now time.Time) int64 {
	if r.begun.IsZero() {
		return none
	}
	r.turn(now)
	return min(r.this, r.earlier)
}

func (r *recentMin) turn(now time.Time) {
	switch age := now.Sub(r.begun); {
	case r.begun.IsZero() || age > 2*noteLife:
		r.begun, r.this, r.earlier = now, none, none
	case age > noteLife:
		r.begun, r.this, r.earlier = now, none, r.this
	}
}
