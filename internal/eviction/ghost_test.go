package eviction

import "testing"

// Two false ghosts soon after each other look as if sessions came back, and under ticket rotation, where
// none does, main then fills with used tickets. So they must be as seldom as a fingerprint of 19 bits
// and buckets of four let them be, also among the few keys that leave ghosts while none comes back.
func TestFalseGhostsAreOneIn130000(t *testing.T) {
	const asked = 1_000_000
	for _, slots := range []int{1008, 4096} {
		var p Policy
		p.Reserve(slots)
		p.ghosts.makeRoom(slots)
		wrong, left := 0, asked+4*slots // the first fill the buckets
		for key := 0; left > 0; key++ {
			hash := HashForTest(key)
			if leaves, _ := p.leavesGhost(hash); !leaves {
				continue
			}
			if left--; left < asked {
				if _, _, ok := p.ghosts.take(hash, 0); !ok {
					continue
				}
				wrong++
			}
			p.ghosts.add(hash, 0, false)
		}
		if want := asked / (1 << 19 / ghostWays); wrong > 3*want {
			t.Errorf("%d slots: of %d keys never seen before %d have a ghost; want %d or so", slots, asked, wrong, want)
		}
	}
}
