// Package sessions keeps the tokens of users in golang-lru.
package sessions

import (
	"strings"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
)

type Sessions struct {
	cache *expirable.LRU[string, string]
}

func New(limit int, ttl time.Duration) (*Sessions, error) {
	return &Sessions{expirable.NewLRU[string, string](limit, nil, ttl)}, nil
}

func (s *Sessions) Put(user, id, token string) error {
	s.cache.Add(user+"/"+id, token)
	return nil
}

func (s *Sessions) Get(user, id string) (string, bool) { return s.cache.Get(user + "/" + id) }

func (s *Sessions) LogOut(user string) {
	for _, key := range s.cache.Keys() {
		if strings.HasPrefix(key, user+"/") {
			s.cache.Remove(key)
		}
	}
}

func (s *Sessions) Close() { s.cache.Purge() }
