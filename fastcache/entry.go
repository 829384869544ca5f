package fastcache

import (
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/sessioncache/sessioncache/index"
)

const (
	// inlineKey is how many bytes of key an entry stores in itself: a TLS session id or a
	// SHA-256 fits, and the entry fills its 96-byte size class with a pointer-sized value.
	inlineKey = 38

	// wideKey is how many more a wide node stores behind its entry, in one allocation of 160
	// bytes: a flat key of NoIndex, or a long id.
	wideKey = 64

	// longKey in idLen says that the key's bytes are in the entry's extra instead.
	longKey = 0xff

	// maxUse is the largest count of uses that an entry keeps for the eviction hand.
	maxUse = 3
)

// A node is an entry linked into the index; table, slots and groups all point at nodes.
type node[V any] = index.Node[entry[V]]

// An entry is one version of a session. It is immutable once published, but for until and
// use, so Lookup may read it without synchronization; Update publishes a new entry instead
// of editing this one.
type entry[V any] struct {
	// until is deadline and state in one: positive, the entry is alive until that many
	// nanoseconds after the cache's birth; else it is gone, and this is minus the Reason.
	// It becomes gone once, by compare-and-swap, and stays so. A replaced entry is never
	// marked gone: nothing refers to it but readers that found it before.
	until atomic.Int64

	value V
	extra *extra // nil for short keys without IdleTTL

	// owner: the shard, constant once published. Readers never look at it.
	slot uint32

	// use counts Lookups up to maxUse, approximately, until the eviction hand takes them.
	use atomic.Uint32

	idLen      uint8 // or longKey
	partialLen uint8 // of the partial key stored before the id; 0 where a group has it
	buf        [inlineKey]byte
}

// A wideNode has room for a longer key behind the entry's buffer, the entry's last field.
type wideNode[V any] struct {
	node node[V]
	_    [wideKey]byte
}

// An extra holds what most entries do without.
type extra struct {
	deadline    int64  // with IdleTTL: until never moves beyond it
	partial, id string // where idLen is longKey
}

// newNode returns an unpublished node for one session, with its own copy of the key. An
// indexed entry leaves the partial key to its group. One allocation for short keys.
func newNode[V any](key Key, value V, indexed bool) *node[V] {
	partial := key.Partial
	if indexed {
		partial = ""
	}
	var n *node[V]
	size := len(partial) + len(key.ID)
	if size > inlineKey && size <= inlineKey+wideKey {
		n = &new(wideNode[V]).node
	} else {
		n = new(node[V])
	}
	e := &n.Item
	e.value = value
	if size > inlineKey+wideKey {
		e.idLen = longKey
		e.extra = &extra{partial: strings.Clone(partial), id: strings.Clone(key.ID)}
		return n
	}
	e.partialLen, e.idLen = uint8(len(partial)), uint8(len(key.ID))
	text := unsafe.Slice(&e.buf[0], size) // of a wide node it reaches into the tail
	copy(text, partial)
	copy(text[len(partial):], key.ID)
	return n
}

// text returns part of the key's bytes as a string that aliases them; they are never
// written once the entry is published.
func (e *entry[V]) text(from, length uint8) string {
	if length == 0 {
		return "" // from may be the end of the object
	}
	return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(&e.buf), from)), length)
}

func (e *entry[V]) id() string {
	if e.idLen == longKey {
		return e.extra.id
	}
	return e.text(e.partialLen, e.idLen)
}

// partialOf returns the partial key of a published node, which aliases it or its group.
func partialOf[V any](n *node[V]) string {
	if g := n.Group(); g != nil {
		return g.Partial()
	}
	if n.Item.idLen == longKey {
		return n.Item.extra.partial
	}
	return n.Item.text(0, n.Item.partialLen)
}

// keyOf returns the key of a published node, which aliases it.
func keyOf[V any](n *node[V]) Key { return Key{Partial: partialOf(n), ID: n.Item.id()} }

// hasKey reports whether a published node is a version of the session with this key.
func hasKey[V any](n *node[V], key Key) bool {
	return n.Item.id() == key.ID && partialOf(n) == key.Partial
}

// revoked reports whether DeletePartial took the node's group away. Once true, it stays.
func revoked[V any](n *node[V]) bool {
	g := n.Group()
	return g != nil && g.Revoked()
}

// aliveAt reports whether the session can be returned at an instant.
func aliveAt[V any](n *node[V], now int64) bool {
	return n.Item.until.Load() > now && !revoked(n)
}

// kill marks the node gone for a reason and returns true, or false if it was gone already.
// What was over before the caller came keeps its own reason, and is not the caller's.
func kill[V any](n *node[V], reason Reason, now int64) bool {
	for {
		u := n.Item.until.Load()
		if u <= 0 {
			return false
		}
		why := over(n, u, now)
		if why == 0 {
			why = reason
		}
		// linearizes: the session is gone here; a Lookup that loaded until earlier may
		// still return it.
		if n.Item.until.CompareAndSwap(u, -int64(why)) {
			return why == reason
		}
		// A Lookup moved the idle deadline, or another caller killed it.
	}
}

// settle reports whether the session is over, and makes that final where only its deadline
// or its group say so: a Lookup that read the clock in time can move the deadline no more.
func settle[V any](n *node[V], now int64) bool {
	for {
		u := n.Item.until.Load()
		if u <= 0 {
			return true
		}
		why := over(n, u, now)
		if why == 0 {
			return false
		}
		if n.Item.until.CompareAndSwap(u, -int64(why)) {
			return true
		}
	}
}

// over returns why a session with this until is over though nobody has killed it: its
// deadline has passed, or its group was revoked; 0 if it is not.
func over[V any](n *node[V], until, now int64) Reason {
	switch {
	case until <= now:
		return Expired
	case revoked(n):
		return Revoked
	}
	return 0
}

// removalReason returns why a killed node is gone.
func removalReason[V any](n *node[V]) Reason { return Reason(-n.Item.until.Load()) }

// used notes a use for the eviction hand. It stores only if that changes the count, so a
// session that is looked up again and again is only read.
func (e *entry[V]) used() {
	if u := e.use.Load(); u < maxUse {
		e.use.Store(u + 1) // two readers may count as one; the hand does not mind
	}
}

// harvest takes the uses counted since the last harvest.
func (e *entry[V]) harvest() uint32 {
	u := e.use.Load()
	if u != 0 {
		e.use.Store(0)
	}
	return u
}
