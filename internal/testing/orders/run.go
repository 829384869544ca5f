package orders

import (
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
	"time"
	"unsafe"
)

// maxThreads bounds the threads of one run, those that are started on the way included.
const maxThreads = 16

// maxSteps is how long a run may be. A longer one waits in a loop for what others do.
const maxSteps = 5000

// A Kind is what a step does to its object.
type Kind uint8

// The kinds of steps. All but Read count as a write.
const (
	Start   Kind = iota // a thread begins
	Read                // an atomic load, a reading of the clock
	Write               // an atomic store or a read-modify-write, also one that fails
	Lock                // a mutex
	Unlock              // likewise
	Wake                // a waiter of a sync.Cond that was signalled goes on
	Fire                // a timer that is due starts its function
	Advance             // the clock moves
	Yielded             // a loop goes on that waits for others
)

var kindNames = [...]string{"start", "read", "write", "lock", "unlock", "wake", "fire", "advance", "go on"}

// A Gate says whether a step that may have to wait can be taken.
type Gate interface{ Open() bool }

// A step is what a thread does next: one operation, and whatever it does after that on its own.
type step struct {
	kind  Kind
	clock Kind           // Read or Write if it touches the clock besides; Start if not
	obj   unsafe.Pointer // what it touches, nil for nothing
	gate  Gate           // nil: it never waits
}

// dependent reports whether the order of two steps may matter.
func dependent(a, b step) bool {
	if a.obj == b.obj && a.obj != nil && (a.kind != Read || b.kind != Read) {
		return true
	}
	return a.clock != Start && b.clock != Start && (a.clock == Write || b.clock == Write)
}

// A thread is a coroutine that stops before each of its steps.
type thread struct {
	id      int
	name    string
	resume  func() (struct{}, bool)
	abandon func()
	yield   func(struct{}) bool
	pending step
	done    bool
	ofTimer bool     // it runs a timer's function
	daemon  bool     // it need not end: a timer
	late    *Timer   // whose function it runs, until that has shown that it runs
	steps   int      // that it has taken
	others  int      // what the others had taken when it called Yield last
	held    int      // mutexes
	dated   bool     // it has read the clock since it holds any
	date    int64    // what it read last
	past    vector   // what happens before its next step
	place   string   // of its next step in the code, if the run is traced
	did     []string // without a step since the last one, likewise
}

func (t *thread) ready() bool {
	return !t.done && (t.pending.gate == nil || t.pending.gate.Open())
}

// A Run is one execution of a scenario, in one order.
type Run struct {
	explorer *explorer
	threads  []*thread
	current  *thread // nil: the scenario is set up or looked at, and steps are taken at once
	steps    int     // taken by all threads
	atRest   []func() error
	failure  string

	now     int64 // nanoseconds since the run began
	maxLate int64 // of a timer
	timers  []*Timer

	traced bool // threads note where in the code they stop
}

// active is the run that goes on: code under test knows no Run, and only one thread runs at a time.
var active *Run

// Go adds a thread.
func (r *Run) Go(name string, f func()) { r.spawn(name, f) }

// AtRest adds a check for the end of the run, when no thread can do anything any more.
func (r *Run) AtRest(check func() error) { r.atRest = append(r.atRest, check) }

// Failf notes what is wrong with this run. Only the first failure counts.
func (r *Run) Failf(format string, args ...any) {
	if r.failure == "" {
		r.failure = fmt.Sprintf(format, args...)
	}
}

// Look runs f, in a thread or at rest, without a step: no other thread goes on meanwhile, and what f touches
// counts for nothing. It is for checks, which would else add orders of their own.
func (r *Run) Look(f func()) {
	t := r.current
	r.current = nil
	f()
	r.current = t
}

// TimerRuns reports whether the function of a timer has been started and has not ended.
func (r *Run) TimerRuns() bool {
	return slices.ContainsFunc(r.threads, func(t *thread) bool { return t.ofTimer && !t.done })
}

// Clock returns the time since the run began, without a step.
func (r *Run) Clock() time.Duration { return time.Duration(r.now) }

// MaxLate sets how late timers may run: the clock does not go further. Without it they may be
// as late as they like.
func (r *Run) MaxLate(d time.Duration) { r.maxLate = int64(d) }

func (r *Run) spawn(name string, f func()) *thread {
	t := &thread{id: len(r.threads), name: name}
	if t.id == maxThreads {
		panic(fmt.Sprintf("orders: a run has more than %d threads", maxThreads))
	}
	if r.current != nil {
		t.past = r.current.past
	}
	t.resume, t.abandon = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		defer func() {
			if p := recover(); p != nil && p != any(abandoned{}) {
				r.Failf("%s panics: %v\n%s", t.name, p, debug.Stack())
			}
			t.done = true
		}()
		f()
	})
	r.threads = append(r.threads, t)
	return t
}

// take lets a thread take its next step, and go on to the one after that.
func (r *Run) take(t *thread) {
	t.steps++
	r.steps++
	r.current = t
	t.resume()
	r.current = nil
}

// Go is a go statement of the code under test.
func Go(f func()) {
	if active == nil {
		go f()
		return
	}
	stop(step{kind: Write}) // what was done before it happens before what the new thread does
	active.spawn(fmt.Sprintf("goroutine %d", len(active.threads)), f)
}

// A loop of a thread that waits for others goes on when one of them has taken a step since it did last.
type loop struct {
	r *Run
	t *thread
}

// Open reports whether another thread has taken a step.
func (l loop) Open() bool { return l.r.steps-l.t.steps > l.t.others }

// Yield is runtime.Gosched in a loop that waits for others: it waits until one of them has taken a step
// since the loop's last turn. So a loop that waits in vain is a thread that waits for ever.
func Yield() {
	if r := active; r != nil && r.current != nil {
		t := r.current
		stop(step{kind: Yielded, gate: loop{r, t}})
		t.others = r.steps - t.steps
	}
}

// Before stops the running thread before a step on an object.
func Before(kind Kind, obj unsafe.Pointer) { stop(step{kind: kind, obj: obj}) }

// BeforeWaiting is Before for a step that waits for its gate.
func BeforeWaiting(kind Kind, obj unsafe.Pointer, gate Gate) {
	stop(step{kind: kind, obj: obj, gate: gate})
}

func stop(s step) {
	r := active
	if r == nil || r.current == nil {
		if s.gate != nil && !s.gate.Open() {
			panic("orders: a step outside all threads waits, and no thread runs")
		}
		return
	}
	t := r.current
	frees := s.kind == Unlock && (t.late != nil || t.held == 1 && t.dated)
	if frees {
		s.clock = Write // the clock may go on: see advance
	}
	t.pending = s
	if r.traced {
		t.place = place()
	}
	if !t.yield(struct{}{}) {
		panic(abandoned{})
	}
	switch {
	case frees:
		t.late, t.dated = nil, false
		t.held--
	case s.kind == Unlock:
		t.held--
	case s.kind == Lock:
		t.held++
	}
}

// abandoned unwinds a thread that has not ended when its run has.
type abandoned struct{}
