package fastcache

import (
	"errors"
	"fmt"
	"time"

	"github.com/sessioncache/sessioncache/internal/faults"
)

const (
	// DefaultMaxSessions is the count bound of a Config that sets neither MaxSessions nor
	// MaxWeight: the default of OpenSSL's and Java's session caches.
	DefaultMaxSessions = 20480

	// DefaultTTL is the life of a session whose Update names none: OTP's session_lifetime,
	// and the longest that RFC 5246 (F.1.4) suggests.
	DefaultTTL = 24 * time.Hour
)

// Errors that callers compare with errors.Is. Those of a bad argument come wrapped, with the value
// and the limit in the text, and never with the key.
var (
	// ErrClosed is returned by Update after Close.
	ErrClosed = errors.New("fastcache: cache is closed")

	// ErrTooHeavy is returned by Update when the session alone weighs more than MaxWeight.
	// The session that the key had before stays.
	ErrTooHeavy = errors.New("fastcache: session weighs more than MaxWeight")

	// ErrKeyTooLong is returned by Update when a part of the key exceeds MaxKeyPart bytes.
	ErrKeyTooLong = errors.New("fastcache: part of the key is longer than 64 KiB")

	// ErrBadTTL is returned by UpdateTTL when the TTL is zero or negative.
	ErrBadTTL = errors.New("fastcache: TTL is not positive")

	// ErrNotMade is returned by the Updates of the zero Cache, which New has not made.
	ErrNotMade = errors.New("fastcache: the zero Cache is not usable; call New")

	// ErrForeignClock is returned by Update in a bubble of testing/synctest, if the cache was made
	// outside: by the bubble's clock it has not been made yet, and no deadline could be kept.
	ErrForeignClock = errors.New("fastcache: the cache was made after the present: make it in the synctest bubble that uses it")

	// ErrBadWeight is returned by Update when Weigh returns a negative weight.
	ErrBadWeight = errors.New("fastcache: Weigh returned a negative weight")

	// ErrLeaseLost is returned by the Updates of a Lease that is not held: its key was stored or removed since it
	// began, or it was released.
	ErrLeaseLost = errors.New("fastcache: the lease is lost: its key was stored or removed since it began")

	// ErrCloseByOnRemove is returned by a Close that the same cache's OnRemove calls.
	ErrCloseByOnRemove = errors.New("fastcache: Close was called by OnRemove, for whose return it waits; the cache stays open")
)

// Overflow says what makes room for a new session when the cache is full.
type Overflow uint8

const (
	// EvictOne removes as few sessions as the newcomer needs, the least promising first.
	EvictOne Overflow = iota

	// InvalidateAll is OTP's documented rule: the newcomer stays, all other sessions go,
	// whatever life they have left.
	InvalidateAll
)

// Hash says what keys the map.
type Hash uint8

const (
	// XXHash is XXH64 of both parts of the key. It is the same in every run: the operations of one goroutine
	// evict the same sessions each time.
	//
	// A peer that chooses keys can make any number of them with one hash. They do no harm, because at most 64
	// sessions have their search begin in one bucket of the table. One more removes the oldest of that crowd,
	// for the reason Crowded. So such keys displace each other, and the few sessions that share
	// their bucket. It does not happen by chance: a bucket has at most 4.7 sessions on average,
	// and more than 64 with a probability of 3e-50.
	XXHash Hash = iota

	// SecretHash is hash/maphash under a secret seed that each cache makes for itself. No peer can make
	// keys that share a bucket.
	SecretHash
)

