package eviction_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sessioncache/sessioncache/internal/eviction"
	"github.com/sessioncache/sessioncache/internal/testing/traffic"
)

// Whatever is done in whatever order, the queues hold each slot once, and what was learnt stays
// within its bounds.
func TestQueuesFollowEveryOperation(t *testing.T) {
	for _, places := range []int{1, 2, 5, 40, 600} {
		t.Run(fmt.Sprintf("places=%d", places), func(t *testing.T) {
			rng, p := rand.New(rand.NewPCG(5, uint64(places))), newReplay(places)
			for step := range 20_000 {
				key := rng.IntN(3 * places)
				switch rng.IntN(8) {
				case 0:
					p.Demote(key)
				case 1:
					p.Delete(key)
				case 2:
					p.Outgrow(key)
				case 3, 4, 5:
					p.Store(key)
				default:
					p.Lookup(key)
				}
				if places > 40 && step%16 != 0 {
					continue
				}
				if err := p.Check(); err != nil {
					t.Fatalf("after step %d: %v", step, err)
				}
			}
		})
	}
}

// However many sessions are in use, a hand looks at a bounded number, at one slot at a time that is
// queued and not spared, and picks one.
func TestHandLooksAtNoMoreThanMaxExamined(t *testing.T) {
	for _, places := range []int{1, 2, 5, 40, 600} {
		p, most := newReplay(places), 0
		for _, key := range traffic.Popular(20_000, 4*places, 0.9, 0) {
			if !p.Lookup(key) {
				p.Store(key)
			}
			if len(p.slots) < places {
				continue
			}
			for range 4 { // all are in use
				for slot := range p.uses {
					p.uses[slot] = eviction.MaxUses
				}
			}
			spared := p.slots[key]
			var hand eviction.Hand
			hand.Begin(&p.policy, spared)
			looks := 0
			for ; hand.Looks(); looks++ {
				if slot := hand.Slot(); slot == spared || !p.policy.Has(slot) {
					t.Fatalf("the hand looks at slot %d; it must spare %d and those that are free", slot, spared)
				}
				if looks > eviction.MaxExamined {
					t.Fatalf("a hand has looked at %d slots and goes on; want %d at most", looks, eviction.MaxExamined)
				}
				hand.Saw(eviction.MaxUses)
			}
			victim := hand.Slot()
			if victim == spared || (victim == eviction.NoSlot) != (places == 1) || places > 1 && !p.policy.Has(victim) {
				t.Fatalf("of %d places the hand picks slot %d; it must spare %d and find one of the others", places, victim, spared)
			}
			most = max(most, looks)
		}
		if most > eviction.MaxExamined || places == 600 && most < eviction.MaxExamined {
			t.Errorf("a hand looked at %d of %d slots in use; want %d at most, and that many where there are enough",
				most, places, eviction.MaxExamined)
		}
	}
}

// A List hands out its slots in the order in which they were added, and spares the one that it is told to.
func TestListKeepsTheOrder(t *testing.T) {
	const slots = 12
	var l eviction.List
	var want []uint32 // oldest first
	rng := rand.New(rand.NewPCG(6, 6))
	if l.Oldest(eviction.NoSlot) != eviction.NoSlot || l.Has(3) {
		t.Error("the zero List has a slot")
	}
	for step := range 5000 {
		slot := uint32(rng.IntN(slots))
		if at := indexOf(want, slot); at >= 0 {
			l.Remove(slot)
			want = append(want[:at:at], want[at+1:]...)
		} else {
			l.Add(slot, slots)
			want = append(want, slot)
		}
		if err := l.Check(); err != nil {
			t.Fatalf("after step %d: %v", step, err)
		}
		for _, except := range []uint32{eviction.NoSlot, slot} {
			first := eviction.NoSlot
			for _, s := range want {
				if s != except {
					first = s
					break
				}
			}
			if got := l.Oldest(except); got != first {
				t.Fatalf("after step %d Oldest(%d) = %d; want %d of %v", step, except, got, first, want)
			}
		}
		for s := range uint32(slots) {
			if l.Has(s) != (indexOf(want, s) >= 0) {
				t.Fatalf("after step %d Has(%d) = %v; listed are %v", step, s, l.Has(s), want)
			}
		}
	}
}

func indexOf(slots []uint32, slot uint32) int {
	for i, s := range slots {
		if s == slot {
			return i
		}
	}
	return -1
}

// BenchmarkEvict stores new sessions in a full shard: what one costs the policy, without a cache.
func BenchmarkEvict(b *testing.B) {
	const places = 4096
	for _, tc := range []struct {
		name string
		keys traffic.Workload
	}{
		{"traffic=new", traffic.Loop(1<<20, 1<<20)},
		{"traffic=popular", traffic.Popular(1<<20, 10*places, 0.9, 0)},
	} {
		b.Run(tc.name, func(b *testing.B) {
			var p eviction.Policy
			p.Reserve(places)
			hashes, uses := make([]uint32, places), make([]uint32, places)
			for slot := range hashes {
				hashes[slot] = hashOf(-1 - slot)
				p.Insert(uint32(slot), hashes[slot], false)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				var hand eviction.Hand
				hand.Begin(&p, eviction.NoSlot)
				for hand.Looks() {
					slot := hand.Slot()
					hand.Saw(uses[slot])
					uses[slot] = 0
				}
				slot := hand.Slot()
				p.LeaveGhost(slot, hashes[slot])
				p.Remove(slot)
				hashes[slot] = hashOf(tc.keys[i%len(tc.keys)])
				p.Insert(slot, hashes[slot], false)
				uses[i%places] = min(uses[i%places]+uint32(i&1), eviction.MaxUses)
			}
			if err := p.Check(places); err != nil {
				b.Error(err)
			}
		})
	}
}
