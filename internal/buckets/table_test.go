package buckets

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

// A node knows its hash and its place, as owners' nodes do.
type node struct {
	key   int
	hash  uint32
	place Place
}

// hashes make collisions from seldom to always.
var hashes = map[string]func(key int) uint32{
	"good":      func(key int) uint32 { return uint32(key) * 0x9e3779b1 },
	"few homes": func(key int) uint32 { return uint32(key)*0x9e3779b1&0xff | uint32(key)<<30 },
	"few tags":  func(key int) uint32 { return uint32(key) * 0x9e3779b1 &^ 0xfe },
	"constant":  func(int) uint32 { return 0xffffff00 }, // the last bucket, so that searches wrap around
}

func find(t *Table[node], hash uint32, key int) *node {
	return t.Find(hash, func(n *node) bool { return n.key == key })
}

func check(t *testing.T, table *Table[node]) {
	t.Helper()
	if err := table.Check(func(n *node) uint32 { return n.hash }); err != nil {
		t.Fatal(err)
	}
}

func TestFindsWhatIsThereAndNothingElse(t *testing.T) {
	for name, hash := range hashes {
		t.Run(name, func(t *testing.T) {
			const room = 600 // under a constant hash more than an overflow count can say
			rng := rand.New(rand.NewPCG(7, 11))
			table, here := New[node](For(room)), map[int]*node{}
			for step := range 20_000 {
				key := rng.IntN(2 * room)
				n := here[key]
				if got := find(table, hash(key), key); got != n {
					t.Fatalf("step %d: Find(%d) = %v; want %v", step, key, got, n)
				}
				switch {
				case n == nil && len(here) < room:
					n = &node{key: key, hash: hash(key)}
					n.place = table.Insert(n.hash, n)
					here[key] = n
				case n != nil && step%3 == 0:
					fresh := &node{key, n.hash, n.place}
					table.At(n.place).Store(fresh)
					here[key] = fresh
				case n != nil:
					table.Remove(n.hash, n.place)
					delete(here, key)
				}
				if step%500 == 0 {
					check(t, table)
				}
			}
			seen := map[int]bool{}
			for n := range table.All() {
				if here[n.key] != n || seen[n.key] {
					t.Fatalf("All yields %v, which is not there or was yielded before", n)
				}
				seen[n.key] = true
			}
			if len(seen) != len(here) {
				t.Errorf("All yields %d nodes; want %d", len(seen), len(here))
			}
			for key, n := range here {
				table.Remove(n.hash, n.place)
				delete(here, key)
			}
			check(t, table)
			if beyond := table.Beyond(); name != "constant" && beyond != 0 {
				t.Errorf("the empty table counts %d overflows; want none", beyond)
			}
		})
	}
}

// A reader finds what stays while others come and go, each time.
func TestReadersFindWhatStaysWhileOthersComeAndGo(t *testing.T) {
	for name, hash := range hashes {
		t.Run(name, func(t *testing.T) {
			const staying, moving, rounds = 40, 100, 300
			table := New[node](For(staying + moving))
			for key := range staying {
				table.Insert(hash(key), &node{key: key, hash: hash(key)})
			}
			var done atomic.Bool
			var readers sync.WaitGroup
			for range 2 {
				readers.Go(func() {
					for !done.Load() {
						for key := range staying {
							if n := find(table, hash(key), key); n == nil || n.key != key {
								t.Errorf("Find(%d) = %v though nobody has removed it", key, n)
								return
							}
						}
					}
				})
			}
			for range rounds {
				var come [moving]node
				for i := range come {
					key := staying + i
					come[i] = node{key: key, hash: hash(key)}
					come[i].place = table.Insert(hash(key), &come[i])
				}
				for _, i := range rand.Perm(moving) {
					table.Remove(come[i].hash, come[i].place)
				}
			}
			done.Store(true)
			readers.Wait()
			check(t, table)
		})
	}
}

func TestForLeavesAThirdOfThePlacesEmpty(t *testing.T) {
	for nodes := range 5000 {
		if places := For(nodes) * PerBucket; places*loadNum < nodes*loadDen || places > nodes*loadDen/loadNum+PerBucket {
			t.Fatalf("For(%d) = %d buckets of %d; want the fewest of which two thirds are as many", nodes, For(nodes), PerBucket)
		}
	}
}

func TestABucketFillsACacheLine(t *testing.T) {
	if size := unsafe.Sizeof(Bucket[node]{}); size != 64 && pointerSize == 8 {
		t.Errorf("a bucket has %d bytes; want 64", size)
	}
}
