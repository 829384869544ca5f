package fastcache_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// probe stores a session on probation.
func probe(t testing.TB, c *fastcache.Cache[int], k fastcache.Key, v int) {
	t.Helper()
	if err := c.UpdateOnProbation(k, v, time.Hour); err != nil {
		t.Fatalf("UpdateOnProbation(%.40q) = %v", k, err)
	}
}

// kept counts the sessions of a partial key with ids below n that are there.
func kept(c *fastcache.Cache[int], partial string, n int) (count int) {
	for id := range n {
		if _, ok := c.Peek(key(partial, id)); ok {
			count++
		}
	}
	return count
}

// bounds are caches in which few sessions, or many, are full.
var bounds = []int{1, 2, 7, 8, 64, 1000}

func TestProbationNeverEvictsProvenSessionsBelowHalf(t *testing.T) {
	fastcache.SkipUnderRace(t)
	everyLayout(t, func(t *testing.T, l layout) {
		for _, bound := range bounds {
			if bound > 64 && l.mask == fastcache.HashConstant {
				continue // its probes are as long as the table
			}
			c := open(t, l, fastcache.Config[int]{MaxSessions: bound})
			proven := (bound - 1) / 2 // the most that are fewer than half
			for id := range proven {
				put(t, c, key("proven", id), id)
			}
			for id := range 20 * bound {
				probe(t, c, key("flood", id), id)
			}
			if got := kept(c, "proven", proven); got != proven {
				t.Errorf("%d sessions: %d of %d proven sessions are left after a flood on probation; want all", bound, got, proven)
			}
			if got, want := kept(c, "flood", 20*bound), bound-proven; got != want {
				t.Errorf("%d sessions: %d sessions on probation are left; want %d, which fill it", bound, got, want)
			}
			if got := c.Stats().OnProbation; got != bound-proven {
				t.Errorf("%d sessions: Stats().OnProbation = %d; want %d", bound, got, bound-proven)
			}
			for id := range 20 * bound { // those on probation make room for proven ones, too
				put(t, c, key("more", id), id)
				if id == bound/2-proven-1 && kept(c, "proven", proven) != proven {
					t.Errorf("%d sessions: a proven session went for another, with %d on probation", bound, c.Stats().OnProbation)
				}
			}
		}
	})
}

// In one shard the order is strict: the newest on probation are the ones that stay.
func TestProbationIsFirstInFirstOut(t *testing.T) {
	c := open(t, layouts()[0], fastcache.Config[int]{MaxSessions: 8})
	put(t, c, key("proven", 0), 0)
	for id := range 20 {
		probe(t, c, key("flood", id), id)
	}
	for id := range 20 {
		if _, ok := c.Peek(key("flood", id)); ok != (id >= 13) {
			t.Errorf("session %d of 20 on probation is there: %v; want the newest 7", id, ok)
		}
	}
}

func TestProbationersAreNotStarvedByHalf(t *testing.T) {
	fastcache.SkipUnderRace(t)
	everyLayout(t, func(t *testing.T, l layout) {
		for _, bound := range bounds {
			if bound > 64 && l.mask == fastcache.HashConstant {
				continue
			}
			c := open(t, l, fastcache.Config[int]{MaxSessions: bound})
			for id := range bound {
				put(t, c, key("proven", id), id)
			}
			for id := range bound / 2 {
				probe(t, c, key("new", id), id)
			}
			if got := kept(c, "new", bound/2); l.shards == 1 && got != bound/2 {
				t.Errorf("%d places full of proven sessions: %d of %d newcomers on probation are left; want all", bound, got, bound/2)
			}
			for id := range 20 * bound {
				probe(t, c, key("flood", id), id)
			}
			if got, least := kept(c, "proven", bound), (bound+1)/2-1; got < least {
				t.Errorf("%d sessions: %d proven sessions are left after a flood; want at least %d", bound, got, least)
			}
		}
	})
}

// Half is half: the newcomer that asks for room is no session yet.
func TestProbationEndsAtExactlyHalf(t *testing.T) {
	c := open(t, layouts()[0], fastcache.Config[int]{MaxSessions: 8})
	for id := range 4 {
		put(t, c, key("proven", id), id)
	}
	for id := range 5 {
		probe(t, c, key("new", id), id)
	}
	if proven, fresh := kept(c, "proven", 4), kept(c, "new", 5); proven != 3 || fresh != 5 {
		t.Errorf("%d of 4 proven and %d of 5 newer sessions are left in 8 places; want 3 and 5: the oldest goes", proven, fresh)
	}
}

// Weight bounds as places do, and the sessions on probation may all be in other shards.
func TestProbationHoldsForWeights(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		c := open(t, l, fastcache.Config[int]{MaxWeight: 100, Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }})
		for id := range 7 {
			put(t, c, key("proven", id), 7) // 49 of 100
		}
		for id := range 500 {
			probe(t, c, key("flood", id), 1+id%40)
		}
		if got := kept(c, "proven", 7); got != 7 {
			t.Errorf("%d of 7 proven sessions are left, which weigh 49 of 100; want all", got)
		}
		probe(t, c, key("flood", -1), 100) // nothing else can make room
		if got := c.Size(); got != 1 {
			t.Errorf("Size() = %d with one session that weighs 100 of 100; want 1", got)
		}
	})
}

