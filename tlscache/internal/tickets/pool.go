package tickets

import (
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache/internal/clock"
	"github.com/sessioncache/sessioncache/tlscache/internal/guard"
	"github.com/sessioncache/sessioncache/tlscache/internal/sealing"
)

// MaxCancelled is how many dials that offered one ticket may be cancelled before it is taken
// for the cause: a server that never answers it looks just like that, and what waits longer
// than a caller's patience must not wait for ever.
const MaxCancelled = 2

// A Pool holds the tickets of a client by key: {scope, server name} or {scope, server name,
// address}. A key has up to PerKey tickets of TLS 1.3, or one of TLS 1.2. All methods are
// safe for concurrent use, and none waits beyond the budget of the store.
type Pool interface {
	// Take returns the key's newest ticket, or nil and why: session.ErrNotFound, or an error of sealing or of the guard of
	// a Store. The ticket leaves the pool, but for the last one without SingleUse: that stays, as handed out. Those that
	// are over at now go; its wall time may be that of the connection's Config.
	Take(key string, now clock.Stamp) (Loan, error)

	// Peek is Take, but the ticket stays where it is, as handed out.
	Peek(key string, now clock.Stamp) (Loan, error)

	// Put makes a ticket its key's newest. It replaces those that were handed out, those of
	// the other kind of TLS version, and an older mirror; and it ends a row of strikes.
	Put(key string, t Ticket)

	// Mirror is Put of a copy, under a name, of an endpoint's ticket. It replaces less than a ticket of the name's
	// own, and is the first to go where there is no room.
	Mirror(key string, t Ticket)

	// Cancelled notes that a dial which offered a ticket was cancelled, and returns how many
	// have been. GiveBack is Put for such a ticket, as long as it is wanted: it tells nothing new.
	Cancelled(key string, l Loan) int32
	GiveBack(key string, l Loan, wanted func() bool)

	// Strike removes the tickets of a key that were handed out and are still held. The
	// others go with the second strike in a row, with no Put in between.
	Strike(key string)

	// Drop removes the tickets that a server which has just declined one will not want: those
	// handed out, and older ones.
	Drop(key string)

	// Flush removes the tickets of a server name, FlushAll those of all.
	Flush(name string)
	FlushAll()

	Held() Held
	Close()
}

// A Loan is a ticket that a pool has handed out, and the pool's own notes of it.
type Loan interface{ Lent() *Ticket }

// Held is what a pool says about its content.
type Held struct {
	Tickets          int
	Expired, Evicted uint64
	Store            guard.Stats
}

// A Config says what a pool holds, and where.
type Config struct {
	MaxSessions int // in all
	PerKey      int
	SingleUse   bool // hand out no ticket twice

	// Of a StorePool alone.
	Store       session.Indexed
	Keys        func() *sealing.Set
	Budget      time.Duration // of each call of the pool
	MaxInFlight int
	OnBreaker   func(open bool) // see guard.Guard
}
