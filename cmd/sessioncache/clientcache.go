package main

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/sessioncache/sessioncache/fastcache"
)

// ticketsPerKey bounds the sessions that clients hold for one host.
const ticketsPerKey = 8

// A clientCache holds the sessions of all clients of the fleet. A dial gets its own view.
type clientCache struct {
	*fastcache.Cache[clientSession]
	sequence atomic.Uint64 // the last session id
}

// A clientSession is what a client must keep to resume. It is not changed once stored.
type clientSession struct {
	ticket []byte
	state  *tls.SessionState
	epoch  uint32 // revocations of its host that had begun when the client received it
}

func newClientCache() (*clientCache, error) {
	cache, err := fastcache.New(fastcache.Config[clientSession]{MaxPerPartial: ticketsPerKey})
	if err != nil {
		return nil, fmt.Errorf("cannot make the clients' cache: %w", err)
	}
	return &clientCache{Cache: cache}, nil
}

// view returns the tls.ClientSessionCache of one dial to a host. The scope tells apart
// configurations that must not share sessions: a TLS 1.2 client would take a TLS 1.3
// session out of the cache and be unable to use it.
func (c *clientCache) view(scope string, to *host) *dialCache {
	return &dialCache{cache: c, scope: scope, to: to}
}

// A dialCache is the tls.ClientSessionCache of one dial, so it knows which session that
// dial offered. It is not for concurrent use, nor for a second dial.
type dialCache struct {
	cache *clientCache
	scope string
	to    *host

	offers  bool // Get returned a session
	offered fastcache.Key
	epoch   uint32 // of the offered session
}

// Get hands out the newest session that clients hold for the name. It takes it out of the
// cache, but for the last one, which stays so that parallel dials can resume too.
func (d *dialCache) Get(name string) (*tls.ClientSessionState, bool) {
	key, session, ok := d.cache.TakeNewestKeepLast(d.partial(name))
	if !ok {
		return nil, false
	}
	// NewResumptionState writes to the state, which a parallel dial may have got as well.
	cs, err := tls.NewResumptionState(session.ticket, privateCopy(session.state))
	if err != nil {
		return nil, false
	}
	d.offers, d.offered, d.epoch = true, key, session.epoch
	return cs, true
}

// Put stores a session as the name's newest. The one that this dial offered is spent then,
// and goes if it is still there. Without a session, crypto/tls strikes the one it was given.
func (d *dialCache) Put(name string, cs *tls.ClientSessionState) {
	ticket, state, err := cs.ResumptionState()
	if err == nil && state != nil {
		// The error is dropped: a session that is not stored costs a full handshake.
		_ = d.cache.Update(d.newKey(name), clientSession{ticket, state, d.to.started.Load()})
	}
	if d.offers {
		d.cache.Delete(d.offered)
	}
}

func (d *dialCache) partial(name string) string { return d.scope + " " + name }

// newKey returns a key that no other session has.
func (d *dialCache) newKey(name string) fastcache.Key {
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], d.cache.sequence.Add(1))
	return fastcache.Key{Partial: d.partial(name), ID: string(id[:])}
}

// privateCopy returns a copy whose exported fields can be written without changing the
// original, which other connections may be using: crypto/tls invites its callers to write
// EarlyData and to append to Extra. It only reads the rest.
func privateCopy(state *tls.SessionState) *tls.SessionState {
	own := *state
	own.Extra = slices.Clip(own.Extra)
	return &own
}
