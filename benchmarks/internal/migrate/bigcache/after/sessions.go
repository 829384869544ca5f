// Package sessions keeps the tokens of users in fastcache.
package sessions

import (
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

type Sessions struct{ cache *fastcache.Cache[string] }

func New(limitMB int, ttl time.Duration) (*Sessions, error) {
	cache, err := fastcache.New(fastcache.Config[string]{
		MaxWeight: int64(limitMB) << 20,
		Weigh: func(key fastcache.Key, token string) int64 {
			return int64(200 + len(key.Partial) + len(key.ID) + len(token))
		},
		TTL: ttl,
	})
	return &Sessions{cache}, err
}

func (s *Sessions) Put(user, id, token string) error {
	return s.cache.Update(fastcache.Key{Partial: user, ID: id}, token)
}

func (s *Sessions) Get(user, id string) (string, bool) {
	return s.cache.Lookup(fastcache.Key{Partial: user, ID: id})
}

func (s *Sessions) LogOut(user string) { s.cache.DeletePartial(user) }

func (s *Sessions) Close() { s.cache.Close() }
