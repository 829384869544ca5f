package fastcache

import (
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/sessioncache/sessioncache/index"
	"github.com/sessioncache/sessioncache/internal/eviction"
)

const (
	// inlineKey is how many bytes of key an entry stores in itself: with a pointer-sized value the
	// node fills its 80-byte size class.
	inlineKey = 32

	// longestTail is how many more a node may store behind its entry, in the same allocation. A host and a TLS session
	// id fit, or a host and a SHA-256.
	longestTail = 64
	longestText = inlineKey + longestTail

	// maxUse is the largest count of uses that an entry keeps for the eviction hand.
	maxUse = eviction.MaxUses
)

// The parts of entry.meta. All but the uses are constant once the entry is published.
const (
	useMask      = maxUse // the uses, in the low two bits
	longBit      = 1 << 7 // the node is a longNode
	idShift      = 8      // length of the id in buf; 0 in a longNode
	partialShift = 16     // length of the partial key before it; 0 in a longNode
	partMask     = 1<<8 - 1
)

// A node is an entry linked into the index; table, slots and groups all point at nodes.
type node[V any] = index.Node[entry[V]]

// An entry is one version of a session. It is immutable once published, but for until and
// the uses, so Lookup may read it without synchronization; Update publishes a new entry
// instead of editing this one.
type entry[V any] struct {
	// until is deadline and state in one. If it is positive, the entry is alive until that many
	// nanoseconds after the cache's birth. Otherwise the entry has been killed, and this is minus the Reason.
	// It is killed once, by compare-and-swap, and stays so: end.go has the words for how a session ends. A replaced entry
	// is never killed: only readers that found it before still refer to it.
	until atomic.Int64

	value V

	// owner: the shard, constant once published. Readers never look at it.
	slot uint32

	// meta packs lengths, shape and uses, to keep what Lookup reads together. The uses count
	// Lookups up to maxUse, approximately, until the eviction hand takes them.
	meta atomic.Uint32

	buf [inlineKey]byte
}

// A tailed node has room for a longer key behind the entry's buffer, the entry's last field. The tails fill size
// classes of the allocator.
type (
	tailed16[V any] struct {
		node node[V]
		_    [16]byte
	}
	tailed32[V any] struct {
		node node[V]
		_    [32]byte
	}
	tailed48[V any] struct {
		node node[V]
		_    [48]byte
	}
	tailed64[V any] struct {
		node node[V]
		_    [longestTail]byte
	}
)

// A longNode holds what most entries do without, behind the entry.
type longNode[V any] struct {
	node  node[V]
	extra extra
}

type extra struct {
	deadline    atomic.Int64 // with IdleTTL: until never moves beyond it
	partial, id string
	born        [bornSize]byte // with RecordStats
}

// newNode returns an unpublished node for one session, with its own copy of the key. One allocation for short keys.
func newNode[V any](key Key, value V, idles bool) *node[V] { return newNodeWith(key, value, idles, 0) }

// newNode is newNode for a node of the cache, which has a date with RecordStats.
func (c *Cache[V]) newNode(key Key, value V) *node[V] {
	more := 0
	if c.hits != nil {
		more = bornSize
	}
	return newNodeWith(key, value, c.cfg.IdleTTL > 0, more)
}

// newNodeWith is newNode with some more bytes behind a short key.
func newNodeWith[V any](key Key, value V, idles bool, more int) *node[V] {
	length := len(key.Partial) + len(key.ID)
	size := length + more
	if size > longestText || idles {
		return newLongNode(key, value)
	}
	var n *node[V]
	switch {
	case size <= inlineKey:
		n = new(node[V])
	case size <= inlineKey+16:
		n = &new(tailed16[V]).node
	case size <= inlineKey+32:
		n = &new(tailed32[V]).node
	case size <= inlineKey+48:
		n = &new(tailed48[V]).node
	default:
		n = &new(tailed64[V]).node
	}
	e := &n.Item
	e.value = value
	e.setMeta(shapeOf(key))
	if length > 0 {
		text := unsafe.Slice(&e.buf[0], length) // of a tailed node it reaches into the tail
		copy(text, key.Partial)
		copy(text[len(key.Partial):], key.ID)
	}
	return n
}

// shapeOf returns the lengths of a key of longestText bytes at most, as meta has them.
func shapeOf(key Key) uint32 {
	return uint32(len(key.Partial))<<partialShift | uint32(len(key.ID))<<idShift
}

// newLongNode leaves a partial key of more than longestText bytes to sharePartial: the sessions of one share one copy.
func newLongNode[V any](key Key, value V) *node[V] {
	n := &longNode[V]{}
	n.node.Item.value = value
	n.node.Item.setMeta(longBit)
	if len(key.Partial) > longestText {
		n.extra.id = strings.Clone(key.ID)
		return &n.node
	}
	var copied strings.Builder // one allocation for both; Partial + ID would be ID itself where Partial is empty
	copied.Grow(len(key.Partial) + len(key.ID))
	copied.WriteString(key.Partial)
	copied.WriteString(key.ID)
	text := copied.String()
	n.extra.partial, n.extra.id = text[:len(key.Partial)], text[len(key.Partial):]
	return &n.node
}

