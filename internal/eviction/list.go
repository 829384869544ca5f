package eviction

import "iter"

// NoSlot is none: it ends a list, and an eviction that spares no slot is told to spare it.
const NoSlot = ^uint32(0)

// A link is a slot's place in a list. What else must be known of a slot lies beside it, in what
// would be padding.
type link struct {
	newer, older uint32 // NoSlot at the ends
	since        beat   // of a Policy: when the session was stored, or last found in use
	state        uint8  // of a Policy: the queue, and marks; of a List: listed, or 0
}

// grown returns links for n slots at least. What is new is zero, and so on no list.
func grown(links []link, n int) []link {
	if n <= len(links) {
		return links
	}
	more := make([]link, n) // not append, which takes more than it is asked for
	copy(more, links)
	return more
}

// A chain is a list of slots in the order in which they were pushed. The links lie in an array
// that several chains may share, for a slot is on one of them at a time. The zero value is empty.
type chain struct {
	newest, oldest uint32 // where len > 0
	len            int
}

// push makes a slot that is on no chain of these links the newest.
func (c *chain) push(links []link, slot uint32) {
	l := &links[slot]
	l.newer, l.older = NoSlot, NoSlot
	if c.len == 0 {
		c.oldest = slot
	} else {
		l.older = c.newest
		links[c.newest].newer = slot
	}
	c.newest = slot
	c.len++
}

// unlink takes a slot off the chain.
func (c *chain) unlink(links []link, slot uint32) {
	l := &links[slot]
	if l.newer == NoSlot {
		c.newest = l.older
	} else {
		links[l.newer].older = l.older
	}
	if l.older == NoSlot {
		c.oldest = l.newer
	} else {
		links[l.older].newer = l.newer
	}
	c.len--
}

// first returns the oldest slot but except, or NoSlot.
func (c *chain) first(links []link, except uint32) uint32 {
	switch {
	case c.len == 0:
		return NoSlot
	case c.oldest == except:
		return links[except].newer
	}
	return c.oldest
}

// slots yields the slots of the chain, the oldest first.
func (c *chain) slots(links []link) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		slot := c.first(links, NoSlot)
		for slot != NoSlot && yield(slot) {
			slot = links[slot].newer
		}
	}
}

// A List lists some of a shard's slots in the order in which they were added, such as those of
// sessions on probation. It costs a session no allocation, and nothing is on it twice.
//
// The zero List is empty and usable, and takes no memory until a slot is added; then it takes 12
// bytes for every slot of the shard. It is not safe for concurrent use and must not be copied
// while it is in use. Every method takes constant time.
type List struct {
	links []link
	chain chain
}

// listed is the state of a slot that is on a List.
const listed = 1

// CopyFrom makes the list a copy of another.
func (l *List) CopyFrom(other *List) {
	l.links, l.chain = append(l.links[:0], other.links...), other.chain
}

// Has reports whether a slot is on the list.
func (l *List) Has(slot uint32) bool {
	return int(slot) < len(l.links) && l.links[slot].state == listed
}

// Add makes a slot that is not on the list its newest; slots is how many the shard has.
func (l *List) Add(slot uint32, slots int) {
	l.links = grown(l.links, slots)
	l.chain.push(l.links, slot)
	l.links[slot].state = listed
}

// Remove takes a slot off the list, which it must be on.
func (l *List) Remove(slot uint32) {
	l.chain.unlink(l.links, slot)
	l.links[slot].state = 0
}

// Oldest returns the oldest slot but except, or NoSlot.
func (l *List) Oldest(except uint32) uint32 { return l.chain.first(l.links, except) }

// Lists are several lists of a shard's slots, by number, each in the order in which its slots were added.
// A slot is on one of them at most.
//
// The zero value has no list; call NewLists. It takes 12 bytes for every slot and 16 for every list. It is
// not safe for concurrent use.
type Lists struct {
	links  []link
	chains []chain
}

// NewLists returns so many empty lists.
func NewLists(lists int) *Lists { return &Lists{chains: make([]chain, lists)} }

// CopyFrom makes the lists copies of others.
func (l *Lists) CopyFrom(other *Lists) {
	l.links, l.chains = append(l.links[:0], other.links...), append(l.chains[:0], other.chains...)
}

// Add makes a slot that is on no list the newest of one; slots is how many the shard has.
func (l *Lists) Add(list int, slot uint32, slots int) {
	l.links = grown(l.links, slots)
	l.chains[list].push(l.links, slot)
}

// Remove takes a slot off a list, which it must be on.
func (l *Lists) Remove(list int, slot uint32) { l.chains[list].unlink(l.links, slot) }

// Len returns how many slots are on a list.
func (l *Lists) Len(list int) int { return l.chains[list].len }

// Oldest returns the oldest slot of a list, or NoSlot.
func (l *Lists) Oldest(list int) uint32 { return l.chains[list].first(l.links, NoSlot) }

// Slots yields the slots of a list, the oldest first. None may be added or removed meanwhile.
func (l *Lists) Slots(list int) iter.Seq[uint32] { return l.chains[list].slots(l.links) }
