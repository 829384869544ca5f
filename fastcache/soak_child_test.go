//go:build unix

package fastcache_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// childStop is how long a child is stopped: longer than the slack, and than any delay that a
// busy machine makes between the child's word that it is ready and the stop.
const childStop = 4 * time.Second

// soakStops sums up the children that were stopped and continued.
type soakStops struct {
	children        int
	lookups, served int64 // served: expired, without ExactClock, before the timer had run
}

func (st *soakStops) String() string {
	return fmt.Sprintf("%d children stopped, %d lookups, %d of them expired as documented", st.children, st.lookups, st.served)
}

// add runs this test binary as a child, stops it for childStop in the middle of its
// lookups, and has it judge what it saw.
func (st *soakStops) add(t *testing.T, s *soak) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestSoakChild$", "-test.v")
	cmd.Env = append(os.Environ(), "SOAK_CHILD=1", "SOAK=")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(out)
	wait := func(prefix string) (rest string, ok bool) {
		for said.Scan() {
			if rest, ok = strings.CutPrefix(said.Text(), prefix); ok {
				return rest, true
			}
			if strings.Contains(said.Text(), "soak_child_test.go") {
				t.Log("child: ", said.Text())
			}
		}
		return "", false
	}
	if _, ok := wait("child: ready"); !ok {
		s.errorf("the child did not start")
	}
	cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(childStop)
	cmd.Process.Signal(syscall.SIGCONT)
	rest, ok := wait("child: done ")
	io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil || !ok {
		s.errorf("the child ended with %v (summary: %v)", err, ok)
	}
	var lookups, served int64
	if ok {
		if _, err := fmt.Sscan(rest, &lookups, &served); err != nil {
			s.errorf("the child said %q: %v", rest, err)
		}
	}
	st.children++
	st.lookups += lookups
	st.served += served
}

// A soakChild is the caches of a child, which hold the same sessions.
type soakChild struct {
	t         *testing.T
	base      time.Time
	caches    []*fastcache.Cache[int] // the first with ExactClock, the second without
	keys      []fastcache.Key
	deadlines []int64 // at the latest
	lookups   int64
	served    int64 // expired, by the cache without ExactClock
}

func (c *soakChild) now() int64 { return int64(time.Since(c.base)) }

// look looks every session up once. late says that the timers have not run since the process was
// stopped, which excuses the cache without ExactClock.
func (c *soakChild) look(late bool) {
	for i, k := range c.keys {
		for which, cache := range c.caches {
			c.lookups++
			begin := c.now()
			if _, ok := cache.Lookup(k); !ok || begin < c.deadlines[i] {
				continue
			}
			if which == 0 || !late {
				c.t.Fatalf("cache %d: Lookup serves a session %v after its deadline (timers held: %v)",
					which, time.Duration(begin-c.deadlines[i]), late)
			}
			c.served++
		}
	}
}

// lookUntilStopped tells the parent to stop this process, and looks sessions up until the clock
// jumps, which says that it was.
func (c *soakChild) lookUntilStopped() {
	last := c.now() // before the parent knows
	fmt.Println("child: ready")
	for {
		now := c.now()
		if now-last > int64(childStop)*3/4 {
			return
		}
		if now > int64(30*time.Second) {
			c.t.Fatal("this process was not stopped")
		}
		last = now
		c.look(true)
	}
}

// TestSoakChild looks sessions up while its parent stops it. With ExactClock no expired one may be
// served. Without, those whose deadline passed in the stop may be, until the timer has run once
// more. After a stop the timer and the lookups race; the child holds its timers so that the lookups
// win, or it would prove nothing.
func TestSoakChild(t *testing.T) {
	if os.Getenv("SOAK_CHILD") == "" {
		t.Skip("TestSoak runs it")
	}
	c := &soakChild{t: t, base: time.Now(), caches: []*fastcache.Cache[int]{
		fastcache.NewForTest(fastcache.Config[int]{ExactClock: true}, 1, fastcache.HashGood),
		fastcache.NewForTest(fastcache.Config[int]{}, 1, fastcache.HashGood),
	}}
	for i := range 200 {
		k, ttl := key("p", i), time.Duration(i+1)*25*time.Millisecond // up to 5 s
		for _, cache := range c.caches {
			defer cache.Close()
			putTTL(t, cache, k, i, ttl)
		}
		c.keys = append(c.keys, k)
		c.deadlines = append(c.deadlines, c.now()+int64(ttl))
	}
	for begin := c.now(); c.now() < begin+int64(200*time.Millisecond); {
		c.look(false)
	}
	var release []func()
	var wakeUps []uint64
	for _, cache := range c.caches {
		wakeUps = append(wakeUps, cache.Stats().WakeUps)
		free := sync.OnceFunc(cache.HoldTimerForTest())
		defer free() // before Close, which waits for the timer
		release = append(release, free)
	}
	c.lookUntilStopped()
	c.look(true)
	for i, cache := range c.caches {
		release[i]()
		for ran := false; !ran; ran = cache.Stats().WakeUps > wakeUps[i] {
			time.Sleep(time.Millisecond)
		}
	}
	for begin := c.now(); c.now() < begin+int64(700*time.Millisecond); {
		c.look(false)
	}
	if c.served == 0 {
		t.Error("no session was served after its deadline without ExactClock: the stop shows nothing about ExactClock")
	}
	fmt.Println("child: done", c.lookups, c.served)
}
