package tickets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// flushBudget bounds the search through a Store for the tickets to flush.
const flushBudget = 10 * time.Second

// A StorePool holds tickets, sealed, in a Store that other processes share. A key's tickets
// have slots as ids, of which there are PerKey: that bounds them without asking how many there
// are. What was handed out and struck is known of this process's own handshakes only.
type StorePool struct {
	store     session.Indexed
	Keys      func() *sealing.Set
	Clock     *clock.Clock
	families  *Families
	Guard     *guard.Guard
	budget    time.Duration
	perKey    uint32
	singleUse bool
	marks     *fastcache.Cache[*slotMarks] // by pool key and slot
	closed    atomic.Bool
}

// A storeTicket is a ticket that was found in a Store, and the slot that it has there.
type storeTicket struct {
	Ticket
	slot string
}

func (t *storeTicket) Lent() *Ticket { return &t.Ticket }

// slotMarks are what this process knows of a slot.
type slotMarks struct {
	handed, struck atomic.Bool
	cancels        atomic.Int32                 // dials that offered its ticket and were cancelled
	ticket         atomic.Pointer[markedTicket] // that came or was handed out last
	old            bool                         // holds a ticket of TLS 1.2, by this process
}

// A markedTicket tells a ticket from others, and what a Store has of it in wall time only.
type markedTicket struct {
	identity   uint64
	until, end clock.Stamp
}

func marked(t *Ticket) *markedTicket { return &markedTicket{t.Identity(), t.Until, t.End} }

// Slots beside the numbered ones.
const mirrorSlot = "mirror"

func NewStorePool(cfg Config, clock *clock.Clock, families *Families) (*StorePool, error) {
	marks, err := fastcache.New(fastcache.Config[*slotMarks]{
		MaxSessions: cfg.MaxSessions, TTL: MaxLife13,
		Hash: fastcache.SecretHash, // others say which hosts are dialled
	})
	if err != nil {
		return nil, fmt.Errorf("tlscache: %w", err)
	}
	p := &StorePool{
		store: cfg.Store, Keys: cfg.Keys, Clock: clock, families: families, Guard: guard.New(cfg.MaxInFlight), budget: cfg.Budget,
		perKey: uint32(cfg.PerKey), singleUse: cfg.SingleUse, marks: marks,
	}
	p.Guard.OnBreaker(cfg.OnBreaker)
	return p, nil
}

// Partial returns the partial key in the Store. It says nothing about scope and name; and
// releases of Go that may not understand each other do not meet.
func (p *StorePool) Partial(k *sealing.Keys, key string) string {
	n := k.Name("client ticket", []byte(GoRelease()), []byte(key))
	return string(n[:])
}

func (p *StorePool) Take(key string, now clock.Stamp) (Loan, error) {
	return p.find(key, now, guard.NoProbe, func(ctx context.Context, partial string) (session.Entry, error) {
		return p.store.TakeNewest(ctx, partial, !p.singleUse)
	})
}

func (p *StorePool) Peek(key string, now clock.Stamp) (Loan, error) {
	return p.find(key, now, guard.MayProbe, func(ctx context.Context, partial string) (session.Entry, error) {
		entries, err := p.store.SelectSession(ctx, partial, 1)
		if err != nil {
			return session.Entry{}, err
		}
		if len(entries) == 0 {
			return session.Entry{}, session.ErrNotFound
		}
		return entries[0], nil
	})
}

// ours reports whether a place that a Store names is one of those that it was asked about. What
// it says of another is a lie or an accident: not believed, counted, and nothing there touched.
func ours(place session.Key, partial string) bool {
	return place.Partial == partial && isSlot(place.ID)
}

// find returns the ticket that get finds under the name that the active secret gives a key,
// or under those of the accepted ones, whose tickets are older.
func (p *StorePool) find(key string, now clock.Stamp, may bool, get func(context.Context, string) (session.Entry, error)) (Loan, error) {
	if p.closed.Load() {
		return nil, session.ErrNotFound
	}
	b := guard.Grant(p.budget)
	defer b.End()
	for _, k := range p.Keys().All {
		partial := p.Partial(k, key)
		for range p.perKey + 1 { // and the mirror: all of them may be over
			entry, err := guard.Start(b, p.Guard, may, func(ctx context.Context) (session.Entry, error) {
				e, err := get(ctx, partial)
				e.Session = bytes.Clone(e.Session) // the Store may write to it after all, while it is being opened
				return e, err
			}).Wait(b)
			if errors.Is(err, session.ErrNotFound) {
				break
			}
			if err != nil {
				return nil, err
			}
			if !ours(entry.Key, partial) {
				return nil, sealing.ErrMalformed
			}
			t, err := p.open(entry, key)
			if err == nil && p.revive(key, t, now) {
				if p.hand(key, t) {
					return t, nil
				}
				err = sealing.ErrMalformed
			}
			// It may be the last one and still be there, to be found again and again; and a clock that is set back
			// must not bring it back.
			p.delete(b, entry.Key)
			if err != nil {
				return nil, err
			}
		}
	}
	return nil, session.ErrNotFound
}

