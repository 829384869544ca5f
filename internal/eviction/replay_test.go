package eviction_test

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/sessioncache/sessioncache/internal/eviction"
)

// A replay is the eviction of one shard with nothing around it: no clock and no secret seed, so that
// what it decides depends on the calls alone. It does what fastcache does with a Policy. Keys are
// numbers.
type replay struct {
	policy eviction.Policy
	places int
	slots  map[int]uint32 // by key
	keys   []int          // by slot
	uses   []uint32       // by slot
	free   []uint32

	demotes int // that no Store has followed yet
	evicted int
	trace   uint64 // of the keys evicted, in their order
}

const (
	firstSlots = 16 // that a shard has
	maxDemotes = 16 // that fastcache remembers
)

// newReplay returns a shard for so many sessions.
func newReplay(places int) *replay { return &replay{places: places, slots: map[int]uint32{}} }

// Check walks the queues.
func (p *replay) Check() error { return p.policy.Check(len(p.slots)) }

// Grow lets the shard hold more sessions, as a bound on the weight may.
func (p *replay) Grow(places int) { p.places = places }

// Lookup uses a session, as Cache.Lookup does.
func (p *replay) Lookup(key int) bool {
	slot, ok := p.slots[key]
	if ok {
		p.uses[slot] = min(p.uses[slot]+1, eviction.MaxUses)
	}
	return ok
}

// Store stores a session, as Cache.Update does.
func (p *replay) Store(key int) {
	if slot, ok := p.slots[key]; ok {
		p.policy.Renew(slot)
		return
	}
	if len(p.slots) >= p.places {
		p.evict(eviction.NoSlot)
	}
	if len(p.free) == 0 {
		p.addSlots()
	}
	slot := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	p.slots[key], p.keys[slot], p.uses[slot] = slot, key, 0
	follows := p.demotes > 0
	if follows {
		p.demotes--
	}
	p.policy.Insert(slot, hashOf(key), follows)
}

// Outgrow replaces a session by a heavier one, which costs another session its place.
func (p *replay) Outgrow(key int) {
	slot, ok := p.slots[key]
	if ok && len(p.slots) > 1 {
		p.evict(slot)
		p.policy.Renew(slot)
	}
}

// Demote is Cache.Demote.
func (p *replay) Demote(key int) {
	if slot, ok := p.slots[key]; ok && p.policy.Demote(slot) {
		p.demotes = min(p.demotes+1, maxDemotes)
	}
}

// Delete is Cache.Delete.
func (p *replay) Delete(key int) {
	if slot, ok := p.slots[key]; ok {
		p.drop(slot)
	}
}

// victim is the slot that the hand picks.
func (p *replay) victim(except uint32) uint32 {
	var hand eviction.Hand
	hand.Begin(&p.policy, except)
	for hand.Looks() {
		slot := hand.Slot()
		hand.Saw(p.uses[slot])
		p.uses[slot] = 0
	}
	return hand.Slot()
}

// evict removes the session that the hand picks.
func (p *replay) evict(except uint32) {
	slot := p.victim(except)
	if slot == eviction.NoSlot || slot == except {
		panic("the hand picks no slot, or the one that it must not")
	}
	key := p.keys[slot]
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, p.trace), uint64(key)))
	p.evicted, p.trace = p.evicted+1, h.Sum64()
	p.policy.LeaveGhost(slot, hashOf(key))
	p.drop(slot)
}

func (p *replay) drop(slot uint32) {
	p.policy.Remove(slot)
	delete(p.slots, p.keys[slot])
	p.free = append(p.free, slot)
}

// addSlots adds slots in the steps in which a shard of fastcache does.
func (p *replay) addSlots() {
	old := len(p.keys)
	n := max(2*old, firstSlots)
	if old < p.places && p.places < n {
		n = (p.places + firstSlots - 1) / firstSlots * firstSlots
	}
	p.keys = append(p.keys, make([]int, n-old)...)
	p.uses = append(p.uses, make([]uint32, n-old)...)
	p.policy.Reserve(n)
	for slot := n - 1; slot >= old; slot-- {
		p.free = append(p.free, uint32(slot))
	}
}

// hashOf stands for the digest: numbers in a row have hashes that are not.
func hashOf(key int) uint32 { return eviction.HashForTest(key) }
