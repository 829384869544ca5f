// Package sessions keeps the tokens of users in go-cache.
package sessions

import (
	"strings"
	"time"

	gocache "github.com/patrickmn/go-cache"
)

type Sessions struct{ cache *gocache.Cache }

// New has no use for the limit: go-cache grows until sessions expire.
func New(_ int, ttl time.Duration) (*Sessions, error) {
	return &Sessions{gocache.New(ttl, ttl/2)}, nil
}

func (s *Sessions) Put(user, id, token string) error {
	s.cache.Set(user+"/"+id, token, gocache.DefaultExpiration)
	return nil
}

func (s *Sessions) Get(user, id string) (string, bool) {
	v, ok := s.cache.Get(user + "/" + id)
	if !ok {
		return "", false
	}
	return v.(string), true
}

func (s *Sessions) LogOut(user string) {
	for key := range s.cache.Items() {
		if strings.HasPrefix(key, user+"/") {
			s.cache.Delete(key)
		}
	}
}

func (s *Sessions) Close() { s.cache.Flush() }
