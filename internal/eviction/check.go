package eviction

import "fmt"

// Check walks the queues and holds what was learnt against its bounds; queued is how many slots the
// owner has inserted and not removed. It returns the first contradiction. It is for tests.
func (p *Policy) Check(queued int) error {
	if len(p.links) == 0 {
		if queued != 0 {
			return fmt.Errorf("eviction: no queues for %d slots", queued)
		}
		return nil
	}
	marks := [queues]uint8{window: leftMain | judged, main: trials}
	total := 0
	for id := spent; id < queues; id++ {
		if err := p.queue[id].check(p.links, uint8(id), queueMask); err != nil {
			return fmt.Errorf("eviction: queue %d: %w", id, err)
		}
		total += p.queue[id].len
	}
	if total != queued {
		return fmt.Errorf("eviction: %d slots are queued; want %d", total, queued)
	}
	for slot := range p.links {
		id := p.in(uint32(slot))
		if extra := p.links[slot].state &^ (queueMask | marks[id]); extra != 0 {
			return fmt.Errorf("eviction: slot %d of queue %d has the marks %#x", slot, id, extra)
		}
	}
	if p.stored >= p.perBeat || p.perBeat*beatsPerRound < len(p.links) {
		return fmt.Errorf("eviction: %d sessions stored within a beat of %d, and %d beats are a round of %d slots",
			p.stored, p.perBeat, beatsPerRound, len(p.links))
	}
	for _, err := range []error{p.ghosts.check(len(p.links)), p.doubt.check(), p.returns.check(p)} {
		if err != nil {
			return fmt.Errorf("eviction: %w", err)
		}
	}
	return nil
}

// Check walks the list from end to end and returns the first contradiction. It is for tests.
func (l *List) Check() error {
	if err := l.chain.check(l.links, listed, listed); err != nil {
		return fmt.Errorf("eviction: %w", err)
	}
	return nil
}

// Check walks a list, which must have no slots but those of which of says so, and returns the first
// contradiction. It is for tests.
func (l *Lists) Check(list int, of func(slot uint32) bool) error {
	c := &l.chains[list]
	if err := c.check(l.links, 0, 0); err != nil {
		return fmt.Errorf("eviction: list %d: %w", list, err)
	}
	for slot := range c.slots(l.links) {
		if !of(slot) {
			return fmt.Errorf("eviction: slot %d is on list %d", slot, list)
		}
	}
	return nil
}

// check walks a chain, whose slots have this state, and no others.
func (c *chain) check(links []link, state, mask uint8) error {
	n, older := 0, NoSlot
	for slot := c.first(links, NoSlot); slot != NoSlot; slot = links[slot].newer {
		if links[slot].state&mask != state || links[slot].older != older {
			return fmt.Errorf("wrong links at slot %d", slot)
		}
		older = slot
		if n++; n > len(links) {
			return fmt.Errorf("the list is a ring")
		}
	}
	if n != c.len || n > 0 && c.newest != older {
		return fmt.Errorf("%d slots are linked, %d counted", n, c.len)
	}
	return nil
}

// check checks that buckets have no holes, and that there are as many as there should be.
func (g *ghosts) check(slots int) error {
	if g.recent == nil {
		return nil
	}
	if len(g.recent) != slots*3/2 || len(g.sample) == 0 || len(g.sample)%ghostWays != 0 {
		return fmt.Errorf("%d ghosts and a sample of %d for %d slots", len(g.recent), len(g.sample), slots)
	}
	for _, table := range [][]uint32{g.recent, g.sample} {
		for i := range table {
			if i%ghostWays != 0 && table[i] != 0 && table[i-1] == 0 {
				return fmt.Errorf("ghost %d comes after a hole", i)
			}
		}
	}
	return nil
}

func (d *doubt) check() error {
	if !d.told && (*d != doubt{}) {
		return fmt.Errorf("no Demote has told of a used session, and this is known: %v", *d)
	}
	if d.told && !(d.share >= doubtedMin && d.share <= 1) {
		return fmt.Errorf("the share of the doubted is %v", d.share)
	}
	for _, t := range []tally{d.followers, d.others} {
		if !(t.stored >= 0 && t.used >= 0) {
			return fmt.Errorf("of %v newcomers %v were used", t.stored, t.used)
		}
	}
	return nil
}

func (r *returns) check(p *Policy) error {
	switch {
	case r.share < windowMin || r.share > windowMax:
		return fmt.Errorf("the window's share is %v", r.share)
	case r.known > r.newcomers, r.used > r.left:
		return fmt.Errorf("%v of %v newcomers are known, %v of %v used", r.known, r.newcomers, r.used, r.left)
	case r.cold != NoSlot && p.in(r.cold) != main:
		return fmt.Errorf("main's coldest is slot %d, in queue %d", r.cold, p.in(r.cold))
	}
	for _, share := range []float64{r.steady, r.again[usedOnceTrial], r.again[usedOftenTrial], p.mainReturns() / 2} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("a share is %v", share)
		}
	}
	return nil
}
