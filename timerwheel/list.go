package timerwheel

// A node is a link of a circular doubly linked list. Node 0 is in no list; then come the heads of the
// buckets, level by level, the head of the opened list, and the slots.
//
// Heads and slots live in one array, so unlinking needs no case for either end of a list, nor to know
// which list it is: a slot carries no list number that moving a whole list would have to correct.
type node struct {
	// next and prev are the neighbours. In a list of one both are the head, never 0.
	// invariant: next == unlinked ⟺ the slot is in no list.
	next, prev uint32

	// when is a slot's deadline and a bucket's lower bound: no key of its slots is smaller. (The key
	// is the deadline, or the ring's end if that is earlier.)
	when instant
}

const (
	unlinked    = 0
	firstBucket = 1
	opened      = firstBucket + levels*buckets
	firstSlot   = opened + 1
)

// push appends an unlinked slot to the list of head.
func (w *Wheel) push(head, id uint32, deadline, key instant) {
	h := &w.nodes[head]
	if w.mark(head) {
		h.when = key // the bound of an empty bucket is left over from earlier slots
	} else {
		h.when = min(h.when, key)
	}
	last := h.prev
	h.prev = id
	w.nodes[last].next = id // last is head itself in an empty list
	w.nodes[id] = node{next: head, prev: last, when: deadline}
}

// unlink takes a slot out of its list. Its deadline stays readable.
func (w *Wheel) unlink(id uint32) {
	n := &w.nodes[id]
	next, prev := n.next, n.prev
	w.nodes[next].prev = prev
	w.nodes[prev].next = next
	n.next, n.prev = unlinked, unlinked
	if next == prev {
		w.unmark(next) // both neighbours are the head: it was the only slot
	}
}

// splice moves all slots of a bucket that isn't empty to the end of the opened list.
func (w *Wheel) splice(head uint32) {
	h, o := &w.nodes[head], &w.nodes[opened]
	w.nodes[o.prev].next = h.next // o itself where nothing is opened yet
	w.nodes[h.next].prev = o.prev
	w.nodes[h.prev].next = opened
	o.prev = h.prev
	h.next, h.prev = head, head
	w.unmark(head)
	w.mark(opened)
}

// mark sets the bit of a list and reports whether it was clear.
func (w *Wheel) mark(head uint32) bool {
	word, bit := &w.occupied[(head-firstBucket)/buckets], uint64(1)<<((head-firstBucket)%buckets)
	clear := *word&bit == 0
	*word |= bit
	return clear
}

// unmark clears the bit of a list that has become empty.
func (w *Wheel) unmark(head uint32) {
	w.occupied[(head-firstBucket)/buckets] &^= 1 << ((head - firstBucket) % buckets)
}
