package tlscache

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/hostname"
)

// maxCancelled is how many dials that offered one ticket may be cancelled before it is taken
// for the cause: a server that never answers it looks just like that, and what waits longer
// than a caller's patience must not wait for ever.
const maxCancelled = 2

// A pool holds the tickets of a client by key: {scope, server name} or {scope, server name,
// address}. A key has up to PerKey tickets of TLS 1.3, or one of TLS 1.2. All methods are
// safe for concurrent use, and none waits beyond the budget of the store.
type pool interface {
	// take returns the key's newest ticket, or nil and why. The ticket leaves the pool, but
	// for the last one without SingleUse: that stays, as handed out. Those that are over at
	// now go; its wall time may be that of the connection's Config.
	take(key string, now clock.Stamp) (loan, MissReason)

	// peek is take, but the ticket stays where it is, as handed out.
	peek(key string, now clock.Stamp) (loan, MissReason)

	// put makes a ticket its key's newest. It replaces those that were handed out, those of
	// the other kind of TLS version, and an older mirror; and it ends a row of strikes.
	put(key string, t ticket)

	// mirror is put of a copy, under a name, of an endpoint's ticket. It replaces less than a ticket of the name's
	// own, and is the first to go where there is no room.
	mirror(key string, t ticket)

	// cancelled notes that a dial which offered a ticket was cancelled, and returns how many
	// have been. giveBack is put for such a ticket, as long as it is wanted: it tells nothing new.
	cancelled(key string, l loan) int32
	giveBack(key string, l loan, wanted func() bool)

	// strike removes the tickets of a key that were handed out and are still held. The
	// others go with the second strike in a row, with no put in between.
	strike(key string)

	// drop removes the tickets that a server which has just declined one will not want: those
	// handed out, and older ones.
	drop(key string)

	// flush removes the tickets of a server name, flushAll those of all.
	flush(name string)
	flushAll()

	held() poolHeld
	close()
}

// A loan is a ticket that a pool has handed out, and the pool's own notes of it.
type loan interface{ lent() *ticket }

// poolHeld is what a pool says about its content.
type poolHeld struct {
	tickets          int
	expired, evicted uint64
	store            StoreStats
}

// A memoryPool holds live session states in this process.
type memoryPool struct {
	cache     *fastcache.Cache[*memoryTicket]
	clock     *clock.Clock
	sequence  atomic.Uint64
	ended     atomic.Uint64 // by a clock that is not the cache's
	max       int
	singleUse bool
}

// A memoryTicket is a ticket in a memoryPool. It is not changed while the pool has it, but for its atomic marks.
type memoryTicket struct {
	ticket
	sequence uint64 // the order of put
	place    uint64 // the id that it has in the cache, inherited from the ticket that it replaced
	mirror   bool   // a copy for the name of an endpoint's ticket

	handed  atomic.Bool // given to a handshake at least once
	exposed atomic.Bool // its key's newest once a newer one had been taken
	struck  atomic.Bool // survived a strike, and no ticket came since
	claimed atomic.Bool // about to be removed or replaced

	cancels atomic.Int32 // dials that offered it and were cancelled
}

func (t *memoryTicket) lent() *ticket { return &t.ticket }

func newMemoryPool(cfg ClientConfig, clock *clock.Clock) (*memoryPool, error) {
	cache, err := fastcache.New(fastcache.Config[*memoryTicket]{
		MaxSessions: cfg.MaxSessions, MaxPerPartial: cfg.PerKey,
		Hash: fastcache.SecretHash, // others say which hosts are dialled
	})
	if err != nil {
		return nil, fmt.Errorf("tlscache: %w", err)
	}
	return &memoryPool{cache: cache, clock: clock, max: cfg.MaxSessions, singleUse: cfg.SingleUse}, nil
}

