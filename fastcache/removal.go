package fastcache

import (
	"fmt"
	"time"
)

// A Key names one session: OTP's {partial_key(), session_id()}. Partial is what sessions
// are selected and revoked by: a host and port, a user, a tenant. Any bytes are allowed,
// the empty string included; each part may have up to MaxKeyPart bytes.
//
// Keys that the cache hands out alias its memory: strings.Clone the parts that are kept
// long, or they keep the whole entry alive, its value included. They keep no other, once the session has
// left the cache; but of a cache that was dropped without Close, those of the same partial key.
type Key struct {
	Partial string // the group that the session belongs to
	ID      string // the session within its group
}

// An Entry is one session as Peek and Entries show it.
type Entry[V any] struct {
	Key     Key       // aliases the cache's memory
	Value   V         // the value of the Update
	Expires time.Time // the first instant at which no Lookup returns it
}

// A Removal is what OnRemove is told of one session that left the cache.
type Removal[V any] struct {
	Key    Key    // aliases the removed entry's memory
	Value  V      // the value of the Update
	Reason Reason // why it left
}

// Reason says why a session left the cache. The zero Reason is invalid.
type Reason uint8

// The reasons. Stats counts the removals by each.
const (
	Deleted  Reason = iota + 1 // by Delete
	Taken                      // by Take, TakeNewest or TakeNewestKeepLast
	Replaced                   // by an Update of the same key
	Expired                    // its TTL or IdleTTL ran out
	Evicted                    // to make room for another session
	Quota                      // as the oldest of a partial key above MaxPerPartial
	Revoked                    // by DeletePartial
	Cleared                    // by Clear, or by an overflow under InvalidateAll
	Closed                     // by Close
	Crowded                    // as the oldest of too many with one hash: see XXHash
)

// reasons is the number of valid reasons plus one, the size of a table that they index.
const reasons = int(Crowded) + 1

var reasonNames = [reasons]string{"invalid", "deleted", "taken", "replaced", "expired", "evicted",
	"quota", "revoked", "cleared", "closed", "crowded"}

// String returns the reason's name in lower case, fit for a metric label.
func (r Reason) String() string {
	if int(r) < reasons {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}
