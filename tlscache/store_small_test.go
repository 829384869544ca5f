package tlscache

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// A smallStore is a Store elsewhere that has a bound, and is not told who is confirmed.
type smallStore struct {
	places int           // 0: no bound
	lru    bool          // a lookup is a use; else first in, first out
	cap    time.Duration // no life is longer; 0: none

	mu struct {
		sync.Mutex
		of      map[session.Key]*list.Element
		order   list.List // of *smallEntry, the next victim first
		evicted int
	}
}

type smallEntry struct {
	key   session.Key
	bytes []byte
	until time.Time
}

func (s *smallStore) Update(_ context.Context, key session.Key, b []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cap > 0 {
		ttl = min(ttl, s.cap)
	}
	s.dropLocked(key)
	if s.mu.of == nil {
		s.mu.of = make(map[session.Key]*list.Element)
	}
	s.mu.of[key] = s.mu.order.PushBack(&smallEntry{key, append([]byte(nil), b...), time.Now().Add(ttl)})
	for s.places > 0 && s.mu.order.Len() > s.places {
		s.dropLocked(s.mu.order.Front().Value.(*smallEntry).key)
		s.mu.evicted++
	}
	return nil
}

func (s *smallStore) dropLocked(key session.Key) {
	if e, ok := s.mu.of[key]; ok {
		s.mu.order.Remove(e)
		delete(s.mu.of, key)
	}
}

func (s *smallStore) get(key session.Key, take bool) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.mu.of[key]
	if !ok {
		return nil, session.ErrNotFound
	}
	entry := e.Value.(*smallEntry)
	switch {
	case !time.Now().Before(entry.until):
		s.dropLocked(key)
		return nil, session.ErrNotFound
	case take:
		s.dropLocked(key)
	case s.lru:
		s.mu.order.MoveToBack(e)
	}
	return entry.bytes, nil
}

func (s *smallStore) Lookup(_ context.Context, key session.Key) ([]byte, error) {
	return s.get(key, false)
}

func (s *smallStore) Take(_ context.Context, key session.Key) ([]byte, error) {
	return s.get(key, true)
}

func (s *smallStore) Delete(_ context.Context, key session.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(key)
	return nil
}

func (*smallStore) Close() error { return nil }

// forget empties the Store, as a restart without persistence does.
func (s *smallStore) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.of = nil
	s.mu.order.Init()
}

// size returns how many things the Store has, and how many it has evicted.
func (s *smallStore) size() (n, evicted int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.order.Len(), s.mu.evicted
}
