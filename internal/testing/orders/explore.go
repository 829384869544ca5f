package orders

import (
	"fmt"
	"math"
	"math/bits"
	"path"
	"runtime"
	"strings"
	"unsafe"
)

// A Result says what an exploration saw.
type Result struct {
	Runs    int    // orders that were run to their end, no two of them equal
	Pruned  int    // orders that turned out equal to one that was run
	Steps   int    // taken in all of them
	Longest int    // the steps of the longest run
	Failure string // of the first run that failed, with its order; empty if all is well
}

func (r Result) String() string {
	return fmt.Sprintf("%d orders (%d pruned) of up to %d steps, %d steps in all", r.Runs, r.Pruned, r.Longest, r.Steps)
}

// A set of threads, by their numbers.
type set uint32

func (s set) has(id int) bool { return s>>id&1 != 0 }
func one(id int) set          { return 1 << id }
func (s set) first() int      { return bits.TrailingZeros32(uint32(s)) }

// A choice is a state of the path that is being explored: who could go on, and who did.
type choice struct {
	ready  set
	wanted set // who must be tried
	asleep set // who need not, or no more: what they lead to has been seen
	taken  int // who goes on in the present run
}

// A vector counts, for each thread, its steps that happen before something.
type vector [maxThreads]int32

func (v *vector) join(w *vector) {
	for i := range v {
		v[i] = max(v[i], w[i])
	}
}

// An event is a step that was taken.
type event struct {
	step
	by   int
	past vector // what happens before it, itself included
}

// before reports whether e happens before what has the given past.
func (e *event) before(past *vector) bool { return past[e.by] >= e.past[e.by] }

// An object is what the steps of a run on one variable have left behind.
type object struct {
	written, read vector
	lastWrite     int   // the event, -1: none
	lastLock      int   // likewise
	reads         []int // since the last write
	plain         plain
}

// An explorer runs a scenario in one order after the other.
type explorer struct {
	scenario func(*Run)
	all      bool // every order, equal ones too
	path     []choice
	events   []event
	objects  map[unsafe.Pointer]*object
	spare    []*object
	clock    object
	fresh    int              // from this event on races are new
	trace    *strings.Builder // nil but in the last run of a failure
	result   Result
}

// Explore runs a scenario in all orders that can differ, or until one fails.
func Explore(scenario func(*Run)) Result { return explore(scenario, false, math.MaxInt) }

func explore(scenario func(*Run), all bool, most int) Result {
	x := &explorer{scenario: scenario, all: all, objects: map[unsafe.Pointer]*object{}}
	for {
		r := x.run()
		if r.failure != "" {
			x.result.Failure = r.failure
			x.result.Failure += "\n" + x.retrace()
			return x.result
		}
		if !x.turn() || x.result.Runs == most {
			return x.result
		}
	}
}

// turn makes the path end in a choice that has not been made, the deepest possible first.
func (x *explorer) turn() bool {
	for len(x.path) > 0 {
		c := &x.path[len(x.path)-1]
		c.asleep |= one(c.taken)
		if left := c.wanted &^ c.asleep; left != 0 {
			c.taken = left.first()
			x.fresh = len(x.path) - 1
			return true
		}
		x.path = x.path[:len(x.path)-1]
	}
	return false
}

// run runs the scenario once: as the path says, and beyond its end as is convenient.
func (x *explorer) run() *Run {
	r := &Run{explorer: x, traced: x.trace != nil}
	active = r
	defer func() { active = nil }()
	x.reset()
	x.scenario(r)
	known, pruned := len(x.path), false
	for r.failure == "" {
		ready := r.ready()
		if ready == 0 {
			break
		}
		if len(x.events) == maxSteps {
			r.Failf("after %d steps the threads have not ended: one waits in a loop", maxSteps)
			break
		}
		d := len(x.events)
		if d >= known && !pruned {
			pruned = !x.extend(r, ready)
		}
		id := ready.first()
		if !pruned {
			id = x.path[d].taken
		}
		x.take(r, r.threads[id], pruned)
	}
	x.end(r, pruned)
	return r
}

// end looks at a run that has ended.
func (x *explorer) end(r *Run, pruned bool) {
	x.result.Longest = max(x.result.Longest, len(x.events))
	x.result.Steps += len(x.events)
	if pruned {
		x.result.Pruned++
	} else {
		x.result.Runs++
	}
	for _, t := range r.threads {
		if t.done || r.failure != "" {
			continue
		}
		if !t.daemon {
			r.Failf("%s waits for ever, to %s", t.name, kindNames[t.pending.kind])
		}
	}
	for _, check := range r.atRest {
		if r.failure != "" {
			break
		}
		if err := check(); err != nil {
			r.Failf("at rest: %v", err)
		}
	}
	for _, t := range r.threads {
		if t.daemon {
			t.abandon()
		}
	}
}

func (r *Run) ready() (ready set) {
	for _, t := range r.threads {
		if t.ready() {
			ready |= one(t.id)
		}
	}
	return ready
}

func (x *explorer) reset() {
	x.events = x.events[:0]
	for _, o := range x.objects {
		x.spare = append(x.spare, o)
	}
	clear(x.objects)
	x.clock.clear()
}

func (o *object) clear() {
	*o = object{lastWrite: -1, lastLock: -1, reads: o.reads[:0]}
}

func (x *explorer) objectOf(p unsafe.Pointer) *object {
	o := x.objects[p]
	if o == nil {
		if n := len(x.spare); n > 0 {
			o, x.spare = x.spare[n-1], x.spare[:n-1]
		} else {
			o = &object{}
		}
		o.clear()
		x.objects[p] = o
	}
	return o
}

