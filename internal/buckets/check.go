package buckets

import "fmt"

// Check compares tags and overflow counts with the nodes that are there, and returns the first
// contradiction. It is for tests, and needs the writer to be quiet.
func (t *Table[N]) Check(hashOf func(*N) uint32) error {
	beyond := make([]uint64, len(t.buckets))
	for i := range t.buckets {
		b := &t.buckets[i]
		for j := range b.nodes {
			tag, n := b.word.Load()>>(8*j)&0xff, b.nodes[j].Load()
			if n == nil && tag != 0 || n != nil && tag != b.tag(hashOf(n)) {
				return fmt.Errorf("buckets: place %d of bucket %d has tag %#x, and a node: %v", j, i, tag, n != nil)
			}
			if n == nil {
				continue
			}
			for k := t.home(hashOf(n)); k != i; k = (k + 1) % len(t.buckets) {
				beyond[k]++
			}
		}
	}
	for i := range t.buckets {
		if got := t.buckets[i].word.Load() >> overflowShift; got != beyond[i] && got != overflowFull {
			return fmt.Errorf("buckets: bucket %d counts %d nodes beyond it; there are %d", i, got, beyond[i])
		}
	}
	return nil
}

// Beyond returns by how many buckets nodes lie beyond where the search for them begins, in all; too
// few once a bucket has overflowed 255 times. It is for tests.
func (t *Table[N]) Beyond() int {
	beyond := uint64(0)
	for i := range t.buckets {
		beyond += t.buckets[i].word.Load() >> overflowShift
	}
	return int(beyond)
}
