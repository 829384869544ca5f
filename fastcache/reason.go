package fastcache

import "fmt"

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
