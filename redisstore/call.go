package redisstore

import (
	"context"
	"errors"

	"github.com/redis/rueidis"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/session"
)

// calling is the context of all commands of callers. It never ends, so a command ends with its answer or its
// connection and not before: the client library answers in order, and a command that was given up keeps its place among
// those of its connection. And it forbids to connect, which is the keeper's: the time that a caller has
// is seldom enough for it, and callers would try over and over.
var calling = context.WithValue(context.Background(), callerKey{}, true)

type callerKey struct{}

// usable returns why a call must do nothing, if so.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return session.ErrClosed
	}
	return nil
}

// ready is usable for a call that looks for a session: under a key that is too long for Update there is none.
func (s *Store) ready(ctx context.Context, parts ...string) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	for _, p := range parts {
		if len(p) > fastcache.MaxKeyPart {
			return session.ErrNotFound
		}
	}
	return nil
}

// absent replaces ErrNotFound by what a method returns that does not mind.
func absent(err, instead error) error {
	if errors.Is(err, session.ErrNotFound) {
		return instead
	}
	return err
}

// call makes a round trip for which do sends commands under the context calling. It returns when the answer is there, or
// when ctx or Timeout ends. The round trip then goes on without its caller, in a place that no other gets meanwhile:
// so there are never more of them than places, whatever the server does.
func (s *Store) call(ctx context.Context, do func(rueidis.Client) rueidis.RedisResult) (rueidis.RedisMessage, error) {
	type answer struct {
		msg rueidis.RedisMessage
		err error
	}
	if err := s.usable(ctx); err != nil { // again for each page
		return rueidis.RedisMessage{}, err
	}
	client := s.client.Load()
	if client == nil || !s.up.Load() {
		s.counts.failures.Add(1)
		return rueidis.RedisMessage{}, s.blame(errNoConnection)
	}
	within, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	select {
	case s.places <- struct{}{}:
	case <-within.Done():
		return rueidis.RedisMessage{}, s.late(ctx)
	}
	s.counts.calls.Add(1)
	over := make(chan answer, 1)
	go func() {
		defer func() { <-s.places }()
		msg, err := do(*client).ToMessage()
		over <- answer{msg, err}
	}()
	select {
	case a := <-over:
		if a.err == nil || rueidis.IsRedisNil(a.err) {
			return a.msg, nil
		}
		s.counts.failures.Add(1)
		if _, answered := rueidis.IsRedisErr(a.err); !answered {
			s.keeper.kick()
		}
		return rueidis.RedisMessage{}, s.blame(errOf(a.err))
	case <-within.Done():
		s.counts.abandoned.Add(1)
		return rueidis.RedisMessage{}, s.late(ctx)
	}
}

// late returns why a call did not wait any longer.
func (s *Store) late(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.counts.failures.Add(1)
	return s.blame(errTimeout)
}

// blame puts down to Close what Close has done.
func (s *Store) blame(err error) error {
	if s.closed.Load() {
		return session.ErrClosed
	}
	return err
}