// revive gives a ticket the deadlines that this process knows, or those that its wall time says, and reports
// whether it has any life left.
func (p *StorePool) revive(key string, t *storeTicket, now clock.Stamp) bool {
	if m := p.mark(key, t.slot).ticket.Load(); m != nil && m.identity == t.Identity() {
		t.Until, t.End = m.until, m.end
	} else if !t.Revive(now, 0) {
		return false
	}
	p.families.follow(&t.Ticket)
	return !t.over(now)
}

// open returns the ticket in an entry of the Store. It was sealed for that very place and for
// that very key.
func (p *StorePool) open(e session.Entry, key string) (*storeTicket, error) {
	plain, err := p.unseal(e)
	if err != nil {
		return nil, err
	}
	found, t, err := DecodeTicket(plain)
	if err != nil {
		return nil, err
	}
	if found != key {
		return nil, sealing.ErrMalformed
	}
	return &storeTicket{t, e.Key.ID}, nil
}

func (p *StorePool) unseal(e session.Entry) ([]byte, error) {
	return p.Keys().Open(sealing.KindTicket, []byte(e.Key.Partial), BoundSlot(e.Key), e.Session)
}

// hand notes that a ticket is handed out. In SingleUse mode it reports whether this process has
// not handed out that very one before: a Store may have kept what it was to give away.
func (p *StorePool) hand(key string, t *storeTicket) bool {
	m := p.mark(key, t.slot)
	before := m.ticket.Swap(marked(&t.Ticket))
	again := before != nil && before.identity == t.Identity()
	return !(m.handed.Swap(true) && again && p.singleUse)
}

// BoundSlot is what a sealed ticket is bound to: its place in the Store.
func BoundSlot(key session.Key) []byte {
	sum := sha256.Sum256(sealing.AppendField(sealing.AppendField(nil, []byte(key.Partial)), []byte(key.ID)))
	return sum[:]
}

func (p *StorePool) Put(key string, t Ticket) { p.putIn(p.slotFor(key, &t), key, &t) }

func (p *StorePool) Mirror(key string, t Ticket) { p.putIn(mirrorSlot, key, &t) }

func (p *StorePool) putIn(slot, key string, t *Ticket) {
	b := guard.Grant(p.budget)
	defer b.End()
	if !t.Facts.Is13() && !p.mark(key, slot).old {
		// The key may have tickets of TLS 1.3, of which this server does not speak any more.
		p.call(b, func(ctx context.Context) error {
			_, err := p.store.DeletePartial(ctx, p.Partial(p.Keys().Active, key))
			return err
		})
	}
	fresh := new(slotMarks)
	fresh.old = !t.Facts.Is13()
	fresh.ticket.Store(marked(t))
	p.setMark(key, slot, fresh)
	for _, m := range p.marks.SelectSession(key) {
		m.struck.Store(false)
	}
	p.update(b, key, slot, t)
}

// slotFor chooses the slot of a new ticket: one whose ticket has been handed out, or one that
// we know nothing of, or that of our oldest.
func (p *StorePool) slotFor(key string, t *Ticket) string {
	if !t.Facts.Is13() {
		return SlotName(0)
	}
	oldest := ""
	for k, m := range p.marks.SelectSession(key) { // newest first
		if k.ID == mirrorSlot {
			continue
		}
		if m.handed.Load() {
			return k.ID
		}
		oldest = k.ID
	}
	// One that we know nothing of is free or another process's. They begin at random.
	first := rand.Uint32N(p.perKey)
	for i := range p.perKey {
		slot := SlotName((first + i) % p.perKey)
		if _, known := p.marks.Peek(fastcache.Key{Partial: key, ID: slot}); !known {
			return slot
		}
	}
	return oldest
}

const slotPrefix = "slot "

func SlotName(n uint32) string { return slotPrefix + strconv.FormatUint(uint64(n), 10) }

// isSlot reports whether id is the mirror's or one that slotName makes. Another process may have
// more of them.
func isSlot(id string) bool {
	digits, numbered := strings.CutPrefix(id, slotPrefix)
	n, err := strconv.ParseUint(digits, 10, 32)
	return id == mirrorSlot || numbered && err == nil && SlotName(uint32(n)) == id
}

// update seals and stores a ticket in its slot. It returns the place.
func (p *StorePool) update(b *guard.Budget, key, slot string, t *Ticket) session.Key {
	k := p.Keys().Active
	place := session.Key{Partial: p.Partial(k, key), ID: slot}
	plain, err := AppendTicket(nil, key, t)
	if err != nil {
		return place
	}
	sealed, err := k.Seal(sealing.KindTicket, []byte(place.Partial), BoundSlot(place), plain)
	if err != nil {
		return place
	}
	if ttl := time.Duration(t.Until.Order - p.Clock.Read().Order); ttl > 0 {
		p.call(b, func(ctx context.Context) error { return p.store.Update(ctx, place, sealed, ttl) })
	}
	return place
}

