package fastcache

import (
	"testing"
	"testing/synctest"
	"time"
)

// Close waits for the timer's function: for one that was started and has not begun, and for
// one that is in the middle of its pass. Else it would leave a goroutine behind.
func TestPromise10CloseWaitsForAPass(t *testing.T) {
	for _, tt := range []struct {
		name       string
		begin, end func(c *Cache[int])
	}{
		{
			name:  "the timer has fired, its function has not begun",
			begin: holdTimer[int],
			end:   (*Cache[int]).wake,
		},
		{
			name: "a pass is under way",
			begin: func(c *Cache[int]) {
				c.alarm.mu.Lock()
				defer c.alarm.mu.Unlock()
				c.alarm.mu.passing = true
			},
			end: func(c *Cache[int]) {
				c.alarm.mu.Lock()
				defer c.alarm.mu.Unlock()
				c.alarm.mu.passing = false
				c.alarm.quiet.Broadcast()
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := NewForTest(Config[int]{TTL: time.Minute}, 1, HashGood)
				if err := c.Update(Key{"p", "a"}, 1); err != nil {
					t.Fatal(err)
				}
				tt.begin(c)
				returned := false
				go func() { c.Close(); returned = true }()
				synctest.Wait()
				if returned {
					t.Error("Close returned before the pass was over")
				}
				tt.end(c)
				synctest.Wait()
				if !returned {
					t.Error("Close still waits after the pass was over")
				}
			})
		})
	}
}
