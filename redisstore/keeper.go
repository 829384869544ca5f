package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/sessioncache/sessioncache/session"
)

// The keeper is the one who connects. It pings every node each period, under a context of its own, so that a lost
// connection comes back though no caller has the time for that, and that callers fail at once until then. A
// node that leaves a ping unanswered for Timeout loses its connections, and all that waits for them ends.
const (
	period    = 250 * time.Millisecond // between rounds: how long an outage outlasts itself
	minPeriod = 20 * time.Millisecond  // between rounds that callers ask for
)

// A keeper knows what its last round has met.
type keeper struct {
	kicked chan struct{} // a caller has lost a connection
	mu     struct {
		sync.Mutex
		last  error // of the last round; nil: every node answered
		nodes int
		alive int
		round chan struct{} // closed at the end of the round, then another
	}
}

func (k *keeper) init() {
	k.kicked = make(chan struct{}, 1)
	k.mu.round = make(chan struct{})
	k.mu.last = errNoConnection
}

// kick asks for a round soon.
func (k *keeper) kick() {
	select {
	case k.kicked <- struct{}{}:
	default:
	}
}

// met notes the end of a round.
func (k *keeper) met(nodes, alive int, last error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.nodes, k.mu.alive, k.mu.last = nodes, alive, last
	close(k.mu.round)
	k.mu.round = make(chan struct{})
}

// state returns what met has noted, and what is closed at the next.
func (k *keeper) state() (nodes, alive int, next <-chan struct{}, last error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.nodes, k.mu.alive, k.mu.round, k.mu.last
}

// keep makes rounds until Close.
func (s *Store) keep() {
	defer func() {
		s.up.Store(false)
		if c := s.client.Load(); c != nil {
			(*c).Close()
		}
	}()
	for s.ctx.Err() == nil {
		s.round()
		s.rest()
	}
}

// rest waits for the next round.
func (s *Store) rest() {
	timer := time.NewTimer(minPeriod)
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
		return
	case <-timer.C:
	}
	timer.Reset(period - minPeriod)
	select {
	case <-s.ctx.Done():
	case <-timer.C:
	case <-s.keeper.kicked:
	}
}

// round pings every node. Of a cluster it is enough for up that one answers: which slots the others have is
// known to the client library alone, whose calls to them fail at once while there is no connection.
func (s *Store) round() {
	client, err := s.connect()
	if err != nil {
		s.up.Store(false)
		s.keeper.met(0, 0, errOf(err))
		return
	}
	nodes := client.Nodes()
	failed := make(chan error, len(nodes))
	for addr, node := range nodes {
		go func() { failed <- s.ping(addr, node) }()
	}
	alive, last := 0, error(nil)
	for range nodes {
		if err := <-failed; err != nil {
			last = err
			continue
		}
		alive++
		s.up.Store(true) // callers need not wait for a node that is slow to say that it is dead
	}
	s.up.Store(alive > 0)
	s.keeper.met(len(nodes), alive, last)
}

// connect returns the client, and makes it if there is none yet. It ends with the dials in it, each of
// which has Timeout.
func (s *Store) connect() (rueidis.Client, error) {
	if c := s.client.Load(); c != nil {
		return *c, nil
	}
	c, err := rueidis.NewClient(s.options())
	if c == nil { // with Standalone there is one in any case
		return nil, err
	}
	if err != nil && s.cfg.Mode != Standalone {
		c.Close()
		return nil, err
	}
	s.client.Store(&c)
	return c, nil
}

// ping returns why a node does not serve, if so.
func (s *Store) ping(addr string, node rueidis.Client) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Timeout)
	defer cancel()
	err := node.Do(ctx, node.B().Ping().Build()).Error()
	if err != nil && ctx.Err() != nil {
		s.conns.closeTo(addr)
		return errTimeout
	}
	return errOf(err)
}

// errTimeout is what callers get for whom Timeout ends, and not their context.
var errTimeout = fmt.Errorf("%w: no answer in time", ErrUnavailable)

// Ready waits until every node that the Store knows has answered, and returns nil. If ctx ends before, the
// error wraps that of ctx and says what is wrong. A program that can do without sessions need not call it.
func (s *Store) Ready(ctx context.Context) error {
	for {
		_, alive, next, last := s.keeper.state()
		switch {
		case s.closed.Load():
			return session.ErrClosed
		case last == nil && alive > 0:
			return nil
		}
		select {
		case <-next:
		case <-s.ctx.Done():
			return session.ErrClosed
		case <-ctx.Done():
			return errors.Join(ctx.Err(), last)
		}
	}
}

// Stats are a Store's counters since its birth, and its present state. They are not all of one instant.
type Stats struct {
	Calls     uint64 // round trips begun
	Failures  uint64 // calls that the server did not answer, or answered with an error
	Abandoned uint64 // round trips whose callers did not wait for the answer
	Evals     uint64 // scripts that were sent in full, because the server did not know them
	Dials     uint64 // attempts to connect
	InFlight  int    // round trips under way, the abandoned ones included
	Nodes     int    // that the Store knows
	Reachable int    // of these, those that answered the last ping
}

// Stats returns the figures.
func (s *Store) Stats() Stats {
	nodes, alive, _, _ := s.keeper.state()
	return Stats{
		Calls: s.counts.calls.Load(), Failures: s.counts.failures.Load(), Abandoned: s.counts.abandoned.Load(),
		Evals: s.counts.evals.Load(), Dials: s.counts.dials.Load(),
		InFlight: len(s.places), Nodes: nodes, Reachable: alive,
	}
}

// options are those of the client library.
func (s *Store) options() rueidis.ClientOption {
	const buffer = 32 << 10 // half a MiB each by default
	o := rueidis.ClientOption{
		InitAddress:         s.cfg.Addrs,
		Username:            s.cfg.Username,
		Password:            s.cfg.Password,
		TLSConfig:           s.cfg.TLS,
		DialCtxFn:           s.dial,
		ConnWriteTimeout:    s.cfg.Timeout,
		PipelineMultiplex:   -1, // one connection per node, which the keeper's ping keeps
		AlwaysPipelining:    true,
		ReadBufferEachConn:  buffer,
		WriteBufferEachConn: buffer,
		DisableRetry:        true, // a Take that is tried again turns a hit into a miss
		DisableCache:        true,
		ClientSetInfo:       rueidis.DisableClientSetInfo, // a right less
		ForceSingleClient:   s.cfg.Mode == Standalone,
	}
	o.Dialer.Timeout = s.cfg.Timeout
	o.Dialer.KeepAlive = -1 // the keeper's ping does that
	o.ClusterOption.MaxMovedRedirections = 3
	if s.cfg.Mode == Sentinel {
		o.Sentinel = rueidis.SentinelOption{
			MasterSet: s.cfg.Primary, TLSConfig: s.cfg.TLS,
			Dialer:   net.Dialer{Timeout: s.cfg.Timeout, KeepAlive: time.Second}, // the library pings sentinels itself
			Username: s.cfg.SentinelUsername, Password: s.cfg.SentinelPassword,
			TopologyRefreshInterval: time.Second,
		}
	}
	return o
}
