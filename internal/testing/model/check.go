package model

import (
	"errors"
	"fmt"
	"strings"
)

// TB is the part of testing.TB that Run needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Run applies ops to the subject and to the reference and fails t at the first answer that the
// contract does not allow, with the trace up to it. It leaves the subject closed.
func Run(t TB, subject Subject, ref *Reference, ops []Op) {
	t.Helper()
	if err := Check(subject, ref, ops); err != nil {
		t.Fatalf("%v", err)
	}
}

// horizon is how much time a run may spend; then Advance does nothing. Virtual time ends in
// 2262, and from never on the reference does not compare deadlines.
const horizon = 120 * 365 * days

// A runner is one run under way.
type runner struct {
	subject Subject
	ref     *Reference
	serial  uint64   // of the last value made
	given   []Op     // the operations as they came, up to the one under way
	log     []Answer // of the same with each Fill split
}

// Check is Run with the failure returned. It closes the subject at the end, and checks that too,
// unless it fails before.
func Check(subject Subject, ref *Reference, ops []Op) error {
	_, err := Record(subject, ref, ops)
	return err
}

// Record is Check with all answers returned, for Diff.
func Record(subject Subject, ref *Reference, ops []Op) ([]Answer, error) {
	r := &runner{subject: subject, ref: ref}
	defer func() {
		if p := recover(); p != nil {
			panic(fmt.Sprintf("%v, after\n%s", p, r.trace()))
		}
	}()
	ops = append(ops[:len(ops):len(ops)], Op{Kind: Close})
	for i, op := range ops {
		r.given = ops[:i+1]
		for _, op := range expand(op) {
			if err := r.step(op); err != nil {
				return r.log, fmt.Errorf("model: operation %d, %v: %w\n%s", len(r.log)-1, op, err, r.trace())
			}
		}
	}
	if n := len(ref.resident); n > 0 {
		return r.log, fmt.Errorf("model: %d sessions were stored and never reported\n%s", n, r.trace())
	}
	return r.log, nil
}

// expand splits a Fill into its Updates.
func expand(op Op) []Op {
	if op.Kind != Fill {
		return []Op{op}
	}
	out := make([]Op, 64)
	for i := range out {
		out[i] = Op{Kind: Update, Partial: op.Partial, ID: op.ID + uint8(i), Value: op.Value}
	}
	return out
}

// step runs one operation and judges its answer, the removals that it caused, and the bounds.
func (r *runner) step(op Op) error {
	r.log = append(r.log, Answer{Op: op})
	if err := r.apply(op); err != nil {
		return err
	}
	if op.Racing() {
		return nil // the next operation meets timers that are due and have not run
	}
	if op.Kind != Close { // Close itself waits for its reports
		r.subject.Settle()
	}
	if err := r.removals(); err != nil {
		return err
	}
	n := r.subject.Size()
	last := &r.log[len(r.log)-1]
	last.settled, last.size, last.exact = true, n, r.ref.exact()
	if err := r.ref.sized(n); err != nil {
		return fmt.Errorf("then %w", err)
	}
	return nil
}

// removals feeds the reference what left the subject.
func (r *runner) removals() error {
	var removals []Removal
	if r.ref.cfg.Reports {
		removals = r.subject.Reports()
	} else {
		held := map[uint64]bool{}
		for _, v := range r.subject.All() {
			held[v] = true
		}
		removals = r.ref.infer(held)
	}
	r.log[len(r.log)-1].gone = removals
	return r.ref.judge(removals)
}

// saw notes what the subject answered.
func (r *runner) saw(answers ...any) {
	last := &r.log[len(r.log)-1]
	last.got = append(last.got, answers...)
}

// apply runs one operation and has the reference judge its answer.
func (r *runner) apply(op Op) error {
	switch op.Kind {
	case Lookup, Peek, Delete, Take, Demote, Touch:
		return r.byKey(op)
	case Update, UpdateTTL, UpdateOnProbation, LookupOrUpdate:
		return r.store(op)
	case Select, SelectEntries, Drain, TakeNewest, TakeNewestKeepLast, DeletePartial:
		return r.byPartial(op)
	case All, Entries, Foldl:
		return r.iterate(op)
	case Snapshot:
		got, err := r.subject.Snapshot()
		r.saw(got, err)
		return r.ref.snapshot(got, err)
	case Clear:
		n := r.subject.Clear()
		r.saw(n)
		return r.ref.removeMany(r.ref.everything(), n, Cleared)
	case SetMaxSessions:
		err := r.subject.SetMaxSessions(op.Bound())
		r.saw(err != nil)
		return r.ref.setBound(op, err)
	case SetMaxWeight:
		err := r.subject.SetMaxWeight(int64(op.Bound()))
		r.saw(err != nil)
		return r.ref.setBound(op, err)
	case Advance:
		r.advance(op)
	case Close:
		err := r.subject.Close()
		r.saw(err)
		return r.ref.close(err)
	}
	return nil // Size is checked after every operation
}

func (r *runner) byKey(op Op) error {
	s, key := r.subject, op.Key()
	switch op.Kind {
	case Lookup:
		v, ok := s.Lookup(key)
		r.saw(v, ok)
		return r.ref.lookup(key, v, ok)
	case Peek:
		e, ok := s.Peek(key)
		r.saw(e.Value, e.Expires, ok)
		return r.ref.peek(key, e, ok)
	case Delete:
		ok := s.Delete(key)
		r.saw(ok)
		return r.ref.remove(key, r.ref.valueOf(key), ok, Deleted)
	case Take:
		v, ok := s.Take(key)
		r.saw(v, ok)
		return r.ref.remove(key, v, ok, Taken)
	case Touch:
		ok := s.Touch(key, op.TTL())
		r.saw(ok)
		return r.ref.touch(key, op.TTL(), ok)
	default:
		ok := s.Demote(key)
		r.saw(ok)
		return r.ref.demote(key, ok)
	}
}