// extend adds a choice at the end of the path: the thread that ran last, if it can go on and is not
// asleep. False says that all who could go on are asleep.
func (x *explorer) extend(r *Run, ready set) bool {
	c := choice{ready: ready}
	last := -1
	if d := len(x.path); d > 0 {
		before := &x.path[d-1]
		last = before.taken
		step := x.events[d-1].step
		for id := range r.threads {
			if before.asleep.has(id) && id != last && !dependent(r.threads[id].pending, step) {
				c.asleep |= one(id)
			}
		}
	}
	if x.all {
		c.asleep, c.wanted = 0, ready
	}
	awake := ready &^ c.asleep
	if awake == 0 {
		return false
	}
	c.taken = awake.first()
	if last >= 0 && awake.has(last) {
		c.taken = last
	}
	c.wanted |= one(c.taken)
	x.path = append(x.path, c)
	return true
}

// take takes a thread's next step, after it has noted with which steps before it races.
func (x *explorer) take(r *Run, t *thread, pruned bool) {
	e := event{step: t.pending, by: t.id, past: t.past}
	e.past[t.id]++
	var raced [2 * maxThreads]int
	races := raced[:0]
	if e.obj != nil {
		o := x.objectOf(e.obj)
		races = o.touch(x, &e, e.kind, &t.past, races)
		r.stepped(t, o, &e.past)
	}
	if e.clock != Start {
		races = x.clock.touch(x, &e, e.clock, &t.past, races)
	}
	n := len(x.events)
	x.events = append(x.events, e)
	if e.obj != nil {
		x.objectOf(e.obj).note(n, &x.events[n], e.kind)
	}
	if e.clock != Start {
		x.clock.note(n, &x.events[n], e.clock)
	}
	if !pruned && n >= x.fresh {
		for _, i := range races {
			x.reverse(i, n)
		}
	}
	t.past = e.past
	if x.trace != nil {
		fmt.Fprintf(x.trace, "%4d %-16s %3d %-7s %s\n", n+1, t.name, t.past[t.id], kindNames[e.kind], t.place)
	}
	r.take(t)
	for _, place := range t.did { // where the run is traced for a data race
		fmt.Fprintf(x.trace, "%4s %-16s %3s plain   %s\n", "", t.name, "", place)
	}
	t.did = t.did[:0]
	if !pruned && n >= x.fresh {
		x.noteDisabled(r, x.path[n].ready, n)
	}
}

// noteDisabled notes a race of the last event with each step that could have been taken instead of it and now
// cannot: it may never be.
func (x *explorer) noteDisabled(r *Run, could set, n int) {
	for _, t := range r.threads {
		if t.id == x.events[n].by || !could.has(t.id) || t.pending.kind == Lock || t.ready() {
			continue // who waits for a lock gets it, and races then
		}
		e := event{step: t.pending, by: t.id, past: t.past}
		e.past[t.id]++
		x.events = append(x.events, e)
		x.reverse(n, n+1)
		x.events = x.events[:n+1]
	}
}

// touch appends the events with which a step on the object races, and joins to the event's past
// what happens before it by way of this object. known is the thread's past without the step.
func (o *object) touch(x *explorer, e *event, kind Kind, known *vector, races []int) []int {
	race := func(i int) {
		if i >= 0 && x.events[i].by != e.by && !x.events[i].before(known) {
			races = append(races, i)
		}
	}
	switch kind {
	case Lock: // with the lock before it: the unlock between them is no choice
		race(o.lastLock)
	case Unlock, Wake: // what it waits for, or ends, cannot come after it
	case Read:
		race(o.lastWrite)
	default:
		if len(o.reads) == 0 {
			race(o.lastWrite)
		}
		for _, i := range o.reads {
			race(i)
		}
	}
	e.past.join(&o.written)
	if kind != Read {
		e.past.join(&o.read)
	}
	return races
}

// note remembers an event on the object.
func (o *object) note(n int, e *event, kind Kind) {
	if kind == Read {
		o.read.join(&e.past)
		o.reads = append(o.reads, n)
		return
	}
	o.written.join(&e.past)
	o.reads = o.reads[:0]
	o.lastWrite = n
	if kind == Lock {
		o.lastLock = n
	}
}

// reverse sees to it that a run is tried in which event n comes before event i, with which it races: one
// that starts, where i was taken, with a thread whose next step leads there and does not
// depend on i.
func (x *explorer) reverse(i, n int) {
	c := &x.path[i]
	var initials, seen set
	for j := i + 1; j <= n; j++ {
		e := &x.events[j]
		if seen.has(e.by) || j < n && x.events[i].before(&e.past) {
			continue
		}
		seen |= one(e.by)
		first := true
		for k := i + 1; k < j && first; k++ {
			f := &x.events[k]
			first = x.events[i].before(&f.past) || !f.before(&e.past)
		}
		if first {
			initials |= one(e.by)
		}
	}
	switch {
	case initials&c.wanted != 0:
	case initials&c.ready != 0:
		c.wanted |= one((initials & c.ready).first())
	default:
		c.wanted |= c.ready
	}
}

// retrace runs the path once more and returns its steps with their places in the code.
func (x *explorer) retrace() string {
	x.trace = &strings.Builder{}
	fmt.Fprintf(x.trace, "in order %d:\n", x.result.Runs+x.result.Pruned)
	x.fresh = maxSteps
	result := x.result
	x.run()
	x.result = result
	return x.trace.String()
}

// place returns where the code under test is.
func place() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if dir := path.Dir(f.File); !strings.HasSuffix(dir, "internal/testing/orders") && !strings.Contains(dir, "internal/testing/orders/std") || !more {
			return fmt.Sprintf("%s:%d %s", path.Base(f.File), f.Line, path.Base(f.Function))
		}
	}
}
