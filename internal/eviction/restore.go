package eviction

// A Standing is what is worth keeping of a slot's place in the queues when its session moves to another Policy.
type Standing uint8

const (
	Newcomer  Standing = iota // in the window
	Returning                 // in main: it has shown that it comes back
	Demoted                   // among the spent, the next victims
)

// Standing returns that of a slot, which must be in a queue.
func (p *Policy) Standing(slot uint32) Standing {
	switch p.in(slot) {
	case spent:
		return Demoted
	case main:
		return Returning
	}
	return Newcomer
}

// Restore queues the slot of a session that was stored before all others, as the oldest of its queue. Nothing is learnt
// from it: neither its ghost is looked for nor does time advance. The slot must be below what Reserve was told, and in no queue.
func (p *Policy) Restore(slot uint32, as Standing) {
	id := [...]queueID{Newcomer: window, Returning: main, Demoted: spent}[as]
	since := p.now
	if oldest := p.oldest(id, NoSlot); oldest != NoSlot {
		since = p.links[oldest].since
	}
	p.queue[id].pushOldest(p.links, slot)
	l := &p.links[slot]
	l.since, l.state = since, uint8(id)
}

// pushOldest makes a slot that is on no chain of these links the oldest.
func (c *chain) pushOldest(links []link, slot uint32) {
	l := &links[slot]
	l.newer, l.older = NoSlot, NoSlot
	if c.len == 0 {
		c.newest = slot
	} else {
		l.newer = c.oldest
		links[c.oldest].older = slot
	}
	c.oldest = slot
	c.len++
}

// AddOldest makes a slot that is not on the list its oldest; slots is how many the shard has.
func (l *List) AddOldest(slot uint32, slots int) {
	l.links = grown(l.links, slots)
	l.chain.pushOldest(l.links, slot)
	l.links[slot].state = listed
}
