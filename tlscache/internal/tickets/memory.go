package tickets

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
)

// A MemoryPool holds live session states in this process.
type MemoryPool struct {
	cache     *fastcache.Cache[*MemoryTicket]
	clock     *clock.Clock
	sequence  atomic.Uint64
	ended     atomic.Uint64 // by a clock that is not the cache's
	max       int
	singleUse bool
}

// A MemoryTicket is a ticket in a MemoryPool. It is not changed while the pool has it, but for its atomic marks.
type MemoryTicket struct {
	Ticket
	sequence uint64 // the order of put
	place    uint64 // the id that it has in the cache, inherited from the ticket that it replaced
	mirror   bool   // a copy for the name of an endpoint's ticket

	handed  atomic.Bool // given to a handshake at least once
	exposed atomic.Bool // its key's newest once a newer one had been taken
	struck  atomic.Bool // survived a strike, and no ticket came since
	claimed atomic.Bool // about to be removed or replaced

	cancels atomic.Int32 // dials that offered it and were cancelled
}

func (t *MemoryTicket) Lent() *Ticket { return &t.Ticket }

func NewMemoryPool(cfg Config, clock *clock.Clock) (*MemoryPool, error) {
	cache, err := fastcache.New(fastcache.Config[*MemoryTicket]{
		MaxSessions: cfg.MaxSessions, MaxPerPartial: cfg.PerKey,
		Hash: fastcache.SecretHash, // others say which hosts are dialled
	})
	if err != nil {
		return nil, fmt.Errorf("tlscache: %w", err)
	}
	return &MemoryPool{cache: cache, clock: clock, max: cfg.MaxSessions, singleUse: cfg.SingleUse}, nil
}

func (p *MemoryPool) Take(key string, now clock.Stamp) (Loan, error) {
	take := p.cache.TakeNewestKeepLast
	if p.singleUse {
		take = p.cache.TakeNewest
	}
	_, t, ok := take(key)
	for ok && t.over(now) {
		if !p.expire(key, t) {
			return nil, session.ErrNotFound // another is coming
		}
		_, t, ok = take(key)
	}
	if !ok {
		return nil, session.ErrNotFound
	}
	t.handed.Store(true) // whether it stayed or not
	for _, next := range p.cache.SelectSession(key) {
		next.exposed.Store(true)
		break
	}
	return t, nil
}

// expire removes a ticket that is over, unless another replaces it.
func (p *MemoryPool) expire(key string, t *MemoryTicket) bool {
	if !t.claim() {
		return false
	}
	p.ended.Add(1)
	p.cache.Delete(placeOf(key, t))
	return true
}

func (p *MemoryPool) Peek(key string, now clock.Stamp) (Loan, error) {
	for _, t := range p.cache.SelectSession(key) {
		if t.over(now) {
			p.expire(key, t)
			continue
		}
		t.handed.Store(true)
		return t, nil
	}
	return nil, session.ErrNotFound
}

func (p *MemoryPool) Put(key string, t Ticket) { p.store(key, &MemoryTicket{Ticket: t}) }

func (p *MemoryPool) Mirror(key string, t Ticket) {
	p.store(key, &MemoryTicket{Ticket: t, mirror: true})
}

func (p *MemoryPool) store(key string, t *MemoryTicket) {
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
			p.Discard(key, elder)
		default:
			elder.struck.Store(false)
		}
	}
}