func (p *StorePool) Cancelled(key string, l Loan) int32 {
	return p.mark(key, l.(*storeTicket).slot).cancels.Add(1)
}

func (p *StorePool) GiveBack(key string, l Loan, wanted func() bool) {
	t := l.(*storeTicket)
	if !wanted() || !p.mark(key, t.slot).handed.Load() { // not handed out: a fresh one is in its slot by now
		return
	}
	b := guard.Grant(p.budget)
	defer b.End()
	if place := p.update(b, key, t.slot, &t.Ticket); !wanted() { // a flush that began meanwhile may have passed by its place
		again := guard.Grant(p.budget) // the other may be spent
		defer again.End()
		p.delete(again, place)
	}
}

func (p *StorePool) Strike(key string) {
	b := guard.Grant(p.budget)
	defer b.End()
	// Marks are read before any is set: one slot may come twice, under two secrets or because a
	// Store repeats itself, and that is no second strike.
	var spared []session.Key
	again := false
	for _, k := range p.Keys().All { // as find looks
		for _, place := range p.places(b, p.Partial(k, key)) {
			m := p.mark(key, place.ID)
			if m.handed.Load() {
				p.delete(b, place)
				continue
			}
			again = m.struck.Load() || again
			spared = append(spared, place)
		}
	}
	for _, place := range spared {
		if again {
			p.delete(b, place)
		} else {
			p.mark(key, place.ID).struck.Store(true)
		}
	}
}

// places returns where a Store has tickets of one partial key. It may say so of a place twice.
func (p *StorePool) places(b *guard.Budget, partial string) []session.Key {
	most := int(p.perKey) + 1
	entries, err := guard.Start(b, p.Guard, guard.MayProbe, func(ctx context.Context) ([]session.Entry, error) {
		return p.store.SelectSession(ctx, partial, most)
	}).Wait(b)
	if err != nil {
		return nil // what came with an error is not an answer
	}
	var places []session.Key
	for _, e := range entries[:min(len(entries), most)] {
		if ours(e.Key, partial) {
			places = append(places, e.Key)
		}
	}
	return places
}

func (p *StorePool) Drop(key string) {
	b := guard.Grant(p.budget)
	defer b.End()
	for place, m := range p.marks.SelectSession(key) {
		if !m.handed.Load() {
			continue
		}
		p.marks.Delete(place)
		for _, k := range p.Keys().All {
			p.delete(b, session.Key{Partial: p.Partial(k, key), ID: place.ID})
		}
	}
}

func (p *StorePool) Flush(name string) {
	p.flushKeys(func(key string) bool { return isKeyOf(key, name) })
}

func (p *StorePool) FlushAll() { p.flushKeys(func(string) bool { return true }) }

// flushKeys removes the tickets whose keys are to go.
func (p *StorePool) flushKeys(goes func(key string) bool) {
	p.marks.Clear()
	b := guard.Grant(flushBudget)
	defer b.End()
	p.call(b, func(ctx context.Context) error {
		for e, err := range p.store.All(ctx) {
			if err := errors.Join(err, ctx.Err()); err != nil {
				return err // the Store may not look at ctx, and go on for ever
			}
			if !isSlot(e.Key.ID) {
				continue // a server's session
			}
			// What opens was sealed for this very place, by us or another of this Keyring.
			e.Session = bytes.Clone(e.Session)
			plain, err := p.unseal(e)
			if err != nil {
				continue // another Client's
			}
			key, err := keyOfTicket(plain)
			if err != nil || !goes(key) {
				continue
			}
			if err := p.store.Delete(ctx, e.Key); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *StorePool) Held() Held { return Held{Store: p.Guard.Stats()} }

func (p *StorePool) Close() {
	p.closed.Store(true)
	p.marks.Close()
}

// mark returns what is known of a slot, to be written to. Two that are made at once lose a
// mark of one handshake.
func (p *StorePool) mark(key, slot string) *slotMarks {
	if m, ok := p.marks.Lookup(fastcache.Key{Partial: key, ID: slot}); ok {
		return m
	}
	m := new(slotMarks)
	p.setMark(key, slot, m)
	return m
}

func (p *StorePool) setMark(key, slot string, m *slotMarks) {
	_ = p.marks.Update(fastcache.Key{Partial: key, ID: slot}, m) // fails after Close only
}

func (p *StorePool) delete(b *guard.Budget, key session.Key) {
	p.call(b, func(ctx context.Context) error { return p.store.Delete(ctx, key) })
}

// call is guarded for calls whose only answer is whether they worked. The guard counts; a
// ticket that was not stored or not removed costs a handshake at most.
func (p *StorePool) call(b *guard.Budget, f func(context.Context) error) {
	if p.closed.Load() {
		return
	}
	_, _ = guard.Start(b, p.Guard, guard.MayProbe, func(ctx context.Context) (struct{}, error) { return struct{}{}, f(ctx) }).Wait(b)
}
