package fastcache

import (
	"hash/maphash"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v3"

	"github.com/sessioncache/sessioncache/index"
)

const (
	// sessionsPerShard is how many sessions one shard is meant to hold: its growth copies
	// that many pointers under its lock, and a cache up to this size has one shard.
	sessionsPerShard = 4096

	// unboundedShards serve a cache whose count has no bound at first. They split as it grows: see split.go.
	unboundedShards = 64
	maxShards       = 4096
)

// A Cache holds sessions by {partial key, session id} until they expire, are removed, or
// make room for others. V should be a pointer or another small value; the cache shares it
// with its callers and never copies what it points at.
//
// All methods are safe for concurrent use. Lookup takes no lock; every other method takes
// the lock of one shard at a time, for at most 256 sessions of work, and none holds a lock
// while it runs the caller's code. Lookup, Update, Delete, Take, TakeNewest and
// DeletePartial are linearizable; iteration and Size are weakly consistent. See
// docs/concurrency.md.
//
// The zero Cache is not usable; call New. Updates of it return ErrNotMade and Lookup panics, for a check
// would cost every Lookup; to the other methods it is empty. A Cache must not be copied. Close ends it; one
// that is garbage is collected without Close.
type Cache[V any] struct {
	cfg   Config[V]
	seed  maphash.Seed
	birth time.Time
	index *index.Index[entry[V]] // nil with NoIndex

	// hashMask is all ones but in tests, which make secret digests collide with it.
	hashMask   uint64
	secret     bool                       // see SecretHash
	maxCrowd   int                        // see crowd.go; 0 with SecretHash
	tables     []atomic.Pointer[table[V]] // by the top bits of the digest; close together, for Lookup
	shards     []atomic.Pointer[shard[V]] // likewise: each shard has a run of entries, and those of its table
	shardShift uint                       // 64 - log2(len(shards))
	reporters  []reporter[V]              // one for each shard that there was at first
	// shardSessions is how many sessions a shard of a full cache hardly ever exceeds.
	shardSessions int
	firstTable    int // buckets of a shard's first table; see firstTable
	splitSlots    int // a shard with so many slots splits when it is full
	splitAhead    int // how many free slots it has when it begins to prepare that

	maxSessions atomic.Int64 // see SetMaxSessions; loaded under a shard's lock by who claims room
	maxWeight   atomic.Int64 // likewise
	resizes     atomic.Int32 // counts the begins and ends of SetMaxSessions and SetMaxWeight: if odd, a bound may be exceeded
	clocked     bool         // every Lookup reads the clock
	counted     bool         // hits is not nil: close to what Lookup reads

	// revoking counts the sweeps under way: who need not know which they are, takes no lock. Lookup goes the slow way while
	// it is not zero, which everyLookup makes sure of in a clocked cache. It lies with what is hardly ever written.
	revoking atomic.Int32

	removals atomic.Pointer[removedKeys] // while snapshots are read, else nil: see restore.go
	watches  struct {
		sync.Mutex     // taken with no other lock held, nor any taken under it
		running    int // ReadSnapshots under way
	}

	hits   *hitCounts     // nil without RecordStats
	misses *xsync.Counter // likewise

	alarm alarm

	sessions atomic.Int64 // residents, and newcomers on their way
	weight   atomic.Int64 // likewise
	panics   atomic.Uint64

	told    atomic.Bool // Demote was called
	demotes sync.Pool   // see newDemotes

	probation struct{ sessions, weight tally } // see probationers

	overflow struct {
		sync.Mutex     // first in the lock order: taken with no other lock held
		hand       int // the first entry of the shard to take from next
	}
	sweeps  sweeps
	leases  leases[V]
	closing atomic.Bool
	closed  chan struct{} // closed when Close is through
	refused [len(refusals)]atomic.Uint64
}

// New returns an empty cache: OTP's init/1. The error names every faulty field of cfg. New
// starts no goroutine and no timer.
func New[V any](cfg Config[V]) (*Cache[V], error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	shards := shardsFor(cfg.MaxSessions)
	return newCache(cfg, shards, entriesFor(cfg.MaxSessions, shards)), nil
}

// shardsFor returns the number of shards, a power of two, for a bound on the count.
func shardsFor(maxSessions int) int {
	if maxSessions == 0 {
		return unboundedShards
	}
	return min(1<<bits.Len(uint((maxSessions-1)/sessionsPerShard)), maxShards)
}