func (p *memoryPool) take(key string, now clock.Stamp) (loan, MissReason) {
	take := p.cache.TakeNewestKeepLast
	if p.singleUse {
		take = p.cache.TakeNewest
	}
	_, t, ok := take(key)
	for ok && t.over(now) {
		if !p.expire(key, t) {
			return nil, MissGone // another is coming
		}
		_, t, ok = take(key)
	}
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

// expire removes a ticket that is over, unless another replaces it.
func (p *memoryPool) expire(key string, t *memoryTicket) bool {
	if !t.claim() {
		return false
	}
	p.ended.Add(1)
	p.cache.Delete(placeOf(key, t))
	return true
}

func (p *memoryPool) peek(key string, now clock.Stamp) (loan, MissReason) {
	for _, t := range p.cache.SelectSession(key) {
		if t.over(now) {
			p.expire(key, t)
			continue
		}
		t.handed.Store(true)
		return t, 0
	}
	return nil, MissGone
}

func (p *memoryPool) put(key string, t ticket) { p.store(key, &memoryTicket{ticket: t}) }

func (p *memoryPool) mirror(key string, t ticket) {
	p.store(key, &memoryTicket{ticket: t, mirror: true})
}

func (p *memoryPool) store(key string, t *memoryTicket) {
	// All of it is written before it is in the cache, where others may take it.
	t.sequence = p.sequence.Add(1)
	t.place = t.sequence
	elder := p.replaceable(key, t)
	if elder != nil {
		t.place = elder.place // in one step: a Get in between finds either, and no other is evicted
	} else if t.mirror && p.full() {
		return // it would evict a ticket that is needed more
	}
	if !p.insert(key, t) {
		if elder != nil {
			p.cache.Delete(placeOf(key, elder)) // claimed, so no one else removes it
		}
		return
	}
	if t.mirror {
		p.cache.Demote(placeOf(key, t)) // the first to go when there is no room
	}
	for _, elder := range p.cache.SelectSession(key) {
		switch {
		case elder.sequence >= t.sequence: // itself, or of a put that ran meanwhile
		case t.replaces(elder):
			p.discard(key, elder)
		default:
			elder.struck.Store(false)
		}
	}
}

// replaceable claims the ticket whose place a new one takes, if there is one: the oldest of
// those that it makes worthless, or of all in a full pool, which keeps one per key.
func (p *memoryPool) replaceable(key string, t *memoryTicket) *memoryTicket {
	any := !p.singleUse && !t.mirror && p.full()
	var oldest *memoryTicket
	for _, elder := range p.cache.SelectSession(key) {
		if any || t.replaces(elder) {
			oldest = elder
		}
	}
	if oldest == nil || !oldest.claim() {
		return nil
	}
	return oldest
}

func (p *memoryPool) full() bool { return p.cache.Size() >= p.max }

// replaces reports whether an older ticket of the same key is worthless beside t. One that
// was handed out has been used, and the server has just shown that it issues fresh ones.
func (t *memoryTicket) replaces(elder *memoryTicket) bool {
	if !t.facts.Is13() || !elder.facts.Is13() {
		return true
	}
	return elder.mirror || !t.mirror && elder.handed.Load()
}

// claim takes the right to remove t, or to store another ticket in its place, and reports whether the caller got it.
// Both go by the place, so without it a removal could hit the other ticket.
func (t *memoryTicket) claim() bool { return t.claimed.CompareAndSwap(false, true) }

// discard removes a ticket unless another replaces or removes it.
func (p *memoryPool) discard(key string, t *memoryTicket) {
	if t.claim() {
		p.cache.Delete(placeOf(key, t))
	}
}

// insert stores a ticket for the rest of its life and reports whether it has any left.
func (p *memoryPool) insert(key string, t *memoryTicket) bool {
	ttl := time.Duration(t.until.Order - p.clock.Read().Order)
	if ttl <= 0 {
		return false
	}
	// The error is dropped: the cache was closed, or the name is longer than any name.
	return p.cache.UpdateTTL(placeOf(key, t), t, ttl) == nil
}

// placeOf returns a ticket's place in the cache.
func placeOf(key string, t *memoryTicket) fastcache.Key {
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], t.place)
	return fastcache.Key{Partial: key, ID: string(id[:])}
}

func (p *memoryPool) cancelled(_ string, l loan) int32 { return l.(*memoryTicket).cancels.Add(1) }

func (p *memoryPool) giveBack(key string, l loan, wanted func() bool) {
	t := l.(*memoryTicket)
	if !wanted() || !t.claim() { // claimed: it had stayed, and a fresh one takes its place
		return
	}
	if again := p.restore(key, t); !wanted() {
		p.discard(key, again) // a flush that began meanwhile may have passed by its place
	}
}

// restore stores a ticket that the caller has claimed in its place again.
func (p *memoryPool) restore(key string, t *memoryTicket) *memoryTicket {
	again := &memoryTicket{ticket: t.ticket, sequence: t.sequence, place: t.place, mirror: t.mirror}
	again.handed.Store(t.handed.Load())
	again.cancels.Store(t.cancels.Load())
	if !p.insert(key, again) {
		p.cache.Delete(placeOf(key, t)) // it may have stayed, and is over
	}
	return again
}

func (p *memoryPool) strike(key string) {
	var spared []*memoryTicket
	again := false
	for _, t := range p.cache.SelectSession(key) {
		if t.handed.Load() {
			p.discard(key, t)
			continue
		}
		again = t.struck.Swap(true) || again
		spared = append(spared, t)
	}
	if !again {
		return
	}
	// One by one, and not the whole key: a connection that works may just have stored
	// a new ticket, which this strike does not speak about.
	for _, t := range spared {
		p.discard(key, t)
	}
}

func (p *memoryPool) drop(key string) {
	older := false // than one that was taken, and probably declined: the server was restarted
	for _, t := range p.cache.SelectSession(key) {
		older = older || t.exposed.Load()
		if older || t.handed.Load() {
			p.discard(key, t)
		}
	}
}

func (p *memoryPool) flush(name string) {
	for k, t := range p.cache.All() {
		if isKeyOf(k.Partial, name) {
			p.discard(k.Partial, t)
		}
	}
}

func (p *memoryPool) flushAll() { p.cache.Clear() }

func (p *memoryPool) held() poolHeld {
	st := p.cache.Stats()
	return poolHeld{tickets: st.Sessions, expired: st.Expired + p.ended.Load(), evicted: st.Evicted + st.Quota}
}

func (p *memoryPool) close() { p.cache.Close() }

// The key of a pool is the scope, of fixed length, and the server name in its normal form, which is all that
// isKeyOf looks at. Each behind a NUL of its own follow what else was in the name, a zone or a port, and for the
// tickets of one endpoint its address.
func poolKey(scope, serverName string) string {
	host, rest := hostname.Split(serverName)
	if rest == "" {
		return scope + host
	}
	return scope + host + "\x00" + rest
}

func endpointKey(nameKey, address string) string { return nameKey + "\x00" + address }

// isKeyOf reports whether a key is of a server name, which is normal.
func isKeyOf(key, name string) bool {
	rest, ok := strings.CutPrefix(key[scopeSize:], name)
	return ok && (rest == "" || rest[0] == 0)
}

// normalKey returns a key as this version makes it. Another may have had another normal form.
func normalKey(key string) string {
	name, rest, more := strings.Cut(key[scopeSize:], "\x00")
	normal := poolKey(key[:scopeSize], name)
	if more {
		normal += "\x00" + rest
	}
	return normal
}
