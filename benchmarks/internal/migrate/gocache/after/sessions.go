// Package sessions keeps the tokens of users in fastcache.
package sessions

import (
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

type Sessions struct{ cache *fastcache.Cache[string] }

func New(limit int, ttl time.Duration) (*Sessions, error) {
	cache, err := fastcache.New(fastcache.Config[string]{MaxSessions: limit, TTL: ttl})
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