// newCache returns a cache with so many shards, which may split until each has one of the entries. Both are powers
// of two.
func newCache[V any](cfg Config[V], shards, entries int) *Cache[V] {
	c := &Cache[V]{
		cfg:        cfg,
		seed:       maphash.MakeSeed(),
		birth:      time.Now(),
		hashMask:   math.MaxUint64,
		secret:     cfg.Hash == SecretHash,
		tables:     make([]atomic.Pointer[table[V]], entries),
		shards:     make([]atomic.Pointer[shard[V]], entries),
		shardShift: uint(64 - bits.TrailingZeros(uint(entries))),
		reporters:  make([]reporter[V], shards),
		clocked:    cfg.ExactClock || cfg.IdleTTL > 0,
		counted:    cfg.RecordStats,
		demotes:    newDemotes(),
	}
	if c.clocked {
		c.revoking.Store(everyLookup)
	}
	c.maxSessions.Store(math.MaxInt64)
	c.maxWeight.Store(math.MaxInt64)
	if cfg.MaxSessions > 0 {
		c.maxSessions.Store(int64(cfg.MaxSessions))
		mean := float64(cfg.MaxSessions) / float64(shards)
		most := min(int(mean+4*math.Sqrt(mean)), cfg.MaxSessions)
		c.shardSessions = (most + smallShard - 1) / smallShard * smallShard // ghosts come in whole buckets
	}
	c.firstTable = firstTable(c.shardSessions)
	c.splitSlots = max(splitSessions, c.shardSessions)
	if cfg.MaxSessions == 0 {
		c.splitAhead = splitAhead
	}
	if !c.secret {
		c.maxCrowd = crowdLimit
	}
	if cfg.MaxWeight > 0 {
		c.maxWeight.Store(cfg.MaxWeight)
	}
	if !cfg.NoIndex {
		c.index = index.NewLone(shards*sessionsPerShard, entries*splitSessions, index.LoneKeys[entry[V]]{
			Partial: partialOf[V],
			Digest:  func(n *node[V]) uint64 { return c.partialDigest(partialOf(n)) },
		})
	}
	if cfg.RecordStats {
		c.hits, c.misses = newHitCounts(), xsync.NewCounter()
	}
	c.closed = make(chan struct{})
	c.alarm.horizon.Store(idleHorizon)
	c.alarm.quiet.L = &c.alarm.mu.Mutex
	first := make([]shard[V], shards)
	for i := range first {
		s, r := &first[i], &c.reporters[i]
		r.idle.L = &r.mu.Mutex
		s.init(c, i*entries/shards, entries/shards, r)
		s.next.Store(never)
		s.resetLocked()
		s.listLocked()
	}
	return c
}

// Lookup returns the session of a key, if it is alive: OTP's lookup/2. It takes no lock,
// does not allocate, writes to shared memory only to count the first few uses of a session and to end one that
// is over, and reads the clock only for a session that is about to expire (always with ExactClock or
// IdleTTL). It is linearizable, lock-free and costs O(1).
func (c *Cache[V]) Lookup(key Key) (value V, ok bool) {
	// This is digest, find, hasKey and use for the common case, written out: with calls, a hit on what is in the processor's
	// cache takes half as long again. Whatever is unusual goes to lookupSlow, which begins anew.
	var digest uint64
	switch {
	case c.secret:
		digest = maphash.Comparable(c.seed, key) & c.hashMask
	case len(key.ID)|len(key.Partial) < inlineXXH64:
		digest = xxh64(key.ID) ^ bits.RotateLeft64(xxh64(key.Partial), partialTurn)
	default:
		digest = xxhashOf(key)
	}
	b := c.tables[digest>>c.shardShift].Load().Home(uint32(digest))
	word := b.Word()
	match := b.Match(word, uint32(digest))
	if match == 0 {
		if !b.Overflowed(word) {
			return c.missed()
		}
		return c.lookupSlow(digest, key)
	}
	n := b.Node(match)
	if n == nil || len(key.Partial)+len(key.ID) > longestText {
		return c.lookupSlow(digest, key)
	}
	meta := n.Item.meta.Load()
	if meta&^useMask != shapeOf(key) {
		return c.lookupSlow(digest, key)
	}
	// revoking before until: if no revocation is under way, those that were have killed all their sessions, and until
	// says so. The other way round, one that a Lookup has missed could be found by the next: its until is
	// loaded when the group is revoked and the session not yet killed, and revoking when that is done.
	revoking := c.revoking.Load()
	until := n.Item.until.Load() // before horizon: see use
	if until <= 0 || revoking != 0 || uint64(until) <= c.alarm.horizon.Load() {
		return c.lookupSlow(digest, key)
	}
	if id := n.Item.text(uint32(len(key.Partial)), uint32(len(key.ID))); hasEnds(id) {
		if !sameEnds(id, key.ID) {
			return c.lookupSlow(digest, key)
		}
	} else if id != key.ID {
		return c.lookupSlow(digest, key)
	}
	if partial := n.Item.text(0, uint32(len(key.Partial))); hasEnds(partial) {
		if !sameEnds(partial, key.Partial) {
			return c.lookupSlow(digest, key)
		}
	} else if partial != key.Partial {
		return c.lookupSlow(digest, key)
	}
	if meta&useMask < maxUse {
		n.Item.meta.Store(meta + 1) // as noteUse does
	}
	if c.counted {
		c.countHit(n)
	}
	return n.Item.value, true
}

