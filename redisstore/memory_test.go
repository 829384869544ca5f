package redisstore

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// The figures of the package documentation. Keys and ids are as long as those of tlscache: 16 bytes.
func TestASessionTakesWhatIsDocumented(t *testing.T) {
	for _, k := range kinds {
		for _, c := range []struct {
			perPartial, size int
			most             int // bytes per session by MEMORY USAGE
		}{
			{1, 200, 450}, {4, 200, 390}, {100, 200, 360}, {1000, 200, 460}, {1000, 450, 750},
		} {
			t.Run(fmt.Sprintf("%s/sessions=%d/bytes=%d", k.name, c.perPartial, c.size), func(t *testing.T) {
				s := open(t, standalone(t, k))
				for range c.perPartial {
					update(t, s, session.Key{Partial: strings.Repeat("p", 16), ID: rand.Text()[:16]}, strings.Repeat("s", c.size), time.Hour)
				}
				total, keys := 0, 0
				for name := range keysOf(t, s) {
					var n int
					fmt.Sscan(mustAsk(t, s.cfg.Addrs[0], "MEMORY", "USAGE", name, "SAMPLES", "0"), &n)
					total += n
					keys++
				}
				if keys != c.perPartial+1 {
					t.Errorf("%d keys; want one for each session and one for all", keys)
				}
				t.Logf("%d bytes per session", total/c.perPartial)
				if total/c.perPartial > c.most {
					t.Errorf("a session takes %d bytes; want at most %d", total/c.perPartial, c.most)
				}
			})
		}
	}
}
