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
	maxNotesEach = 32   // of one key, one by one; beyond, only the oldest time of a minute
)

// A lineageKey is whose notes those are: a principal's, or an anonymous client's of a server name.
type lineageKey struct {
	principal principalID
	server    string // only where there is no principal
}

// notes remember, between UnwrapSession and WrapSession of a connection, when the resumed session's
// client last proved who it is: crypto/tls gives a resumed connection's new session no link to
// the one it came from. A session issued on resumption inherits that time, or chains of
// resumptions would never end and descendants would survive a revocation.
//
// Of several connections of one key that are between the two, nobody knows which comes first. So
// each gets the oldest time and removes the newest: whatever the order, none gets a time later
// than its own, for what remains is always at most as new as what is still to come.
//
// Notes are safe for concurrent use. The zero value is not usable; call newNotes.
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

// noted is what there is of one key.
type noted struct {
	notes []note // in no order
	more  recentMin
}

type note struct {
	auth int64
	at   time.Time
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
	held.drop(now)
	if len(held.notes) >= maxNotesEach {
		held.more.add(auth, now)
		return
	}
	held.notes = append(held.notes, note{auth, now})
}

// inherit returns the authentication time of a new session on a resumed connection.
func (n *notes) inherit(k lineageKey, now time.Time) (auth int64, ok bool) {
	s := n.shard(k)
	defer s.mu.Unlock()
	held := s.mu.of[k]
	if held == nil {
		return 0, false
	}
	held.drop(now)
	auth = held.more.min(now)
	if len(held.notes) > 0 {
		auth = min(auth, slices.MinFunc(held.notes, byAuth).auth)
		i := slices.Index(held.notes, slices.MaxFunc(held.notes, byAuth))
		held.notes = slices.Delete(held.notes, i, i+1)
	}
	if held.empty(now) {
		delete(s.mu.of, k)
	}
	return auth, auth != math.MaxInt64
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

// drop forgets the notes that nobody will come for.
func (h *noted) drop(now time.Time) {
	h.notes = slices.DeleteFunc(h.notes, func(n note) bool { return now.Sub(n.at) > noteLife })
}

func (h *noted) empty(now time.Time) bool {
	return len(h.notes) == 0 && h.more.min(now) == math.MaxInt64
}

func byAuth(a, b note) int {
	switch {
	case a.auth < b.auth:
		return -1
	case a.auth > b.auth:
		return 1
	}
	return 0
}

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

// min returns math.MaxInt64 where there is none.
func (r *recentMin) min(now time.Time) int64 {
	if r.begun.IsZero() {
		return math.MaxInt64
	}
	r.turn(now)
	return min(r.this, r.earlier)
}

func (r *recentMin) turn(now time.Time) {
	switch age := now.Sub(r.begun); {
	case r.begun.IsZero() || age > 2*noteLife:
		r.begun, r.this, r.earlier = now, math.MaxInt64, math.MaxInt64
	case age > noteLife:
		r.begun, r.this, r.earlier = now, math.MaxInt64, r.this
	}
}
