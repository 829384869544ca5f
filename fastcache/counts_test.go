package fastcache

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestStatsTellsHowLateTheTimerWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewForTest(Config[int]{}, 4, HashGood)
		defer c.Close()
		run := func(late time.Duration) {
			if err := c.UpdateTTL(Key{"p", "1"}, 1, time.Second); err != nil {
				t.Fatal(err)
			}
			a := &c.alarm
			a.mu.Lock()
			due := time.Duration(a.mu.due - c.now())
			a.mu.timer.Stop()
			a.mu.Unlock()
			time.Sleep(due + late)
			c.wake() // as the timer would have, in time
		}
		var worst time.Duration
		for _, late := range []time.Duration{0, time.Second, time.Millisecond, -time.Millisecond} {
			run(late)
			late = max(late, 0) // early is not late
			worst = max(worst, late)
			if st := c.Stats(); st.TimerLag != late || st.WorstTimerLag != worst {
				t.Errorf("TimerLag = %v, worst %v; want %v, %v", st.TimerLag, st.WorstTimerLag, late, worst)
			}
		}
	})
}

// A session that another call has just killed lies in its slot until that call has the shard's lock.
func TestStatsTellsMissesOfSessionsThatAreBeingRemoved(t *testing.T) {
	c := NewForTest(Config[int]{RecordStats: true}, 1, HashGood)
	defer c.Close()
	for i, reason := range []Reason{Taken, Evicted, Revoked} {
		k := Key{"p", reason.String()}
		mustPut(t, c, k, i)
		kill(c.find(c.digest(k), k), reason, c.now())
		if v, ok := c.Lookup(k); ok {
			t.Errorf("Lookup of a session that was %v = %d", reason, v)
		}
		if st := c.Stats(); st.MissesRemoved != uint64(i)+1 || st.Misses != uint64(i)+1 || st.MissesExpired != 0 {
			t.Errorf("%v: %d misses, %d of removed, %d of expired sessions; want %d, the same, 0", reason, st.Misses, st.MissesRemoved, st.MissesExpired, i+1)
		}
	}
}

// Hits of goroutines that share a stripe, and of those that do not, all count.
func TestHitsOfAllGoroutinesCount(t *testing.T) {
	c := NewForTest(Config[int]{RecordStats: true}, 1, HashGood)
	defer c.Close()
	mustPut(t, c, Key{"p", "1"}, 1)
	const goroutines, each = 100, 1000
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				c.Lookup(Key{"p", "1"})
			}
		})
	}
	wg.Wait()
	st := c.Stats()
	samples := st.HitAge.Second + st.HitAge.Minute
	if most := uint64(goroutines * each / sampleEvery); st.Hits != goroutines*each || samples > most || samples+uint64(len(c.hits.stripes)) < most {
		t.Errorf("%d hits, %d sampled; want %d, up to %d, less one for each of %d stripes at most",
			st.Hits, samples, goroutines*each, most, len(c.hits.stripes))
	}
}

// Each limit belongs to the field that it is the limit of.
func TestSpreadCountsUpToItsLimits(t *testing.T) {
	for i, limit := range spreadLimits {
		if at, beyond := spreadOf(int64(limit)), spreadOf(int64(limit)+1); at != i || beyond != i+1 {
			t.Errorf("%v is counted in field %d, a nanosecond more in %d; want %d, %d", limit, at, beyond, i, i+1)
		}
	}
	if got := spreadOf(0); got != 0 {
		t.Errorf("0 is counted in field %d; want 0", got)
	}
}

// A hit that is counted compares keys apart from Lookup. Under a constant hash all keys match by their tags.
func TestCountedHitsCompareKeys(t *testing.T) {
	c := NewForTest(Config[int]{RecordStats: true}, 1, HashConstant)
	defer c.Close()
	mustPut(t, c, Key{"partial", "id"}, 1)
	for _, other := range []Key{{"partial", "di"}, {"laitrap", "id"}, {"partiali", "d"}, {"partial", ""}, {"", "id"}} {
		if v, ok := c.Lookup(other); ok {
			t.Errorf("Lookup of %q = %d; want absent", other, v)
		}
	}
	if v, ok := c.Lookup(Key{"partial", "id"}); v != 1 || !ok {
		t.Errorf("Lookup of what is stored = %d, %v; want 1, true", v, ok)
	}
}
