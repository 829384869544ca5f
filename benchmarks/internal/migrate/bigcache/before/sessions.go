// Package sessions keeps the tokens of users in bigcache.
package sessions

import (
	"context"
	"strings"
	"time"

	"github.com/allegro/bigcache/v3"
)

type Sessions struct{ cache *bigcache.BigCache }

func New(limitMB int, ttl time.Duration) (*Sessions, error) {
	cfg := bigcache.DefaultConfig(ttl)
	cfg.HardMaxCacheSize = limitMB
	cache, err := bigcache.New(context.Background(), cfg)
	return &Sessions{cache}, err
}

func (s *Sessions) Put(user, id, token string) error {
	return s.cache.Set(user+"/"+id, []byte(token))
}

// Get copies the token.
func (s *Sessions) Get(user, id string) (string, bool) {
	token, err := s.cache.Get(user + "/" + id)
	return string(token), err == nil
}

func (s *Sessions) LogOut(user string) {
	for entries := s.cache.Iterator(); entries.SetNext(); {
		if entry, err := entries.Value(); err == nil && strings.HasPrefix(entry.Key(), user+"/") {
			_ = s.cache.Delete(entry.Key()) // it may have gone
		}
	}
}

func (s *Sessions) Close() { _ = s.cache.Close() }
