package eviction

// Ghosts are what a shard remembers of sessions that it has evicted. A session that is stored
// again was evicted too early, or at least comes back; how long it was away tells what it
// is worth. Tickets that rotate come back under new ids, so their ghosts are never met.
//
// A ghost is 32 bits in a bucket of four, most recent first; the oldest of a full bucket is
// forgotten. There are 1.5 per slot: with 1 a stream of one-time keys pushes the others out
// before they come back, and with 2 little is gained (docs/adr/0008).
type ghosts struct {
	recent []uint32
	sample []uint32 // of 1 key in sampleOf: a far longer memory for its size
}

const (
	ghostWays = 4

	// A ghost is, from the top: a fingerprint, which is not zero, whether main gave the
	// session up, and the beat that counts for it, which wraps after 16 rounds.
	ghostBeatBits = 12
	ghostBeatMask = 1<<ghostBeatBits - 1
	ghostLeftMain = 1 << ghostBeatBits
	ghostKeyShift = ghostBeatBits + 1
	ghostKeyMask  = 1<<(32-ghostKeyShift) - 1

	// A small shard samples more of its keys, or it would know of none.
	smallSample   = 512 // slots
	sampleOfFew   = 8
	sampleOfMany  = 64
	sampleRoom    = 4 // in a small shard, or a loop whose few sampled keys share a bucket goes unseen
	sampleShift   = 3 // the hash bits that choose the sample are not the lowest: those are tags
	samplePerSlot = 4 // slots per sampled key in a large shard
)

// makeRoom makes room for the ghosts of a shard with so many slots, once it evicts.
func (g *ghosts) makeRoom(slots int) {
	if g.recent != nil {
		return
	}
	g.recent = make([]uint32, slots+slots/2)
	if slots > smallSample {
		slots /= samplePerSlot
	} else {
		slots *= sampleRoom
	}
	g.sample = make([]uint32, slots)
}

// ghostBucket returns the bucket of a hash in a table of ghosts.
func ghostBucket(table []uint32, hash uint32) []uint32 {
	i := int(uint64(hash)*uint64(len(table)/ghostWays)>>32) * ghostWays
	return table[i : i+ghostWays : i+ghostWays]
}

// fingerprint returns the low bits of a hash, which the bucket does not imply, in place.
func fingerprint(hash uint32) uint32 { return max(hash&ghostKeyMask, 1) << ghostKeyShift }

// add remembers a session that is evicted: since when it was not used, or, where main gave it
// up, when it was evicted.
func (g *ghosts) add(hash uint32, at beat, left bool) {
	ghost := fingerprint(hash) | uint32(at)&ghostBeatMask
	if left {
		ghost |= ghostLeftMain
	}
	b := ghostBucket(g.recent, hash)
	copy(b[1:], b)
	b[0] = ghost
}

// take forgets the ghost of a hash and returns what add was told; false if there is none.
// The beat is one within the last 16 rounds.
func (g *ghosts) take(hash uint32, now beat) (at beat, left, ok bool) {
	b := ghostBucket(g.recent, hash)
	want := fingerprint(hash)
	for i, ghost := range b {
		if ghost&^(1<<ghostKeyShift-1) == want {
			copy(b[i:], b[i+1:])
			b[ghostWays-1] = 0
			ago := (uint32(now) - ghost) & ghostBeatMask
			return now - beat(ago), ghost&ghostLeftMain != 0, true
		}
	}
	return 0, false, false
}

// noteSample notes that a key is stored and reports whether it belongs to the sample, and if
// so, whether it was stored before as far as the sample goes back.
func (g *ghosts) noteSample(hash uint32, slots int) (sampled, before bool) {
	of := uint32(sampleOfFew)
	if slots > smallSample {
		of = sampleOfMany
	}
	if hash>>sampleShift&(of-1) != 0 {
		return false, false
	}
	b := ghostBucket(g.sample, hash)
	known := hash | 1 // not zero
	last := ghostWays - 1
	for i, key := range b {
		if key == known {
			last, before = i, true
			break
		}
	}
	copy(b[1:last+1], b)
	b[0] = known
	return true, before
}
