package tlscache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// A pool holds the tickets of a client by key: {scope, server name} or {scope, server name,
// address}. A key has up to PerKey tickets of TLS 1.3, or one of TLS 1.2. All methods are
// safe for concurrent use, and none waits beyond the budget of the store.
type pool interface {
	// take returns the key's newest ticket, or nil and why. The ticket leaves the pool, but
	// for the last one without SingleUse: that stays, as handed out.
	take(key string) (*ticket, MissReason)

	// peek is take, but the ticket stays where it is, as handed out.
	peek(key string) (*ticket, MissReason)

	// put makes a ticket its key's newest. It replaces those that were handed out, those of
	// the other kind of TLS version, and an older mirror; and it ends a row of strikes.
	put(key string, t *ticket)

	// giveBack is put for a ticket that a cancelled dial has used: it tells nothing new.
	giveBack(key string, t *ticket)

	// strike removes the tickets of a key that were handed out and are still held. The
	// others go with the second strike in a row, with no put in between.
	strike(key string)

	// drop removes the tickets that a server which has just declined one will not want: those
	// handed out, and older ones.
	drop(key string)

	// flush removes the tickets of a server name, or all with an empty one.
	flush(name string)

	held() poolHeld
	close()
}

// poolHeld is what a pool says about its content.
type poolHeld struct {
	tickets          int
	expired, evicted uint64
	store            StoreStats
}

// A memoryPool holds live session states in this process.
type memoryPool struct {
	cache     *fastcache.Cache[*ticket]
	sequence  atomic.Uint64
	max       int
	singleUse bool
}

func newMemoryPool(cfg ClientConfig) (*memoryPool, error) {
	cache, err := fastcache.New(fastcache.Config[*ticket]{MaxSessions: cfg.MaxSessions, MaxPerPartial: cfg.PerKey})
	if err != nil {
		return nil, fmt.Errorf("tlscache: %w", err)
	}
	return &memoryPool{cache: cache, max: cfg.MaxSessions, singleUse: cfg.SingleUse}, nil
}

func (p *memoryPool) take(key string) (*ticket, MissReason) {
	take := p.cache.TakeNewestKeepLast
	if p.singleUse {
		take = p.cache.TakeNewest
	}
	_, t, ok := take(key)
	if !ok {
		return nil, MissGone
	}
	t.handed.Store(true) // whether it stayed or not
	for _, next := range p.cache.SelectSession(key) {
		next.exposed.Store(true)
		break
	}
	return t, 0
}

func (p *memoryPool) peek(key string) (*ticket, MissReason) {
	for _, t := range p.cache.SelectSession(key) {
		t.handed.Store(true)
		return t, 0
	}
	return nil, MissGone
}

func (p *memoryPool) put(key string, t *ticket) {
	// Once it is in the cache, others may take it, so all of it is written before.
	t.sequence = p.sequence.Add(1)
	if !t.facts.is13() {
		p.inheritDeadline(key, t)
	}
	if !p.insert(key, t) {
		return
	}
	// The newcomer is in before its elders go: a Get in between never finds none.
	full := !p.singleUse && p.cache.Size() >= p.max
	for k, elder := range p.cache.SelectSession(key) {
		switch {
		case elder.sequence >= t.sequence: // itself, or of a put that ran meanwhile
		case full || t.replaces(elder):
			p.cache.Delete(k)
		default:
			elder.struck.Store(false)
		}
	}
}

// replaces reports whether an older ticket of the same key is worthless beside t. One that
// was handed out has been used, and the server has just shown that it issues fresh ones.
func (t *ticket) replaces(elder *ticket) bool {
	return elder.handed.Load() || elder.mirror || !t.facts.is13() || !elder.facts.is13()
}

// inheritDeadline keeps a TLS 1.2 master secret from living on in renewed tickets, each of
// which says that it was made just now.
func (p *memoryPool) inheritDeadline(key string, t *ticket) {
	for _, elder := range p.cache.SelectSession(key) {
		if bytes.Equal(elder.facts.secret, t.facts.secret) && elder.until.Before(t.until) {
			t.until = elder.until
		}
	}
}

// insert stores a ticket for the rest of its life and reports whether it has any left.
func (p *memoryPool) insert(key string, t *ticket) bool {
	ttl := time.Until(t.until)
	if ttl <= 0 {
		return false
	}
	// The error is dropped: the cache was closed, or the name is longer than any name.
	return p.cache.UpdateTTL(placeOf(key, t), t, ttl) == nil
}

// placeOf returns a ticket's place in the cache.
func placeOf(key string, t *ticket) fastcache.Key {
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], t.sequence)
	return fastcache.Key{Partial: key, ID: string(id[:])}
}

func (p *memoryPool) giveBack(key string, t *ticket) { p.insert(key, t) }

func (p *memoryPool) strike(key string) {
	var spared []fastcache.Key
	again := false
	for k, t := range p.cache.SelectSession(key) {
		if t.handed.Load() {
			p.cache.Delete(k)
			continue
		}
		again = t.struck.Swap(true) || again
		spared = append(spared, k)
	}
	if !again {
		return
	}
	// One by one, and not the whole key: a connection that works may just have stored
	// a new ticket, which this strike does not speak about.
	for _, k := range spared {
		p.cache.Delete(k)
	}
}

func (p *memoryPool) drop(key string) {
	older := false // than one that was taken, and probably declined: the server was restarted
	for k, t := range p.cache.SelectSession(key) {
		older = older || t.exposed.Load()
		if older || t.handed.Load() {
			p.cache.Delete(k)
		}
	}
}

func (p *memoryPool) flush(name string) {
	if name == "" {
		p.cache.Clear()
		return
	}
	for k := range p.cache.All() {
		if nameOfKey(k.Partial) == name {
			p.cache.Delete(k)
		}
	}
}

func (p *memoryPool) held() poolHeld {
	st := p.cache.Stats()
	return poolHeld{tickets: st.Sessions, expired: st.Expired, evicted: st.Evicted + st.Quota}
}

func (p *memoryPool) close() { p.cache.Close() }

// The key of a pool is the scope, of fixed length, the server name, and for the tickets of
// one endpoint a NUL and its address.
func poolKey(scope, name string) string              { return scope + name }
func endpointKey(scope, name, address string) string { return scope + name + "\x00" + address }

// nameOfKey returns the server name in a key.
func nameOfKey(key string) string {
	name, _, _ := strings.Cut(key[scopeSize:], "\x00")
	return name
}
