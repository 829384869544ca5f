package tlscache

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

func begun() bool { return true }

func TestABudgetIsWhatTheClockSaysWhereProcessorsAreFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, allowed := range []time.Duration{0, 1, 7, time.Millisecond, 2_500_001, time.Hour} {
			b, begin := grant(allowed), time.Now()
			if _, ok := await(b, make(chan int), begun); ok || time.Since(begin) != allowed || b.left != 0 {
				t.Errorf("await with %v returned ok = %v after %v, %v left; want false, all of it", allowed, ok, time.Since(begin), b.left)
			}
			if b.ctx.Err() != nil {
				t.Errorf("with %v: the context is done before the budget's owner is", allowed)
			}
			b.end()
		}
	})
}

// Calls of one owner share a budget, and what they do not wait for is left.
func TestABudgetIsSpentByWaitingAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := grant(8 * time.Millisecond)
		defer b.end()
		for i := range 3 {
			answers := make(chan int, 1)
			time.AfterFunc(2500*time.Microsecond, func() { answers <- i })
			if v, ok := await(b, answers, begun); !ok || v != i {
				t.Fatalf("call %d: %v, %v; want an answer", i, v, ok)
			}
			time.Sleep(time.Second) // on work of its own
		}
		if want := 500 * time.Microsecond; b.left != want {
			t.Errorf("%v left after three waits of 2.5ms of 8ms; want %v", b.left, want)
		}
	})
}

// What a goroutine waits for a processor costs nothing of the budget: before the call runs, and when it has woken.
func TestABudgetCountsNoTimeInLine(t *testing.T) {
	for _, tt := range []struct {
		name     string
		late     time.Duration // how late the goroutine that waits comes to run, each time
		begins   time.Duration // when the call does
		answers  time.Duration // 0: never
		want     bool
		wantTook time.Duration
	}{
		{name: "the call is late", begins: 500 * time.Millisecond, answers: 501 * time.Millisecond, want: true, wantTook: 501 * time.Millisecond},
		{name: "the call is late and hangs", begins: 500 * time.Millisecond, wantTook: 504 * time.Millisecond},
		{name: "the call never runs", begins: time.Hour, wantTook: starvation + 4*time.Millisecond},
		{name: "who waits is late", late: 20 * time.Millisecond, answers: 60 * time.Millisecond, want: true, wantTook: 61500 * time.Microsecond},
		{name: "who waits is late and the Store hangs", late: 20 * time.Millisecond, wantTook: 8 * 20500 * time.Microsecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, begin, answers := grant(4*time.Millisecond), time.Now(), make(chan int, 1)
				defer b.end()
				if tt.answers > 0 {
					time.AfterFunc(tt.answers, func() { answers <- 1 })
				}
				_, ok := await(b, answers, func() bool { // it is asked as soon as the goroutine runs again
					time.Sleep(tt.late)
					return time.Since(begin) > tt.begins
				})
				if took := time.Since(begin); ok != tt.want || took.Round(time.Millisecond) != tt.wantTook.Round(time.Millisecond) {
					t.Errorf("await = %v after %v; want %v after %v", ok, took, tt.want, tt.wantTook)
				}
			})
		})
	}
}

func TestAnEndlessBudgetIsLong(t *testing.T) {
	b := grant(math.MaxInt64)
	defer b.end()
	if b.left < time.Hour || b.ctx.Err() != nil {
		t.Errorf("%v are left, and the context says %v", b.left, b.ctx.Err())
	}
}

// The context of a call is done when nothing waits for it, though its deadline has not come.
func TestTheContextOfACallEndsWithTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, ended := time.Now(), make(chan time.Duration, 1)
		_, err := guarded(newGuard(4), 5*time.Millisecond, func(ctx context.Context) (int, error) {
			if at, ok := ctx.Deadline(); !ok || at.Sub(begin) > 5*time.Millisecond+starvation {
				t.Errorf("the deadline is %v after the begin, there: %v; want one at most %v after the budget", at.Sub(begin), ok, starvation)
			}
			<-ctx.Done()
			ended <- time.Since(begin)
			return 0, ctx.Err()
		})
		if took := <-ended; !errors.Is(err, errTimeout) || took != 5*time.Millisecond {
			t.Errorf("%v; the context ended after %v; want %v, 5ms", err, took, errTimeout)
		}
	})
}

// A slowIndexed Store takes its time for each call, and what it has does not open.
type slowIndexed struct {
	session.Indexed
	each time.Duration
}

func (s slowIndexed) TakeNewest(_ context.Context, partial string, _ bool) (session.Entry, error) {
	time.Sleep(s.each)
	return session.Entry{Key: session.Key{Partial: partial, ID: slotName(0)}, Session: []byte("?")}, nil
}

func (s slowIndexed) Delete(context.Context, session.Key) error { time.Sleep(s.each); return nil }

func (s slowIndexed) DeletePartial(context.Context, string) (int, error) {
	time.Sleep(s.each)
	return 0, nil
}

func (s slowIndexed) Update(context.Context, session.Key, []byte, time.Duration) error {
	time.Sleep(s.each)
	return nil
}

// However many calls of its Store a Get or a Put makes, they have one budget.
func TestAPoolsCallsShareABudget(t *testing.T) {
	old := fakeTicket{label: "old", version: 0x0303}.state(t)
	synctest.Test(t, func(t *testing.T) {
		for each, want := range map[time.Duration]time.Duration{2 * time.Millisecond: 4 * time.Millisecond, 3 * time.Millisecond: 5 * time.Millisecond} {
			store := slowIndexed{newMemory(t, session.MemoryConfig{}), each}
			c := newTestClient(t, ClientConfig{Store: store, Keyring: ring(t, secret(1))})
			cache := c.View("a")
			for what, call := range map[string]func(){"Get": func() { cache.Get(testName) }, "Put": func() { cache.Put(testName, old) }} {
				begin := time.Now()
				if call(); time.Since(begin) != want {
					t.Errorf("two calls of %v: %s took %v; want %v", each, what, time.Since(begin), want)
				}
				time.Sleep(time.Second) // for what was given up on
			}
		}
	})
}
