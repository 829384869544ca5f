package tlscache

import (
	"crypto/sha256"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxSeenScopes bounds the scopes that a Server knows to have seen.
	maxSeenScopes = 4096

	// scopeLines is how often a change of scope is logged at most: a program may make a scope for each connection.
	scopeLines = time.Minute
)

// seenScopes are the scopes that a Server's connections had. The zero value is ready; it is safe for concurrent use.
type seenScopes struct {
	mu struct {
		sync.Mutex
		of      map[[sha256.Size]byte]struct{}
		changes uint64
		logged  int64 // when a change was logged, by the clock's order; 0: never
	}
}

// note notes the scope of a connection. A new one that is not the first is a change, which is said where that is due.
func (s *seenScopes) note(sum [sha256.Size]byte, now int64) (changes uint64, say bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, seen := s.mu.of[sum]; seen {
		return s.mu.changes, false
	}
	if len(s.mu.of) > 0 {
		s.mu.changes++
		if say = s.mu.logged == 0 || now-s.mu.logged >= int64(scopeLines); say {
			s.mu.logged = now
		}
	}
	if s.mu.of == nil || len(s.mu.of) >= maxSeenScopes {
		s.mu.of = make(map[[sha256.Size]byte]struct{})
	}
	s.mu.of[sum] = struct{}{}
	return s.mu.changes, say
}

func (s *seenScopes) changes() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.changes
}

// noteScope notes the scope of a connection. Those that come from the cache have been noted.
func (s *Server) noteScope(sc *scoped) {
	if sc.unstable || sc.noted.Load() {
		return
	}
	sc.noted.Store(true)
	changes, say := s.appeared.note(sc.scope, s.keyring.clock.Read().Order)
	if say {
		s.log.say(slog.LevelInfo, "tlscache: connections have another scope than before, whose sessions do not resume under it: "+
			"what a Config trusts or appears as has changed, or a tenant is new", slog.Uint64("changes", changes))
	}
}
