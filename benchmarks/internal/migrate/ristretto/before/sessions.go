// Package sessions keeps the tokens of users in ristretto.
package sessions

import (
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

type Sessions struct {
	cache *ristretto.Cache[string, string]
	ttl   time.Duration

	mu  sync.Mutex
	ids map[string][]string // by user, for LogOut: ristretto holds no keys. Nobody removes ids that have expired
}

func New(limit int, ttl time.Duration) (*Sessions, error) {
	cache, err := ristretto.NewCache(&ristretto.Config[string, string]{
		NumCounters: 10 * int64(limit),
		MaxCost:     int64(limit),
		BufferItems: 64,

		IgnoreInternalCost: true, // or the limit is of bytes, too
	})
	return &Sessions{cache: cache, ttl: ttl, ids: map[string][]string{}}, err
}

// Put may drop the session, without an error.
func (s *Sessions) Put(user, id, token string) error {
	s.mu.Lock()
	s.ids[user] = append(s.ids[user], id)
	s.mu.Unlock()
	s.cache.SetWithTTL(user+"/"+id, token, 1, s.ttl)
	s.cache.Wait() // or a Get right after it misses
	return nil
}

func (s *Sessions) Get(user, id string) (string, bool) { return s.cache.Get(user + "/" + id) }

func (s *Sessions) LogOut(user string) {
	s.mu.Lock()
	ids := s.ids[user]
	delete(s.ids, user)
	s.mu.Unlock()
	for _, id := range ids {
		s.cache.Del(user + "/" + id)
	}
}

func (s *Sessions) Close() { s.cache.Close() }