// No session is on probation but the one that is replaced by a heavier one: then others make room for
// it, fewer than half or not.
func TestOthersMakeRoomWhereOnlyTheReplacedIsOnProbation(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		for name, replace := range map[string]func(c *fastcache.Cache[int], k fastcache.Key, v int){
			"Update":            func(c *fastcache.Cache[int], k fastcache.Key, v int) { put(t, c, k, v) },
			"UpdateOnProbation": func(c *fastcache.Cache[int], k fastcache.Key, v int) { probe(t, c, k, v) },
		} {
			c := open(t, l, fastcache.Config[int]{MaxWeight: 100, Weigh: func(_ fastcache.Key, v int) int64 { return int64(v) }})
			for id := range 4 {
				put(t, c, key("proven", id), 10)
			}
			probe(t, c, key("new", 0), 10)
			replace(c, key("new", 0), 80)
			wantValue(t, c, key("new", 0), 80)
			if got := kept(c, "proven", 4); got != 2 {
				t.Errorf("%s of weight 80: %d proven sessions of weight 10 are left beside it; want 2", name, got)
			}
		}
	})
}

func TestUpdateEndsAndBeginsProbation(t *testing.T) {
	c := open(t, layouts()[0], fastcache.Config[int]{MaxSessions: 8})
	want := func(when string, want int) {
		t.Helper()
		if got := c.Stats().OnProbation; got != want {
			t.Errorf("%s: OnProbation = %d; want %d", when, got, want)
		}
	}
	k := key("a", 1)
	probe(t, c, k, 1)
	want("stored", 1)
	probe(t, c, k, 2)
	want("stored again", 1)
	put(t, c, k, 3)
	want("Update", 0)
	probe(t, c, k, 4)
	want("on probation after an Update", 1)
	c.Demote(k)
	want("demoted", 1)
	c.Delete(k)
	want("deleted", 0)
	for _, end := range []func(){
		func() { c.Take(k) }, func() { c.TakeNewest("a") }, func() { c.DeletePartial("a") }, func() { c.Clear() },
	} {
		probe(t, c, k, 5)
		want("stored", 1)
		end()
		want("removed", 0)
	}
	if err := c.UpdateOnProbation(k, 1, 0); !errors.Is(err, fastcache.ErrBadTTL) {
		t.Errorf("UpdateOnProbation with a TTL of 0 = %v; want ErrBadTTL", err)
	}
	probe(t, c, k, 6)
	c.Close()
	if err := c.UpdateOnProbation(k, 1, 1); !errors.Is(err, fastcache.ErrClosed) {
		t.Errorf("UpdateOnProbation after Close = %v; want ErrClosed", err)
	}
	want("closed", 0)
}

func TestDemotedSessionsGoBeforeThoseOnProbation(t *testing.T) {
	c := open(t, layouts()[0], fastcache.Config[int]{MaxSessions: 8})
	put(t, c, key("spent", 0), 0)
	for id := range 7 {
		probe(t, c, key("flood", id), id)
	}
	c.Demote(key("spent", 0))
	put(t, c, key("proven", 0), 0)
	wantMiss(t, c, key("spent", 0))
	wantValue(t, c, key("flood", 0), 0)
}

// However many store at once, no proven session goes while they are fewer than half.
func TestFloodsRacingEachOtherNeverEvictProvenSessions(t *testing.T) {
	everyLayout(t, func(t *testing.T, l layout) {
		const bound, proven, each = 64, 31, 1000
		evicted := make(chan fastcache.Key, proven)
		c := open(t, l, fastcache.Config[int]{MaxSessions: bound, OnRemove: func(r fastcache.Removal[int]) {
			if r.Key.Partial == "proven" && r.Reason == fastcache.Evicted {
				select {
				case evicted <- r.Key:
				default:
				}
			}
		}})
		for id := range proven {
			put(t, c, key("proven", id), id)
		}
		inParallel(8, func(g int) {
			for i := range each {
				id := g*each + i
				switch i % 8 {
				case 6:
					c.Delete(key("flood", id-1))
				case 7:
					put(t, c, key("proven", i%proven), i) // in place
				default:
					probe(t, c, key("flood", id), id)
				}
			}
		})
		c.Close()
		select {
		case k := <-evicted:
			t.Errorf("%v was evicted; want no proven session to go while %d hold %d places", k, proven, bound)
		default:
		}
	})
}

func BenchmarkUpdateOnProbation(b *testing.B) {
	for _, probation := range []bool{false, true} {
		b.Run(fmt.Sprintf("probation=%v", probation), func(b *testing.B) {
			c, err := fastcache.New(fastcache.Config[int]{})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			keys := make([]fastcache.Key, 4*fastcache.DefaultMaxSessions)
			for i := range keys {
				keys[i] = key("host.example.net:443", i)
			}
			update := c.UpdateTTL
			if probation {
				update = c.UpdateOnProbation
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := update(keys[i%len(keys)], i, time.Hour); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
