package buckets

import "testing"

// An owner that asks HasRoom before each Insert, and makes room if the answer is no, has every node within reach, and
// no count of overflows is ever full: searches are short again once the nodes are gone.
func TestNodesWithinReachAreCountedExactly(t *testing.T) {
	const length = 100
	for name, hash := range map[string]func(i int) uint32{
		"one bucket":             func(int) uint32 { return 1 << 31 },
		"the last bucket":        func(int) uint32 { return 0xffff_ff00 },
		"neighbours":             func(i int) uint32 { return 1<<31 + uint32(i%5)<<26 },
		"neighbours at the edge": func(i int) uint32 { return 0xf000_0000 + uint32(i%8)<<26 },
	} {
		t.Run(name, func(t *testing.T) {
			table, all, full := New[node](length), []*node{}, 0
			for i := range 1000 {
				n := &node{key: i, hash: hash(i)}
				if !table.HasRoom(n.hash) {
					full++
					continue
				}
				n.place = table.Insert(n.hash, n)
				all = append(all, n)
				if ahead := table.Ahead(table.Number(n.hash), n.place); ahead > Reach {
					t.Fatalf("node %d lies %d buckets ahead, for which there is room; want %d at most", i, ahead, Reach)
				}
				if got := find(table, n.hash, i); got != n {
					t.Fatalf("Find(%d) = %v; want %v", i, got, n)
				}
			}
			check(t, table)
			if room := (Reach + 1) * PerBucket; len(all) < room || full == 0 || len(all) > room+12*PerBucket {
				t.Errorf("%d nodes found room and %d none; want %d and 12 buckets more at most", len(all), full, room)
			}
			if ahead := table.Displaced(hash(0)); ahead == 0 || ahead >= overflowFull {
				t.Errorf("%d nodes are counted ahead of their bucket; want some, and less than %d", ahead, overflowFull)
			}
			for _, n := range all {
				table.Remove(n.hash, n.place)
			}
			check(t, table)
			if beyond := table.Beyond(); beyond != 0 {
				t.Errorf("the empty table counts %d overflows; want none", beyond)
			}
		})
	}
}

// In a table that is no larger than what is within reach, room is anywhere.
func TestASmallTableHasRoomUntilItIsFull(t *testing.T) {
	for _, length := range []int{1, 2, Reach, Reach + 1} {
		table := New[node](length)
		for i := range length * PerBucket {
			if !table.HasRoom(0xffff_ffff) {
				t.Fatalf("%d nodes have filled %d buckets", i, length)
			}
			table.Insert(0xffff_ffff, &node{key: i})
		}
		if table.HasRoom(0) {
			t.Errorf("%d buckets of %d nodes have room for one more", length, length*PerBucket)
		}
	}
}

func TestAheadGoesOnAtTheFirstBucket(t *testing.T) {
	table := New[node](10)
	for _, tt := range []struct{ bucket, of, want int }{{0, 0, 0}, {3, 7, 4}, {9, 0, 1}, {7, 3, 6}} {
		if got := table.Ahead(tt.bucket, Place(tt.of<<3|5)); got != tt.want {
			t.Errorf("of 10 buckets, %d lies %d ahead of %d; want %d", tt.of, got, tt.bucket, tt.want)
		}
	}
}
