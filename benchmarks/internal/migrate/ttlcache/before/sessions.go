// Package sessions keeps the tokens of users in ttlcache.
package sessions

import (
	"strings"
	"time"

	"github.com/jellydator/ttlcache/v3"
)

type Sessions struct {
	cache *ttlcache.Cache[string, string]
}

func New(limit int, ttl time.Duration) (*Sessions, error) {
	cache := ttlcache.New(ttlcache.WithCapacity[string, string](uint64(limit)), ttlcache.WithTTL[string, string](ttl))
	go cache.Start()
	return &Sessions{cache}, nil
}

func (s *Sessions) Put(user, id, token string) error {
	s.cache.Set(user+"/"+id, token, ttlcache.DefaultTTL)
	return nil
}

// Get also begins the time of the session anew.
func (s *Sessions) Get(user, id string) (string, bool) {
	item := s.cache.Get(user + "/" + id)
	if item == nil {
		return "", false
	}
	return item.Value(), true
}

func (s *Sessions) LogOut(user string) {
	var keys []string
	s.cache.Range(func(item *ttlcache.Item[string, string]) bool {
		if strings.HasPrefix(item.Key(), user+"/") {
			keys = append(keys, item.Key())
		}
		return true
	})
	for _, key := range keys {
		s.cache.Delete(key)
	}
}

func (s *Sessions) Close() { s.cache.Stop() }