// Config sets up a Cache. The zero value is a good server cache: 20480 sessions of
// 24 hours, indexed by partial key. A Config is read once, by New.
type Config[V any] struct {
	// MaxSessions bounds the number of sessions, exactly. Zero means DefaultMaxSessions,
	// or no bound on the count where MaxWeight is set. SetMaxSessions changes it later.
	MaxSessions int

	// MaxPerPartial bounds the sessions of one partial key; over it, that key's oldest
	// session goes. Zero means no such quota. It needs the index.
	MaxPerPartial int

	// MaxWeight bounds the sum of the weights of all sessions, exactly, in the unit that
	// Weigh uses. Zero means no such bound but that of int64. It needs Weigh. SetMaxWeight changes it later.
	MaxWeight int64

	// Weigh returns a session's weight. It is called once per Update, in the caller's
	// goroutine, outside all locks. A negative weight makes Update fail with ErrBadWeight.
	Weigh func(key Key, value V) int64

	// TTL is how long a session may be resumed after its Update. Zero means DefaultTTL.
	// It is a default, not a cap: UpdateTTL may name more. The monotonic clock counts, so a step of the
	// wall clock moves no deadline; while the machine is suspended, that clock stands still on
	// Linux, and sessions live longer by as much.
	TTL time.Duration

	// IdleTTL, if set, ends a session earlier when no Lookup found it for this long. A
	// session may idle out up to IdleTTL/64 early, never late. Every Lookup then reads
	// the clock.
	IdleTTL time.Duration

	// Overflow says what makes room when a bound is reached.
	Overflow Overflow

	// OnRemove, if set, is told of every session that leaves the cache, exactly once, and
	// of every version that Update replaces. It runs in a goroutine of its own, outside
	// all locks, perhaps after the call that caused it returned; for one key in order,
	// and never twice at once per shard (for one key, therefore, never). It may call every
	// method but Close, which would wait for it to return: such a Close changes nothing and returns
	// ErrCloseByOnRemove. The Close of another cache waits as ever, so two caches must not close each
	// other by their OnRemove; nor may OnRemove wait for a goroutine that calls Close.
	//
	// A panic, panic(nil) included, and runtime.Goexit are counted in Stats and delivery goes on. A
	// slow OnRemove delays no caller; its queue grows, which Stats shows.
	OnRemove func(Removal[V])

	// NoIndex leaves out the index by partial key, for keys without one: an Update is
	// cheaper, SelectSession and DeletePartial scan the cache, TakeNewest and
	// TakeNewestKeepLast panic, and MaxPerPartial is an error.
	NoIndex bool

	// Hash says what keys the map. Use XXHash, the zero value, for keys that your own program makes: runs
	// repeat. Use SecretHash for keys that a hostile peer names, such as the session ids of servers that a
	// client dials: the peer cannot choose which sessions it displaces. Both cost O(1) whatever the keys.
	Hash Hash

	// ExactClock makes every Lookup read the clock, so that promise 1 holds even after a
	// stop of the whole process (SIGSTOP, a frozen VM) of more than a second.
	ExactClock bool

	// RecordStats counts the hits and misses of Lookup, and samples the ages of the sessions that are hit (see Stats). Off,
	// they cost nothing. On, a hit takes about a tenth longer, and a session 8 bytes.
	RecordStats bool
}

// checkTTL returns the error of a TTL that is not positive.
func checkTTL(ttl time.Duration) error {
	if ttl <= 0 {
		return fmt.Errorf("%w: TTL is %v; want more than 0", ErrBadTTL, ttl)
	}
	return nil
}

// checkWeight returns the error of a weight that no room would do for.
func checkWeight(weight, most int64) error {
	switch {
	case weight < 0:
		return fmt.Errorf("%w: Weigh returned %d; want 0 to %d", ErrBadWeight, weight, most)
	case weight > most:
		return fmt.Errorf("%w: it weighs %d; want at most %d", ErrTooHeavy, weight, most)
	}
	return nil
}

// validate reports every faulty field at once and returns cfg with its defaults filled in.
func (cfg Config[V]) validate() (Config[V], error) {
	var wrong faults.List
	if cfg.MaxSessions < 0 {
		wrong.Add("MaxSessions is %d; want at least 1, or 0 for %d", cfg.MaxSessions, DefaultMaxSessions)
	}
	if cfg.MaxPerPartial < 0 {
		wrong.Add("MaxPerPartial is %d; want at least 1, or 0 for no quota", cfg.MaxPerPartial)
	}
	if cfg.MaxPerPartial > 0 && cfg.NoIndex {
		wrong.Add("MaxPerPartial is %d with NoIndex; want 0, for a quota needs the index", cfg.MaxPerPartial)
	}
	if cfg.MaxWeight < 0 {
		wrong.Add("MaxWeight is %d; want at least 1, or 0 for no bound", cfg.MaxWeight)
	}
	if cfg.MaxWeight > 0 && cfg.Weigh == nil {
		wrong.Add("MaxWeight is %d and Weigh is nil; want 0, for a bound on the weight needs Weigh", cfg.MaxWeight)
	}
	if cfg.TTL < 0 {
		wrong.Add("TTL is %v; want at least 1ns, or 0 for %v", cfg.TTL, DefaultTTL)
	}
	if cfg.IdleTTL < 0 {
		wrong.Add("IdleTTL is %v; want at least 1ns, or 0 for none", cfg.IdleTTL)
	}
	if cfg.Overflow > InvalidateAll {
		wrong.Add("Overflow is %d; want EvictOne (%d) or InvalidateAll (%d)", cfg.Overflow, EvictOne, InvalidateAll)
	}
	if cfg.Hash > SecretHash {
		wrong.Add("Hash is %d; want XXHash or SecretHash", cfg.Hash)
	}
	if err := wrong.Err("fastcache"); err != nil {
		return cfg, err
	}
	if cfg.MaxSessions == 0 && cfg.MaxWeight == 0 {
		cfg.MaxSessions = DefaultMaxSessions
	}
	if cfg.TTL == 0 {
		cfg.TTL = DefaultTTL
	}
	return cfg, nil
}
