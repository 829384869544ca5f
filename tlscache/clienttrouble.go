package tlscache

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

const (
	// maxTroubled bounds the keys that trouble is remembered of, troubledFor how long.
	maxTroubled = 1024
	troubledFor = 10 * time.Minute

	// After so many failures in a row with a fresh ticket each, tickets are skipped: 4^n-1
	// after the n-th further failure, so a server whose tickets always fail breaks a
	// logarithm of the dials and not every other one. A handshake that failed may have been
	// cancelled; where one in five is, five in a row are one in 3000. An alert
	// leaves little doubt, and counts as six.
	patience          = 4
	failuresWithAlert = 6
	maxFailures       = 10
)

// trouble remembers keys whose tickets make handshakes fail although fresh ones keep coming,
// and what else helps to tell what became of an offer. Safe for concurrent use; it costs
// one load as long as there is nothing to remember.
type trouble struct {
	cache *fastcache.Cache[*troubled]
}

// A troubled key is one of which something is remembered.
type troubled struct {
	failures atomic.Int32
	skip     atomic.Int32  // tickets to refuse
	fresh    atomic.Bool   // a ticket was stored since the last failure
	declined atomic.Uint64 // identity of the ticket that an endpoint did not want
	missed   atomic.Int32  // handshakes under way, or failed, that had no ticket to offer
	doubtful atomic.Bool   // the last failure may have been none, and no handshake began since
}

func newTrouble() (*trouble, error) {
	cache, err := fastcache.New(fastcache.Config[*troubled]{
		MaxSessions: maxTroubled, TTL: troubledFor, NoIndex: true,
		Hash: fastcache.SecretHash, // others say which hosts are dialled
	})
	if err != nil {
		return nil, fmt.Errorf("tlscache: %w", err)
	}
	return &trouble{cache: cache}, nil
}

func (tr *trouble) find(key string) *troubled {
	if tr.cache.Size() == 0 {
		return nil
	}
	t, _ := tr.cache.Lookup(fastcache.Key{ID: key})
	return t
}

// findOrMake may make two at once; then one failure is forgotten.
func (tr *trouble) findOrMake(key string) *troubled {
	if t := tr.find(key); t != nil {
		return t
	}
	t := new(troubled)
	t.fresh.Store(true)
	_ = tr.cache.Update(fastcache.Key{ID: key}, t) // fails when closed, or on an absurd name
	return t
}

// strike notes that a handshake which offered a ticket failed. Failures with no ticket stored
// in between are one: dials that were cancelled together, say.
func (tr *trouble) strike(key string, alert bool) {
	t := tr.findOrMake(key)
	if !t.fresh.Swap(false) {
		return
	}
	t.doubtful.Store(true)
	n := t.failures.Add(1)
	if alert && n < failuresWithAlert {
		n = failuresWithAlert
		t.failures.Store(n)
	}
	if n > patience {
		t.skip.Store(1<<(2*(min(n, maxFailures)-patience)) - 1)
	}
}

// refuses reports whether a ticket that came must not be stored.
func (tr *trouble) refuses(key string) bool {
	t := tr.find(key)
	if t == nil {
		return false
	}
	if t.skip.Load() > 0 && t.skip.Add(-1) >= 0 {
		return true
	}
	t.fresh.Store(true)
	return false
}

// over forgets the failures of a key: a ticket of it was accepted.
func (tr *trouble) over(key string) {
	if t := tr.find(key); t != nil {
		t.failures.Store(0)
		t.skip.Store(0)
	}
}

// begin notes that a handshake begins, which may have no ticket to offer.
func (tr *trouble) begin(key string, offers bool) {
	t := tr.find(key)
	if t == nil && !offers {
		t = tr.findOrMake(key)
	}
	if t == nil {
		return
	}
	t.doubtful.Store(false)
	if !offers {
		t.missed.Add(1)
	}
}

// excuse takes the last failure back and reports whether there was one. Where crypto/tls refuses to offer a ticket, it says
// so in the words of a failed handshake, and goes on to a full one at once. What another connection does in
// between makes it count as a failure.
func (tr *trouble) excuse(key string) bool {
	t := tr.find(key)
	if t == nil || !t.doubtful.Swap(false) {
		return false
	}
	t.failures.Add(-1)
	t.skip.Store(0)
	t.fresh.Store(true)
	return true
}

// wasMiss reports whether a full handshake may be one that had no ticket to offer.
func (tr *trouble) wasMiss(key string) bool {
	t := tr.find(key)
	if t == nil {
		return false
	}
	for n := t.missed.Load(); n > 0; n = t.missed.Load() {
		if t.missed.CompareAndSwap(n, n-1) {
			return true
		}
	}
	return false
}

// decline notes that the endpoint did not want a ticket, of which the name may have a copy.
func (tr *trouble) decline(key string, identity uint64) {
	tr.findOrMake(key).declined.Store(identity)
}

// declined reports whether it did not want that one before.
func (tr *trouble) declined(key string, identity uint64) bool {
	t := tr.find(key)
	return t != nil && t.declined.Load() == identity
}

func (tr *trouble) close() { tr.cache.Close() }
