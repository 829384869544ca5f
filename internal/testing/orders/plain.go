package orders

import (
	"strings"
	"unsafe"
)

// Plain accesses are no steps: where there is no data race, it makes no difference when between two steps one happens.
// That there is none is checked instead, in every order that is run. Check leads the fields that are
// shared under a lock, or published by an atomic store, through Reading and Writing, and plain stores into
// what is else atomic through Storing. Two accesses of which neither happens before the other fail the run.
// So a field that is set after what publishes it is found, though no step lies between.

// A plain says who accessed an object without a step, by the count of steps that each had taken.
type plain struct {
	written bool
	by      int
	at      int32
	read    vector // 0: not
}

// Reading is a plain read.
func Reading[T any](p *T) *T {
	if active != nil && active.current != nil {
		active.access(unsafe.Pointer(p), false)
	}
	return p
}

// Writing is a plain write.
func Writing[T any](p *T) *T {
	Storing(unsafe.Pointer(p))
	return p
}

// Storing is a plain store into what is else accessed by steps.
func Storing(p unsafe.Pointer) unsafe.Pointer {
	if active != nil && active.current != nil {
		active.access(p, true)
	}
	return p
}

// access notes a plain access, and whether it races with one before it.
func (r *Run) access(p unsafe.Pointer, write bool) {
	t, o := r.current, r.explorer.objectOf(p)
	if r.traced && strings.HasPrefix(r.explorer.result.Failure, dataRace) {
		t.did = append(t.did, place())
	}
	if o.plain.written && !t.knows(o.plain.by, o.plain.at) {
		r.races(t, o.plain.by, o.plain.at)
	}
	if !write {
		o.plain.read[t.id] = t.past[t.id]
		return
	}
	for id, at := range o.plain.read {
		if at > 0 && !t.knows(id, at) {
			r.races(t, id, at)
		}
	}
	for id := range t.past {
		if at := max(o.written[id], o.read[id]); at > t.past[id] {
			r.races(t, id, at)
		}
	}
	o.plain = plain{written: true, by: t.id, at: t.past[t.id]}
}

// stepped notes whether a step races with a plain store into its object.
func (r *Run) stepped(t *thread, o *object, past *vector) {
	if o.plain.written && o.plain.by != t.id && past[o.plain.by] <= o.plain.at {
		r.races(t, o.plain.by, o.plain.at)
	}
}

const dataRace = "data race"

// races notes a data race of what t does now with what another thread did after so many steps.
func (r *Run) races(t *thread, id int, at int32) {
	r.Failf(dataRace+": %s, after its step %d, with %s, after its step %d; one access at least is plain", t.name, t.past[t.id], r.threads[id].name, at)
}

// knows reports whether what a thread did after so many steps happens before what t does now.
func (t *thread) knows(id int, steps int32) bool { return id == t.id || t.past[id] > steps }

// Close is close of a channel.
func Close(ch chan struct{}) {
	Before(Write, addressOf(ch))
	close(ch)
}

// Receive is a receive from a channel that is closed in the end, and to which nothing is sent.
func Receive(ch chan struct{}) { BeforeWaiting(Wake, addressOf(ch), closed(ch)) }

type closed chan struct{}

// Open reports whether the channel is closed.
func (ch closed) Open() bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func addressOf(ch chan struct{}) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&ch)) }
