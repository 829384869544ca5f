package fastcache_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/testing/traffic"
)

// resumedOf is the share of a rotation that a cache resumes, which has seen other traffic before. Its
// used sessions may be demoted.
func resumedOf(t *testing.T, r traffic.Rotation, shards int, demote bool, before traffic.Workload) float64 {
	t.Helper()
	c := open(t, layout{shards: shards, mask: fastcache.HashGood}, fastcache.Config[int]{MaxSessions: r.Places, NoIndex: true})
	defer check(t, c)
	before.Hits(func(k int) bool {
		_, ok := c.Lookup(key("page", k))
		return ok
	}, func(k int) { put(t, c, key("page", k), k) })
	return r.Run(func(id int) bool {
		v, ok := c.Lookup(key("server", id))
		if ok && v != id {
			t.Fatalf("Lookup of session %d = %d", id, v)
		}
		if ok && demote {
			c.Demote(key("server", id))
		}
		return ok
	}, func(id int) { put(t, c, key("server", id), id) })
}

var rotations = []struct {
	name string
	traffic.Rotation
	gain float64 // what Demote is worth, at least
}{
	{"popular clients", traffic.Rotation{Clients: 60_000, Places: 10_000, Visits: 240_000, Skew: 0.9}, 1.2},
	{"with strangers", traffic.Rotation{Clients: 60_000, Places: 10_000, Visits: 240_000, Skew: 0.9, Strangers: 0.4}, 1.2},
	{"hurried clients", traffic.Rotation{Clients: 6000, Places: 1000, Visits: 40_000, Skew: 0.9, Hurried: 0.2}, 1.2},
	{"clients alike", traffic.Rotation{Clients: 1500, Places: 1000, Visits: 40_000}, 1.3},
	{"few places", traffic.Rotation{Clients: 600, Places: 100, Visits: 40_000, Skew: 0.9}, 1.2},
	{"very few places", traffic.Rotation{Clients: 100, Places: 16, Visits: 40_000, Skew: 0.9}, 1.2},
}

// The eviction policy never resumes fewer than a FIFO or an LRU under ticket rotation, and clearly
// more where the used handles are demoted.
func TestTicketRotationResumesAtLeastAsFIFODoes(t *testing.T) {
	fastcache.SkipUnderRace(t)
	for _, r := range rotations {
		fifo, lru := r.FIFO(), r.LRU()
		for _, shards := range []int{1, 4} {
			if shards > 1 && r.Places/shards < 25 {
				continue
			}
			t.Run(fmt.Sprintf("%s/shards=%d", r.name, shards), func(t *testing.T) {
				plain, demoting := resumedOf(t, r.Rotation, shards, false, nil), resumedOf(t, r.Rotation, shards, true, nil)
				t.Logf("resumed: FIFO %.4f, LRU %.4f, cache %.4f, cache with Demote %.4f (%.3f times FIFO)",
					fifo, lru, plain, demoting, demoting/fifo)
				least := max(fifo, lru)
				if shards > 1 { // where a shard gets more than its share by chance, its sessions go sooner
					least -= 0.3 / math.Sqrt(float64(r.Places)/float64(shards))
				}
				if plain < least {
					t.Errorf("%.4f of the returns resumed; a FIFO resumes %.4f, an LRU %.4f", plain, fifo, lru)
				}
				if gain := gainOf(r.gain); demoting < gain*fifo {
					t.Errorf("%.4f of the returns resumed with Demote; want at least %v times the FIFO's %.4f", demoting, gain, fifo)
				}
			})
		}
	}
}

// What the cache has learnt from other traffic does no harm once sessions rotate.
func TestTicketRotationAfterPagesIsAFIFOAgain(t *testing.T) {
	fastcache.SkipUnderRace(t)
	r := traffic.Rotation{Clients: 6000, Places: 1000, Visits: 60_000, Skew: 0.9}
	fifo := r.FIFO()
	for name, pages := range map[string]traffic.Workload{
		"frequency":   traffic.Popular(60_000, 20_000, 0.9, 0),
		"a loop":      traffic.Loop(30_000, 1300),
		"a long loop": traffic.Loop(60_000, 6000),
		"bursts":      traffic.Bursts(60_000, 600, 4),
	} {
		t.Run(name, func(t *testing.T) {
			got := resumedOf(t, r, 1, false, pages)
			t.Logf("resumed: FIFO %.4f, cache %.4f", fifo, got)
			if got < fifo-0.005 {
				t.Errorf("%.4f of the returns resumed; a FIFO resumes %.4f", got, fifo)
			}
		})
	}
}