// sharePartial gives an unpublished node whose partial key is long the copy of another node of that partial key, or if
// there is none a copy of its own.
func sharePartial[V any](n, other *node[V], partial string) {
	switch {
	case len(partial) <= longestText: // newNode has copied it
	case other != nil:
		extraOf(n).partial = partialOf(other)
	default:
		extraOf(n).partial = strings.Clone(partial)
	}
}

// extraOf returns what a longNode holds behind its entry. The cast is not checked: of a node of another shape it
// would return memory that belongs to others. longBit tells the longNodes, and with IdleTTL every node is one.
func extraOf[V any](n *node[V]) *extra { return &(*longNode[V])(unsafe.Pointer(n)).extra }

// text returns part of the key's bytes as a string that aliases them; they are never
// written once the entry is published.
func (e *entry[V]) text(from, length uint32) string {
	if length == 0 {
		return "" // from may be the end of the object
	}
	return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(&e.buf), from)), length)
}

// endLength is the number of bytes at each end of a string that sameEnds compares.
const endLength = 16

// hasEnds reports whether a string's first and last endLength bytes are all of it, as of most ids and hosts.
func hasEnds(s string) bool { return uint(len(s)-endLength) <= endLength }

// sameEnds reports whether two strings of one length, for which hasEnds is true, are equal. It is inlined and calls
// nothing, so that what its caller has in registers stays there.
func sameEnds(a, b string) bool {
	p, q, last := unsafe.Pointer(unsafe.StringData(a)), unsafe.Pointer(unsafe.StringData(b)), len(a)-endLength
	return *(*[endLength]byte)(p) == *(*[endLength]byte)(q) &&
		*(*[endLength]byte)(unsafe.Add(p, last)) == *(*[endLength]byte)(unsafe.Add(q, last))
}

// idOf returns the id of a node, which aliases it.
func idOf[V any](n *node[V]) string {
	meta := n.Item.meta.Load()
	if meta&longBit != 0 {
		return extraOf(n).id
	}
	return n.Item.text(meta>>partialShift, meta>>idShift&partMask)
}

// partialOf returns the partial key of a node, which aliases it.
func partialOf[V any](n *node[V]) string {
	meta := n.Item.meta.Load()
	if meta&longBit != 0 {
		return extraOf(n).partial
	}
	return n.Item.text(0, meta>>partialShift)
}

// keyOf returns the key of a node, which aliases it.
func keyOf[V any](n *node[V]) Key { return Key{Partial: partialOf(n), ID: idOf(n)} }

// hasKey reports whether a published node is a version of the session with this key.
func hasKey[V any](n *node[V], key Key) bool {
	return idOf(n) == key.ID && partialOf(n) == key.Partial
}

// noteUse notes a use for the eviction hand. It stores only if that changes the count, so a
// session that is looked up again and again is only read.
func (e *entry[V]) noteUse() {
	if meta := e.meta.Load(); meta&useMask < maxUse {
		e.meta.Store(meta + 1) // two readers may count as one; the hand does not mind
	}
}

// takeUses takes the uses counted since the last takeUses.
func (e *entry[V]) takeUses() uint32 {
	meta := e.meta.Load()
	uses := meta & useMask
	if uses != 0 {
		e.meta.Store(meta - uses)
	}
	return uses
}

// inheritUses gives an unpublished entry the uses of the one that it replaces.
func (e *entry[V]) inheritUses(old *entry[V]) {
	e.setMeta(e.meta.Load() | old.meta.Load()&useMask)
}

// setUntil, setMeta and setDeadline store into an entry that is not published yet, by plain stores. Publishing the entry orders
// them, and an atomic store would cost an Update as much as a mutex. In a published entry they would be data races.
func (e *entry[V]) setUntil(until int64) { *(*int64)(unsafe.Pointer(&e.until)) = until }
func (e *entry[V]) setMeta(meta uint32)  { *(*uint32)(unsafe.Pointer(&e.meta)) = meta }
func (x *extra) setDeadline(at int64)    { *(*int64)(unsafe.Pointer(&x.deadline)) = at }

// prefetch loads memory that is needed soon, and drops what it has loaded. The load is atomic because the compiler
// leaves out a plain load whose result is not used.
func prefetch[V any](n *node[V]) { n.Item.until.Load() }

// An Entry is one session as Peek and Entries show it.
type Entry[V any] struct {
	Key     Key       // aliases the cache's memory
	Value   V         // the value of the Update
	Expires time.Time // the first instant at which no Lookup returns it
}

// entryOf returns a node's entry if it is alive now.
func (c *Cache[V]) entryOf(n *node[V]) (Entry[V], bool) {
	wall := time.Now()
	now := int64(wall.Sub(c.birth))
	until, alive := aliveUntil(n, now)
	if !alive {
		return Entry[V]{}, false
	}
	// From the present wall time, so that a step of the clock since birth does not count.
	return Entry[V]{keyOf(n), n.Item.value, wall.Add(time.Duration(until - now))}, true
}
