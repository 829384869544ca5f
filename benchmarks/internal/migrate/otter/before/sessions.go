// Package sessions keeps the tokens of users in otter.
package sessions

import (
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
)

type Sessions struct{ cache *otter.Cache[string, string] }

func New(limit int, ttl time.Duration) (*Sessions, error) {
	cache, err := otter.New(&otter.Options[string, string]{
		MaximumSize:      limit,
		ExpiryCalculator: otter.ExpiryWriting[string, string](ttl),
	})
	return &Sessions{cache}, err
}

func (s *Sessions) Put(user, id, token string) error {
	s.cache.Set(user+"/"+id, token)
	return nil
}

func (s *Sessions) Get(user, id string) (string, bool) { return s.cache.GetIfPresent(user + "/" + id) }

func (s *Sessions) LogOut(user string) {
	for key := range s.cache.All() {
		if strings.HasPrefix(key, user+"/") {
			s.cache.Invalidate(key)
		}
	}
}

func (s *Sessions) Close() { s.cache.StopAllGoroutines() }