// replaceable claims the ticket whose place a new one takes, if there is one: the oldest of
// those that it makes worthless, or of all in a full pool, which keeps one per key.
func (p *MemoryPool) replaceable(key string, t *MemoryTicket) *MemoryTicket {
	any := !p.singleUse && !t.mirror && p.full()
	var oldest *MemoryTicket
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

func (p *MemoryPool) full() bool { return p.cache.Size() >= p.max }

// replaces reports whether an older ticket of the same key is worthless beside t. One that
// was handed out has been used, and the server has just shown that it issues fresh ones.
func (t *MemoryTicket) replaces(elder *MemoryTicket) bool {
	if !t.Facts.Is13() || !elder.Facts.Is13() {
		return true
	}
	return elder.mirror || !t.mirror && elder.handed.Load()
}

// claim takes the right to remove t, or to store another ticket in its place, and reports whether the caller got it.
// Both go by the place, so without it a removal could hit the other ticket.
func (t *MemoryTicket) claim() bool { return t.claimed.CompareAndSwap(false, true) }

// Discard removes a ticket unless another replaces or removes it.
func (p *MemoryPool) Discard(key string, t *MemoryTicket) {
	if t.claim() {
		p.cache.Delete(placeOf(key, t))
	}
}

// insert stores a ticket for the rest of its life and reports whether it has any left.
func (p *MemoryPool) insert(key string, t *MemoryTicket) bool {
	ttl := time.Duration(t.Until.Order - p.clock.Read().Order)
	if ttl <= 0 {
		return false
	}
	// The error is dropped: the cache was closed, or the name is longer than any name.
	return p.cache.UpdateTTL(placeOf(key, t), t, ttl) == nil
}

// placeOf returns a ticket's place in the cache.
func placeOf(key string, t *MemoryTicket) fastcache.Key {
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], t.place)
	return fastcache.Key{Partial: key, ID: string(id[:])}
}

func (p *MemoryPool) Cancelled(_ string, l Loan) int32 { return l.(*MemoryTicket).cancels.Add(1) }

func (p *MemoryPool) GiveBack(key string, l Loan, wanted func() bool) {
	t := l.(*MemoryTicket)
	if !wanted() || !t.claim() { // claimed: it had stayed, and a fresh one takes its place
		return
	}
	if again := p.Restore(key, t); !wanted() {
		p.Discard(key, again) // a flush that began meanwhile may have passed by its place
	}
}

// Restore stores a ticket that the caller has claimed in its place again.
func (p *MemoryPool) Restore(key string, t *MemoryTicket) *MemoryTicket {
	again := &MemoryTicket{Ticket: t.Ticket, sequence: t.sequence, place: t.place, mirror: t.mirror}
	again.handed.Store(t.handed.Load())
	again.cancels.Store(t.cancels.Load())
	if !p.insert(key, again) {
		p.cache.Delete(placeOf(key, t)) // it may have stayed, and is over
	}
	return again
}

func (p *MemoryPool) Strike(key string) {
	var spared []*MemoryTicket
	again := false
	for _, t := range p.cache.SelectSession(key) {
		if t.handed.Load() {
			p.Discard(key, t)
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
		p.Discard(key, t)
	}
}

func (p *MemoryPool) Drop(key string) {
	older := false // than one that was taken, and probably declined: the server was restarted
	for _, t := range p.cache.SelectSession(key) {
		older = older || t.exposed.Load()
		if older || t.handed.Load() {
			p.Discard(key, t)
		}
	}
}

func (p *MemoryPool) Flush(name string) {
	for k, t := range p.cache.All() {
		if isKeyOf(k.Partial, name) {
			p.Discard(k.Partial, t)
		}
	}
}

func (p *MemoryPool) FlushAll() { p.cache.Clear() }

func (p *MemoryPool) Held() Held {
	st := p.cache.Stats()
	return Held{Tickets: st.Sessions, Expired: st.Expired + p.ended.Load(), Evicted: st.Evicted + st.Quota}
}

func (p *MemoryPool) Close() { p.cache.Close() }

// A KeyedTicket is a ticket of a MemoryPool with its key.
type KeyedTicket struct {
	Key    string
	Ticket *MemoryTicket
}

// All returns the tickets held, the oldest first.
func (p *MemoryPool) All() []KeyedTicket {
	var all []KeyedTicket
	for k, t := range p.cache.All() {
		all = append(all, KeyedTicket{k.Partial, t})
	}
	slices.SortFunc(all, func(a, b KeyedTicket) int { return cmp.Compare(a.Ticket.sequence, b.Ticket.sequence) })
	return all
}

// Remove takes one ticket out and reports whether it was there.
func (p *MemoryPool) Remove(key string, t *MemoryTicket) bool {
	if !t.claim() {
		return false
	}
	_, ok := p.cache.Take(placeOf(key, t))
	return ok
}

// Has reports whether the key has this very ticket, from a former Import, say.
func (p *MemoryPool) Has(key string, t *Ticket) bool {
	for _, other := range p.cache.SelectSession(key) {
		if bytes.Equal(other.Label, t.Label) {
			return true
		}
	}
	return false
}