// store makes a value that no other Update has: its class of weight and a serial number.
func (r *runner) store(op Op) error {
	r.serial++
	key, value, ttl := op.Key(), r.serial<<4|uint64(op.Value%16), r.ref.cfg.TTL
	var err error
	switch op.Kind {
	case LookupOrUpdate:
		actual, found, err := r.subject.LookupOrUpdate(key, value, op.TTL())
		r.saw(fmt.Sprintf("%#x", actual), found, err)
		return r.ref.lookupOrUpdate(&session{key: key, value: value}, op.TTL(), actual, found, err)
	case UpdateTTL:
		ttl = op.TTL()
		err = r.subject.UpdateTTL(key, value, ttl)
	case UpdateOnProbation:
		ttl = op.TTL()
		err = r.subject.UpdateOnProbation(key, value, ttl)
	default:
		err = r.subject.Update(key, value)
	}
	r.saw(fmt.Sprintf("%#x", value), err)
	return r.ref.update(&session{key: key, value: value, onProbation: op.Kind == UpdateOnProbation}, ttl, err)
}

func (r *runner) byPartial(op Op) error {
	s, partial := r.subject, op.PartialKey()
	switch op.Kind {
	case Select:
		got := collect(s.SelectSession(partial), int(op.Value))
		r.saw(got)
		return r.ref.selected(partial, got, int(op.Value))
	case SelectEntries:
		var got []Entry
		for e := range s.SelectEntries(partial) {
			if got = append(got, e); len(got) == int(op.Value) {
				break
			}
		}
		r.saw(got)
		return r.ref.selectedEntries(partial, got, int(op.Value))
	case Drain:
		return r.drain(partial)
	case DeletePartial:
		n := s.DeletePartial(partial)
		r.saw(n)
		return r.ref.removeMany(r.ref.newestFirst(partial), n, Revoked)
	}
	if r.ref.cfg.NoIndex {
		return mustPanic(func() { s.TakeNewest(partial) }, func() { s.TakeNewestKeepLast(partial) })
	}
	take := s.TakeNewest
	if op.Kind == TakeNewestKeepLast {
		take = s.TakeNewestKeepLast
	}
	key, v, ok := take(partial)
	r.saw(key, v, ok)
	return r.ref.takeNewest(partial, key, v, ok, op.Kind == TakeNewestKeepLast)
}

// mustPanic checks that a method which needs the index says so where there is none.
func mustPanic(fs ...func()) (err error) {
	for _, f := range fs {
		func() {
			defer func() {
				if recover() == nil {
					err = errors.New("returned; want a panic, since NoIndex is set")
				}
			}()
			f()
		}()
	}
	return err
}

// drain deletes what it iterates over, from within the loop.
func (r *runner) drain(partial string) error {
	var got []pair
	var missed error
	for k, v := range r.subject.SelectSession(partial) {
		got = append(got, pair{k, v})
		if !r.subject.Delete(k) && missed == nil {
			missed = fmt.Errorf("Delete(%v) is false within the loop that yielded it", k)
		}
	}
	r.saw(got)
	if err := errors.Join(r.ref.selected(partial, got, 0), missed); err != nil {
		return err
	}
	for _, p := range got {
		if err := r.ref.remove(p.key, p.value, true, Deleted); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) iterate(op Op) error {
	stop := int(op.Value)
	switch op.Kind {
	case Entries:
		var got []Entry
		for e := range r.subject.Entries() {
			if got = append(got, e); len(got) == stop {
				break
			}
		}
		r.saw(got)
		return r.ref.entries(got, stop)
	case Foldl:
		var got []pair
		r.subject.Foldl(func(k Key, v uint64) { got = append(got, pair{k, v}) })
		r.saw(got)
		return r.ref.set(r.ref.everything(), got, 0)
	default:
		got := collect(r.subject.All(), stop)
		r.saw(got)
		return r.ref.set(r.ref.everything(), got, stop)
	}
}

func collect(all func(func(Key, uint64) bool), stop int) []pair {
	var got []pair
	for k, v := range all {
		if got = append(got, pair{k, v}); len(got) == stop {
			break
		}
	}
	return got
}

// advance moves time in both.
func (r *runner) advance(op Op) {
	d := op.Step()
	if d < 0 {
		at, ok := r.ref.next()
		if !ok {
			return
		}
		switch d {
		case beforeDeadline:
			at--
		case pastDeadline:
			at = after(at, Tick)
		}
		d = at - r.ref.now
	}
	if d <= 0 || d > horizon-r.ref.now {
		return
	}
	if op.OnTick() {
		d += Tick - 1 - (r.ref.now+d-1)%Tick
	}
	r.ref.now += d
	r.subject.Sleep(d)
	r.saw(r.ref.now)
}

const (
	traced  = 50  // how many operations a trace shows with their answers, the last ones
	sourced = 300 // up to how many operations a trace prints as source
)

// trace shows the last operations with their answers, and how to run all of them again.
func (r *runner) trace() string {
	var b strings.Builder
	first := max(0, len(r.log)-traced)
	fmt.Fprintf(&b, "config %+v; operations from %d:\n", r.ref.cfg, first)
	for i := first; i < len(r.log); i++ {
		fmt.Fprintf(&b, "%5d %v\n", i, r.log[i])
	}
	if len(r.given) <= sourced {
		b.WriteString(Source(r.given))
	}
	return b.String()
}
