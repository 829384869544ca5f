package sessiontest

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// together runs n goroutines that begin at once, and waits for them.
func together(n int, work func(g int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for g := range n {
		wg.Go(func() {
			<-start
			work(g)
		})
	}
	close(start)
	wg.Wait()
}

// unexpected reports whether an error is none that a call may return while others take, delete
// and close.
func unexpected(err error) bool {
	return err != nil && !errors.Is(err, session.ErrNotFound) && !errors.Is(err, session.ErrClosed)
}

func closeUnderLoad(t *tester) {
	for i := range 20 {
		t.update(key("host", i), "one", ttl)
	}
	calls := t.calls()
	ended := make(chan struct{})
	var busy sync.WaitGroup // everybody has called once
	busy.Add(8)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				over := isClosed(ended)
				c, k := calls[(g+i)%len(calls)], key("host", i%20)
				if i == 0 {
					k = key("absent", g) // a miss is certain to be among them
				}
				err := c.do(t.ctx, k)
				if i == 0 {
					busy.Done()
				}
				if over && !errors.Is(err, session.ErrClosed) || unexpected(err) {
					t.Errorf("%s with Close under way = %v; want what it would return else, or session.ErrClosed; after Close that",
						c.name, err)
					return
				}
				if over {
					return
				}
			}
		})
	}
	busy.Wait()
	together(2, func(int) {
		if err := t.store.Close(); err != nil {
			t.Errorf("Close() with callers inside = %v; want nil", err)
		}
	})
	close(ended)
	wg.Wait()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func takeOnce(t *tester) {
	for round := range 10 {
		k := key("host", round)
		t.update(k, "one", ttl)
		var winners atomic.Int32
		together(64, func(int) {
			got, err := t.store.Take(t.ctx, k)
			switch {
			case err == nil && string(got) == "one":
				winners.Add(1)
			case !errors.Is(err, session.ErrNotFound):
				t.Errorf("Take() by one of 64 = %s, %v; want the session or session.ErrNotFound", brief(string(got)), err)
			}
		})
		if n := winners.Load(); n != 1 {
			t.Errorf("%d of 64 callers got the session that they all took; want 1", n)
		}
	}
}

// linearizable has one writer and several readers of one key. The writer's calls are numbered: the
// odd ones store their number, the even ones delete it. So a reader knows what it may see: the
// state after any call from the last that had returned when it asked to the last that had begun
// when it was answered.
func linearizable(t *tester) {
	const calls, atLeast, readers = 200, 40, 4
	k := key("host", 1)
	var begun, returned atomic.Int64
	t.update(k, "1", ttl)
	begun.Store(1)
	returned.Store(1)
	done, failed := make(chan struct{}), make(chan struct{}, readers)
	read := make(chan struct{})
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for !isClosed(done) {
				from := returned.Load()
				got, err := t.store.Lookup(t.ctx, k)
				to := begun.Load()
				if fault := illegal(string(got), err, from, to); fault != "" {
					t.Errorf("%s; calls %d to %d may have taken effect, odd ones store their number, even ones delete it", fault, from, to)
					failed <- struct{}{}
					return
				}
				select {
				case read <- struct{}{}: // the writer waits
					runtime.Gosched() // and need not wait until we are preempted
				default:
				}
			}
		})
	}
	defer wg.Wait()
	defer close(done)
	limit := time.Now().Add(5 * time.Second) // a slow Store has been asked enough by then
	for i := int64(2); i <= calls; i++ {
		begun.Store(i)
		var err error
		if i%2 == 1 {
			err = t.store.Update(t.ctx, k, []byte(fmt.Sprint(i)), ttl)
		} else {
			err = t.store.Delete(t.ctx, k)
		}
		if err != nil {
			t.Errorf("call %d = %v; want nil", i, err)
			return
		}
		returned.Store(i)
		if i%32 < 2 { // now and then one reads a state that lasts: one reads twice in this time
			for range 2 * readers {
				select {
				case <-read:
				case <-failed:
					return
				}
			}
		}
		if i > atLeast && time.Now().After(limit) {
			return
		}
	}
}

// illegal says what is wrong with an answer, if anything is.
func illegal(got string, err error, from, to int64) string {
	if errors.Is(err, session.ErrNotFound) {
		if from == to && from%2 == 1 {
			return "Lookup misses a session that was there all the time"
		}
		return ""
	}
	if err != nil {
		return fmt.Sprintf("Lookup() = %v", err)
	}
	switch n, _ := strconv.ParseInt(got, 10, 64); {
	case n%2 != 1 || n > to:
		return fmt.Sprintf("Lookup finds %s, which nobody stored", brief(got))
	case n < from:
		return fmt.Sprintf("Lookup finds %d, which was replaced or deleted before it was asked", n)
	}
	return ""
}

// takeNewestOnce also stores, so that callers meet on groups that grow and shrink.
func takeNewestOnce(t *tester, s session.Indexed) {
	const sessions, callers = 128, 32
	for i := range sessions / 2 {
		t.update(key("host", i), fmt.Sprint(i), ttl)
	}
	var mu sync.Mutex
	taken := map[string]int{}
	together(callers, func(g int) {
		if g < sessions/2/4 { // some store the other half
			for i := range 4 {
				id := sessions/2 + 4*g + i
				if err := s.Update(t.ctx, key("host", id), []byte(fmt.Sprint(id)), ttl); err != nil {
					t.Errorf("Update() = %v; want nil", err)
				}
			}
		}
		for {
			e, err := s.TakeNewest(t.ctx, "host", false)
			if err != nil {
				if !errors.Is(err, session.ErrNotFound) {
					t.Errorf("TakeNewest() by one of %d = %v; want a session or session.ErrNotFound", callers, err)
				}
				return
			}
			mu.Lock()
			taken[string(e.Session)]++
			mu.Unlock()
		}
	})
	for i := range sessions {
		if n := taken[fmt.Sprint(i)]; n != 1 {
			t.Errorf("session %d was handed out %d times by TakeNewest; want once", i, n)
		}
	}
}
