package fastcache

import (
	"encoding/binary"
	"hash/fnv"
)

// A PolicyForTest is the eviction queues of one shard with nothing around them: no clock and no
// secret seed, so that what they decide depends on the calls alone. Keys are numbers.
type PolicyForTest struct {
	queues queues
	places int
	slots  map[int]uint32 // by key
	keys   []int          // by slot
	uses   []uint32       // by slot
	free   []uint32

	demotes int // that no Store has followed yet
	evicted int
	trace   uint64 // of the keys evicted, in their order
}

// NewPolicyForTest returns the queues of a shard for so many sessions.
func NewPolicyForTest(places int) *PolicyForTest {
	return &PolicyForTest{places: places, slots: map[int]uint32{}}
}

// Evicted returns how many sessions were evicted, and a checksum of which, and in what order.
func (p *PolicyForTest) Evicted() (n int, trace uint64) { return p.evicted, p.trace }

// Check walks the queues.
func (p *PolicyForTest) Check() error { return p.queues.check(len(p.slots)) }

// Grow lets the shard hold more sessions, as a bound on the weight may.
func (p *PolicyForTest) Grow(places int) { p.places = places }

// Lookup uses a session, as Cache.Lookup does.
func (p *PolicyForTest) Lookup(key int) bool {
	slot, ok := p.slots[key]
	if ok {
		p.uses[slot] = min(p.uses[slot]+1, maxUse)
	}
	return ok
}

// Store stores a session, as Cache.Update does.
func (p *PolicyForTest) Store(key int) {
	if slot, ok := p.slots[key]; ok {
		p.queues.renew(slot)
		return
	}
	if len(p.slots) >= p.places {
		p.evict(noSlot)
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
	p.queues.insert(slot, hashForTest(key), follows)
}

// Outgrow replaces a session by a heavier one, which costs another session its place.
func (p *PolicyForTest) Outgrow(key int) {
	slot, ok := p.slots[key]
	if ok && len(p.slots) > 1 {
		p.evict(slot)
		p.queues.renew(slot)
	}
}

// Demote is Cache.Demote.
func (p *PolicyForTest) Demote(key int) {
	if slot, ok := p.slots[key]; ok && p.queues.demote(slot) {
		p.demotes = min(p.demotes+1, maxDemotes)
	}
}

// Delete is Cache.Delete.
func (p *PolicyForTest) Delete(key int) {
	if slot, ok := p.slots[key]; ok {
		p.drop(slot)
	}
}

// evict removes the session that the queues choose, as evictLocked does.
func (p *PolicyForTest) evict(except uint32) {
	slot, ok := p.queues.victim(except, func(slot uint32) uint32 {
		uses := p.uses[slot]
		p.uses[slot] = 0
		return uses
	})
	if !ok || slot == except {
		panic("the queues have no victim, or chose what they must not")
	}
	key := p.keys[slot]
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, p.trace), uint64(key)))
	p.evicted, p.trace = p.evicted+1, h.Sum64()
	p.queues.remember(slot, hashForTest(key))
	p.drop(slot)
}

func (p *PolicyForTest) drop(slot uint32) {
	p.queues.remove(slot)
	delete(p.slots, p.keys[slot])
	p.free = append(p.free, slot)
}

// addSlots adds slots in the steps in which addSlotsLocked does.
func (p *PolicyForTest) addSlots() {
	old := len(p.keys)
	n := max(2*old, smallShard)
	if old < p.places && p.places < n {
		n = (p.places + smallShard - 1) / smallShard * smallShard
	}
	p.keys, p.uses = grown(p.keys, n), grown(p.uses, n)
	p.queues.reserve(n)
	for slot := n - 1; slot >= old; slot-- {
		p.free = append(p.free, uint32(slot))
	}
}

// hashForTest stands for the digest: numbers in a row have hashes that are not.
func hashForTest(key int) uint32 {
	x := uint64(key) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return uint32(x ^ x>>31)
}
