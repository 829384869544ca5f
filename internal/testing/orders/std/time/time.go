// Package time stands in for time: what the packages under test use of it, by the clock of the run.
package time

import (
	"time"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// Duration is time.Duration.
type Duration = time.Duration

// Time is time.Time.
type Time = time.Time

// Units of Duration.
const (
	Nanosecond  = time.Nanosecond
	Microsecond = time.Microsecond
	Millisecond = time.Millisecond
	Second      = time.Second
	Minute      = time.Minute
	Hour        = time.Hour
)

// Now returns the time of the run's clock.
func Now() Time { return time.Unix(0, 0).Add(orders.Now()) }

// Since returns the time since t.
func Since(t Time) Duration { return Now().Sub(t) }

// A Timer is time.Timer.
type Timer = orders.Timer

// AfterFunc is time.AfterFunc.
func AfterFunc(d Duration, f func()) *Timer { return orders.AfterFunc(d, f) }
