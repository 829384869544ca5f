package fastcache

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// One hold of a shard's lock does a batch of work: it ends sessions, or files those again that
// share a bucket of the wheel with them, and it counts both.
func TestPromise9OneHoldOfTheLockDoesOneBatchOfWork(t *testing.T) {
	const tick = time.Duration(1 << tickShift)
	const bucket = 10 * 64 * tick // where a bucket of the wheel's second level begins
	for _, tt := range []struct {
		name        string
		first, last int           // sessions, in the order of their Updates
		a, b        time.Duration // their TTLs
		due         int
	}{
		{"all are due", 500, 500, bucket, bucket, 1000},
		{"the first are due, the others not yet", 100, 1000, bucket, bucket + 60*tick, 100},
		{"the last are due, the others not yet", 1000, 100, bucket + 60*tick, bucket, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := NewForTest(Config[int]{}, 1, HashGood)
				defer c.Close()
				for i := range tt.first + tt.last {
					ttl := tt.a
					if i >= tt.first {
						ttl = tt.b
					}
					if err := c.UpdateTTL(Key{"p", strconv.Itoa(i)}, i, ttl); err != nil {
						t.Fatal(err)
					}
				}
				holdTimer(c)
				time.Sleep(bucket + tick)
				s, holds, gone := &c.shards[0], 0, 0
				for ; gone < tt.due && holds < 100; holds++ {
					s.mu.Lock()
					before := s.mu.resident
					s.expireLocked(c, c.now())
					ended, work := before-s.mu.resident, s.mu.work
					c.unlock(s)
					gone += ended
					if ended > batchSessions || work > batchSessions || work < ended {
						t.Errorf("hold %d ended %d sessions and counts work on %d; want at most %d", holds, ended, work, batchSessions)
					}
				}
				// A hold that does much less than it may makes others wait for the lock more often.
				if most := (tt.first+tt.last)/(batchSessions-6) + 1; holds > most {
					t.Errorf("%d of %d sessions ended in %d holds; want %d at most", gone, tt.due, holds, most)
				}
				c.wake() // which the held timer owes
			})
		})
	}
}
