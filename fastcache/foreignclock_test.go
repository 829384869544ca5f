package fastcache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// A cache that was made outside a bubble has not been made yet by the bubble's clock: it refuses what
// it could never end, and serves on outside.
func TestACacheFromOutsideABubbleSaysSo(t *testing.T) {
	for _, cfg := range []fastcache.Config[int]{{}, {IdleTTL: time.Hour}, {ExactClock: true}, {NoIndex: true}} {
		c, err := fastcache.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		before := key("p", 0)
		put(t, c, before, 1)
		synctest.Test(t, func(t *testing.T) {
			for name, err := range map[string]error{
				"Update":                   c.Update(key("p", 1), 2),
				"UpdateTTL":                c.UpdateTTL(key("p", 1), 2, time.Hour),
				"UpdateOnProbation":        c.UpdateOnProbation(key("p", 1), 2, time.Hour),
				"Update of a present key ": c.Update(before, 2),
			} {
				if err != fastcache.ErrForeignClock {
					t.Errorf("%s = %v; want ErrForeignClock", name, err)
				}
			}
		})
		check(t, c)
		if st := c.Stats(); st.Sessions != 1 || st.OnProbation != 0 {
			t.Errorf("%d sessions, %d on probation after Updates that were refused; want 1 and 0", st.Sessions, st.OnProbation)
		}
		put(t, c, key("p", 2), 3)
		wantValue(t, c, before, 1)
		c.Close()
	}
}
