package redisstore

import (
	"context"
	"hash/maphash"
	"iter"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"github.com/sessioncache/sessioncache/session"
)

// scanPage is how many keys SCAN looks at in a round trip.
const scanPage = 256

// fetchPage is how many sessions All asks for in a round trip.
const fetchPage = 32

// All yields every session. It walks all keys of all primaries, whosever they are, 256 in a round trip, and asks
// for the sessions that it finds, 32 in a round trip: it is for administration. It remembers 16 bytes of each session that it
// has met, for SCAN may repeat some. A server that is lost meanwhile ends it with an error.
func (s *Store) All(ctx context.Context) iter.Seq2[session.Entry, error] {
	return func(yield func(session.Entry, error) bool) {
		for page, err := range s.pages(ctx) {
			if err != nil {
				yield(session.Entry{}, err)
				return
			}
			for keys := range slices.Chunk(page, fetchPage) {
				entries, err := s.fetch(ctx, keys)
				if err != nil {
					yield(session.Entry{}, err)
					return
				}
				for _, e := range entries {
					if !yield(e, nil) {
						return
					}
				}
			}
		}
	}
}

// Size returns the number of sessions. It costs what All does, but for the sessions themselves.
func (s *Store) Size(ctx context.Context) (int, error) {
	n := 0
	for page, err := range s.pages(ctx) {
		if err != nil {
			return 0, err
		}
		n += len(page)
	}
	return n, nil
}

// pages yields the keys of sessions, each once, and in the end an error if there is one.
func (s *Store) pages(ctx context.Context) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		if err := s.usable(ctx); err != nil {
			yield(nil, err)
			return
		}
		nodes, err := s.primaries(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		met := newSeen()
		for _, node := range nodes {
			for cursor, more := uint64(0), true; more; more = cursor != 0 {
				var page []string
				if page, cursor, err = s.scan(ctx, node, cursor); err != nil {
					yield(nil, err)
					return
				}
				if page = met.fresh(page); len(page) > 0 && !yield(page, nil) {
					return
				}
			}
		}
	}
}

// seen are the keys that a walk has met, by two hashes that nobody can foresee.
type seen struct {
	seeds [2]maphash.Seed
	all   map[[2]uint64]struct{}
}

func newSeen() seen {
	return seen{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, all: map[[2]uint64]struct{}{}}
}

// fresh returns those of a page that were not met before.
func (m *seen) fresh(page []string) (keys []string) {
	for _, k := range page {
		h := [2]uint64{maphash.String(m.seeds[0], k), maphash.String(m.seeds[1], k)}
		if _, ok := m.all[h]; !ok {
			m.all[h] = struct{}{}
			keys = append(keys, k)
		}
	}
	return keys
}

// primaries returns the nodes that have the keys. Those of a cluster say themselves which they are: a replica
// that lags has keys that are gone.
func (s *Store) primaries(ctx context.Context) (nodes []rueidis.Client, err error) {
	client := s.client.Load()
	if client == nil {
		return nil, s.blame(errNoConnection)
	}
	for _, node := range (*client).Nodes() {
		if s.cfg.Mode == Cluster {
			answer, err := s.call(ctx, func(rueidis.Client) rueidis.RedisResult {
				return node.Do(calling, node.B().Role().Build())
			})
			if err != nil {
				return nil, err
			}
			parts, err := answer.ToArray()
			if err != nil || len(parts) == 0 {
				return nil, ErrProtocol
			}
			if role, _ := parts[0].ToString(); role != "master" {
				continue
			}
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// scan returns the keys of sessions among the next keys of a node.
func (s *Store) scan(ctx context.Context, node rueidis.Client, cursor uint64) ([]string, uint64, error) {
	answer, err := s.call(ctx, func(rueidis.Client) rueidis.RedisResult {
		return node.Do(calling, node.B().Scan().Cursor(cursor).Match(s.cfg.Prefix+sessionKind+"*").Count(scanPage).Build())
	})
	if err != nil {
		return nil, 0, err
	}
	e, err := answer.AsScanEntry()
	if err != nil {
		return nil, 0, ErrProtocol
	}
	var ours []string
	for _, k := range e.Elements {
		if _, ok := s.keyOf(k); ok {
			ours = append(ours, k)
		}
	}
	return ours, e.Cursor, nil
}

// fetch returns the sessions that are still there of a page of keys.
func (s *Store) fetch(ctx context.Context, page []string) (entries []session.Entry, err error) {
	var answers []rueidis.RedisResult // written before the call ends
	_, err = s.call(ctx, func(c rueidis.Client) rueidis.RedisResult {
		all := make(rueidis.Commands, 0, 2*len(page))
		for _, k := range page {
			all = append(all, c.B().Get().Key(k).Build(), c.B().Pttl().Key(k).Build())
		}
		got := c.DoMulti(calling, all...)
		answers = got
		return got[0]
	})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	for i, k := range page {
		key, _ := s.keyOf(k)
		e, err := scanned(key, answers[2*i:], now)
		if err == session.ErrNotFound {
			continue // it has gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// scanned makes an Entry of the answers to GET and PTTL.
func scanned(key session.Key, answers []rueidis.RedisResult, now time.Time) (session.Entry, error) {
	msg, err := answers[0].ToMessage()
	if err != nil && !rueidis.IsRedisNil(err) {
		return session.Entry{}, errOf(err)
	}
	b, err := found(msg, nil)
	if err != nil {
		return session.Entry{}, err
	}
	left, err := answers[1].ToInt64()
	switch {
	case err != nil:
		return session.Entry{}, errOf(err)
	case left < 0:
		return session.Entry{}, session.ErrNotFound
	}
	return session.Entry{Key: key, Session: b, Expires: now.Add(life(left))}, nil
}
