package redisstore

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/session"
)

// A Store keeps sessions on Redis or Valkey. It is a session.Indexed; its methods are safe for concurrent use.
// The zero Store is not usable; call New. A Store must not be copied.
//
// Each method but All and Size makes one round trip, SelectSession and DeletePartial one more for each 256 sessions
// beyond the first. No method tries anything twice. One whose context ends returns at once, and a change may or may not
// have been made.
type Store struct {
	cfg    Config
	client atomic.Pointer[rueidis.Client] // nil until the keeper has made one
	places chan struct{}                  // one for each round trip under way
	up     atomic.Bool                    // the keeper's last round has met a server that works
	closed atomic.Bool
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	keeper keeper
	conns  conns
	counts struct{ calls, failures, abandoned, evals, dials atomic.Uint64 }
	ended  sync.WaitGroup // the keeper, and whatever else runs
}

var _ session.Indexed = (*Store)(nil)

// New returns a Store, which begins to connect and goes on until it is closed: a server that cannot be reached is
// no error of New. Use Ready to wait for one. The error names every faulty field of cfg.
func New(cfg Config) (*Store, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, places: make(chan struct{}, cfg.MaxInFlight)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.keeper.init()
	s.ended.Go(s.keep)
	return s, nil
}

// Lookup returns the session of a key. It costs the server one GET.
func (s *Store) Lookup(ctx context.Context, key session.Key) ([]byte, error) {
	if err := s.ready(ctx, key.Partial, key.ID); err != nil {
		return nil, err
	}
	name := s.nameOf(key.Partial).session(key.ID)
	return found(s.call(ctx, func(c rueidis.Client) rueidis.RedisResult {
		return c.Do(calling, c.B().Get().Key(name).Build())
	}))
}

// Take returns the session of a key and removes it. A Take whose context ended may have taken the session.
func (s *Store) Take(ctx context.Context, key session.Key) ([]byte, error) {
	if err := s.ready(ctx, key.Partial, key.ID); err != nil {
		return nil, err
	}
	n := s.nameOf(key.Partial)
	if s.cfg.NoScripts {
		return found(s.call(ctx, func(c rueidis.Client) rueidis.RedisResult {
			return c.Do(calling, c.B().Getdel().Key(n.session(key.ID)).Build())
		}))
	}
	return found(s.run(ctx, &takeScript, []string{n.session(key.ID), n.index}, key.ID))
}

// found returns the session in an answer, or ErrNotFound. It shares nothing with the answer.
func found(answer rueidis.RedisMessage, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if answer.IsNil() {
		return nil, session.ErrNotFound
	}
	if !answer.IsString() {
		return nil, ErrProtocol
	}
	b, err := answer.AsBytes()
	return bytes.Clone(b), errOf(err)
}

// Update stores a session. Its TTL is cut to MaxTTL, and to whole milliseconds, but for the first.
func (s *Store) Update(ctx context.Context, key session.Key, b []byte, ttl time.Duration) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	switch longest := max(len(key.Partial), len(key.ID)); {
	case ttl <= 0:
		return fmt.Errorf("%w: %v", session.ErrBadTTL, ttl)
	case longest > fastcache.MaxKeyPart:
		return fmt.Errorf("%w: %d bytes; want at most %d", session.ErrKeyTooLong, longest, fastcache.MaxKeyPart)
	case len(b) > s.cfg.MaxSessionSize:
		return fmt.Errorf("%w: %d bytes; want at most %d", session.ErrTooLarge, len(b), s.cfg.MaxSessionSize)
	}
	ms := max(min(ttl, s.cfg.MaxTTL).Milliseconds(), 1)
	n := s.nameOf(key.Partial)
	value := string(b) // the call may outlast its caller, who may write to b then
	if s.cfg.NoScripts {
		_, err := s.call(ctx, func(c rueidis.Client) rueidis.RedisResult {
			return c.Do(calling, c.B().Set().Key(n.session(key.ID)).Value(value).PxMilliseconds(ms).Build())
		})
		return err
	}
	_, err := s.run(ctx, &updateScript, []string{n.session(key.ID), n.index},
		key.ID, value, strconv.FormatInt(ms, 10), n.head)
	return err
}

// Delete removes the session of a key, if it has one.
func (s *Store) Delete(ctx context.Context, key session.Key) error {
	if err := s.ready(ctx, key.Partial, key.ID); err != nil {
		return absent(err, nil)
	}
	n := s.nameOf(key.Partial)
	if s.cfg.NoScripts {
		_, err := s.call(ctx, func(c rueidis.Client) rueidis.RedisResult {
			return c.Do(calling, c.B().Del().Key(n.session(key.ID)).Build())
		})
		return err
	}
	_, err := s.run(ctx, &deleteScript, []string{n.session(key.ID), n.index}, key.ID)
	return err
}

// Close ends the connections. The sessions stay on the server until their time is over. It waits for no server, and
// calls under way return ErrClosed.
func (s *Store) Close() error {
	if !s.closed.Swap(true) {
		s.cancel()
		s.conns.closeAll()
	}
	s.ended.Wait()
	return nil
}
