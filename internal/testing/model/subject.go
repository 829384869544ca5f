package model

import (
	"errors"
	"fmt"
	"iter"
	"time"
)

// A Key names a session, as fastcache.Key does.
type Key struct{ Partial, ID string }

// String shortens long parts: the universe has keys of 64 KiB.
func (k Key) String() string { return fmt.Sprintf("{%s %s}", short(k.Partial), short(k.ID)) }

func short(s string) string {
	if len(s) <= 12 {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q…%d", s[:4], len(s))
}

// An Entry is what Peek and Entries show. Expires counts from the birth of the cache.
type Entry struct {
	Key     Key
	Value   uint64
	Expires time.Duration
}

// A Removal is one report of OnRemove. At is when it was delivered, from the birth of the cache.
type Removal struct {
	Key    Key
	Value  uint64
	Reason Reason
	At     time.Duration
}

// Reason has the numbers of fastcache.Reason.
type Reason uint8

// The reasons, in fastcache's order.
const (
	Deleted Reason = iota + 1
	Taken
	Replaced
	Expired
	Evicted
	Quota
	Revoked
	Cleared
	Closed
	Crowded
)

var reasonNames = []string{"none", "deleted", "taken", "replaced", "expired", "evicted", "quota",
	"revoked", "cleared", "closed", "crowded"}

func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// The errors of Update, into which a Subject translates its own.
var (
	ErrClosed     = errors.New("model: closed")
	ErrTooHeavy   = errors.New("model: too heavy")
	ErrKeyTooLong = errors.New("model: key too long")
	ErrBadTTL     = errors.New("model: bad TTL")
	ErrBadWeight  = errors.New("model: bad weight")
)

// MaxKeyPart is the largest legal length of a part of a key.
const MaxKeyPart = 64 << 10

// Tick is how much later than its deadline a session may at most be removed and reported.
const Tick = time.Duration(1 << 24)

// A Config tells the reference how the subject was set up. Here zero means "none" for
// MaxSessions too; TTL must be positive.
type Config struct {
	MaxSessions   int
	MaxPerPartial int
	MaxWeight     int64
	TTL           time.Duration
	IdleTTL       time.Duration
	InvalidateAll bool
	NoIndex       bool
	Reports       bool // removals are reported; without, the driver infers them from All
	Crowd         int  // all keys share a bucket, which holds so many sessions; 0: any number
	OneShard      bool // all sessions share one eviction order, so a demoted one is the next victim
}

// A Subject is a cache under test. Its values are those of Config.Weigh's argument: see WeightOf.
type Subject interface {
	Lookup(Key) (uint64, bool)
	Peek(Key) (Entry, bool)
	Update(Key, uint64) error
	UpdateTTL(Key, uint64, time.Duration) error
	UpdateOnProbation(Key, uint64, time.Duration) error
	LookupOrUpdate(Key, uint64, time.Duration) (uint64, bool, error)
	Touch(Key, time.Duration) bool
	SetMaxSessions(int) error
	SetMaxWeight(int64) error // an error unless Config.MaxWeight is set
	Delete(Key) bool
	Take(Key) (uint64, bool)
	SelectSession(partial string) iter.Seq2[Key, uint64]
	SelectEntries(partial string) iter.Seq[Entry]
	TakeNewest(partial string) (Key, uint64, bool)
	TakeNewestKeepLast(partial string) (Key, uint64, bool)
	DeletePartial(partial string) int
	Demote(Key) bool
	All() iter.Seq2[Key, uint64]
	Entries() iter.Seq[Entry]
	Foldl(func(Key, uint64))
	Size() int
	Clear() int
	Close() error

	// Snapshot writes a snapshot, reads it into an empty cache with the same bounds, and returns what that has then, the
	// sessions of each partial key newest first.
	Snapshot() ([]Entry, error)

	// Sleep moves time forward. Timers that are due at the new time may or may not have run.
	Sleep(time.Duration)

	// Settle waits until due timers have run and all reports are delivered.
	Settle()

	// Reports returns the removals delivered since the last call, in the order of delivery.
	Reports() []Removal
}
