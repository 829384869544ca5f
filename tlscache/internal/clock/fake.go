package clock

import (
	"sync"
	"time"
)

// A Fake is the machine's clocks as a test sets them. It is safe for concurrent use.
type Fake struct {
	mu         sync.Mutex
	wall, mono time.Duration // that they are ahead of the real ones
	still      *Stamp        // the time, if it stands still
}

// Read returns the time.
func (c *Fake) Read() Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := Stamp{Wall: time.Now().UnixNano(), Order: 1 + int64(time.Since(fakeBirth))}
	if c.still != nil {
		now = *c.still
	}
	now.Wall += int64(c.wall)
	now.Order += int64(c.mono)
	return now
}

var fakeBirth = time.Now()

// Set sets the wall clock, forwards or back.
func (c *Fake) Set(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += by
}

// Pass lets time pass.
func (c *Fake) Pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono = c.wall+d, c.mono+d
}

// Suspend lets time pass while the machine is suspended.
func (c *Fake) Suspend(d time.Duration) { c.Set(d) }

// Stop makes time stand still, but for what a test does.
func (c *Fake) Stop() {
	now := c.Read()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.mono, c.still = 0, 0, &now
}

// Clock returns a clock that shows what the fake one says.
func (c *Fake) Clock() *Clock { return &Clock{source: c.Read} }

// Under does the same for a clock that is there already.
func (c *Fake) Under(real *Clock) {
	real.mu.Lock()
	defer real.mu.Unlock()
	real.source, real.mu.seen = c.Read, Stamp{}
}