// lookupSlow is Lookup for a session that was found and may be over.
func (c *Cache[V]) lookupSlow(digest uint64, key Key) (V, bool) {
	n := c.find(digest, key)
	var over *node[V]
	for n != nil {
		if c.use(n) {
			if c.hits != nil {
				c.countHit(n)
			}
			return n.Item.value, true
		}
		over = n
		n = c.findNewer(digest, key, n)
	}
	c.countMiss(over)
	return c.missed()
}

// missed counts a miss.
func (c *Cache[V]) missed() (none V, ok bool) {
	if c.misses != nil {
		c.misses.Inc()
	}
	return none, false
}

// find returns what the table has for a key, alive or not, or nil.
func (c *Cache[V]) find(digest uint64, key Key) *node[V] {
	return find(c.tables[digest>>c.shardShift].Load(), uint32(digest), key)
}

// findNewer returns what the table has for a key if that is no longer n, which the caller
// found there and found over: n may have been replaced long before its deadline passed, and
// then the key was never absent.
func (c *Cache[V]) findNewer(digest uint64, key Key, n *node[V]) *node[V] {
	if newer := c.find(digest, key); newer != n {
		return newer
	}
	return nil
}

// use reports whether a node that a Lookup found is alive, and notes the use.
func (c *Cache[V]) use(n *node[V]) bool {
	e := &n.Item
	// until before horizon: the Update that stored this until lowered the horizon for it, or has
	// not yet and the horizon is larger, which makes us read the clock.
	u := e.until.Load()
	if u <= 0 {
		return false
	}
	if (c.clocked || uint64(u) <= c.alarm.horizon.Load()) && !c.useByClock(n, u) {
		return false
	}
	if revoked(n) {
		return false
	}
	e.noteUse()
	return true
}

// useByClock is use for a session that may be over: it reads the clock and, with IdleTTL,
// moves the idle deadline.
func (c *Cache[V]) useByClock(n *node[V], until int64) bool {
	now := c.now()
	for now >= until {
		// A slower Lookup or Touch that read the clock in time may be about to move until. It must
		// not bring back what we say is gone; if it has, we look again.
		if n.Item.until.CompareAndSwap(until, -int64(Expired)) {
			return false
		}
		if until = n.Item.until.Load(); until <= 0 {
			return false
		}
	}
	idle := int64(c.cfg.IdleTTL)
	if idle == 0 {
		return true
	}
	deadline := extraOf(n).deadline.Load() // after until: see Touch
	moved := min(after(now, c.cfg.IdleTTL), deadline)
	if gain := moved - until; gain > 0 && (gain >= idle/64 || moved == deadline) {
		// On a lost race another Lookup moved it as far, or the session went this instant,
		// after we found it alive.
		n.Item.until.CompareAndSwap(until, moved)
	}
	return true
}

// Peek returns a session with its deadline, and is not a use: it neither moves the idle
// deadline nor counts for eviction or Stats. It takes no lock and reads the clock.
func (c *Cache[V]) Peek(key Key) (Entry[V], bool) {
	if len(c.shards) == 0 {
		return Entry[V]{}, false
	}
	digest := c.digest(key)
	for n := c.find(digest, key); n != nil; n = c.findNewer(digest, key, n) {
		if e, ok := c.entryOf(n); ok {
			return e, true
		}
	}
	return Entry[V]{}, false
}

// Size returns the number of sessions: OTP's size/1. It costs one load. It may count
// sessions that expired a tick (16.8 ms) ago or are on their way in or out.
func (c *Cache[V]) Size() int { return int(c.sessions.Load()) }

// Close removes all sessions and ends the cache: OTP's terminate/1. It waits for a running
// expiry pass and for the reports of what it removed; further calls wait for the first and do
// nothing. Afterwards Lookup misses and Update returns ErrClosed.
//
// A Close called by OnRemove would wait for its own caller: it changes nothing and returns
// ErrCloseByOnRemove. Else it returns nil. Loop bodies and Weigh may call it.
func (c *Cache[V]) Close() error {
	if len(c.shards) == 0 {
		return nil
	}
	if c.calledByOnRemove() {
		return ErrCloseByOnRemove
	}
	if !c.closing.CompareAndSwap(false, true) {
		<-c.closed // not a lock: under synctest such a wait would not count as blocked
		return nil
	}
	defer close(c.closed)
	c.stopTimer()
	for s := range c.eachShard {
		s.mu.Lock()
		s.mu.closed = true
		s.unlock()
	}
	endLeases(c.leases.all())
	c.clearAll(Closed, nil)
	for i := range c.reporters {
		c.reporters[i].wait()
	}
	return nil
}
