package fastcache_test

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"
)

type linKind uint8

const (
	linLookup linKind = iota
	linPeek
	linUpdate
	linTake
	linDelete
	linTakeNewest
	linKeepLast
	linDeletePartial
	linLookupOrUpdate
	linTouch
	linResize // SetMaxSessions, which changes nothing that histories with evictions must show
	linClear  // one id's part of a Clear, which removes each session at an instant of its own
)

func (k linKind) String() string {
	return [...]string{"Lookup", "Peek", "Update", "Take", "Delete", "TakeNewest", "TakeNewestKeepLast",
		"DeletePartial", "LookupOrUpdate", "Touch", "SetMaxSessions", "Clear"}[k]
}

const (
	linIDs    = 3 // sessions of one partial key
	linClears = 3 // calls of Clear in one history, at most
)

// linCall is an operation with its arguments. Its times are readings of the clock before
// and after the call, so those that the cache made for it lie between them.
type linCall struct {
	kind       linKind
	partial    byte
	id         byte
	clear      byte // which Clear this is a part of
	value      int
	ttl        int64
	begin, end int64
}

// linAnswer is what an operation returned.
type linAnswer struct {
	ok      bool
	id      byte
	value   int
	count   int
	expires int64 // of Peek
}

// A linEntry is a session of which the deadline is known to lie in [earliest, latest].
type linEntry struct {
	id               byte
	value            int
	earliest, latest int64
}

// A linState is the sessions of one partial key, newest first, and for every Clear that is
// under way how many ids it is through with and how many of those it removed.
type linState struct {
	n         int
	entries   [linIDs]linEntry
	done, hit [linClears]int8
}

func (s linState) find(id byte) int {
	for i := range s.n {
		if s.entries[i].id == id {
			return i
		}
	}
	return -1
}

// cut returns s without the entries i to j-1.
func (s linState) cut(i, j int) linState {
	kept := s.n - (j - i)
	copy(s.entries[i:], s.entries[j:s.n])
	clear(s.entries[kept:])
	s.n = kept
	return s
}

func (s linState) push(e linEntry) linState {
	copy(s.entries[1:], s.entries[:s.n])
	s.entries[0] = e
	s.n++
	return s
}

// linRules says when a session may be there and when it may have gone by itself.
type linRules struct {
	name string

	// alive and gone say whether a call may find a session of the state, and whether it
	// may find that it has left. Both may be true.
	alive, gone func(c linCall, e linEntry) bool

	strict bool // nothing leaves by itself, so what Clear counts is exact
	timed  bool // deadlines matter
}

var (
	linStrict = linRules{
		name:   "strict",
		alive:  func(linCall, linEntry) bool { return true },
		gone:   func(linCall, linEntry) bool { return false },
		strict: true,
	}
	// A call that began at the deadline or later must miss; one that was over before it
	// must not. The clock that it read lies between its begin and its end.
	linExpiring = linRules{
		name:  "expiring",
		timed: true,
		alive: func(c linCall, e linEntry) bool { return c.begin < e.latest },
		gone:  func(c linCall, e linEntry) bool { return c.end >= e.earliest },
	}
	linEvicting = linRules{
		name:  "evicting",
		alive: func(linCall, linEntry) bool { return true },
		gone:  func(linCall, linEntry) bool { return true },
	}
)

// step returns the states that may follow when the cache answered so; none if it must not.
// A session that a call did not find has left the state for good: if any later call finds
// it, it was resurrected.
func (r linRules) step(s linState, c linCall, a linAnswer) []linState {
	i := s.find(c.id)
	switch c.kind {
	case linUpdate:
		if !a.ok {
			return nil
		}
		if i >= 0 {
			s = s.cut(i, i+1)
		}
		return one(s.push(r.entry(c)))
	case linLookup, linPeek, linTake, linDelete, linTouch:
		return r.stepKey(s, i, c, a)
	case linLookupOrUpdate:
		next := r.stepKey(s, i, c, a)
		if a.ok || len(next) == 0 {
			return next
		}
		if a.value != c.value {
			return nil
		}
		return one(next[0].push(r.entry(c)))
	case linTakeNewest, linKeepLast:
		return r.stepNewest(s, c, a)
	case linDeletePartial:
		return r.stepPartial(s, c, a)
	case linResize:
		if !a.ok {
			return nil
		}
		return one(s)
	default:
		return r.stepClear(s, i, c, a)
	}
}

// entry returns what a call stores, or the deadline that it sets.
func (r linRules) entry(c linCall) linEntry {
	e := linEntry{id: c.id, value: c.value}
	if r.timed {
		e.earliest, e.latest = c.begin+c.ttl, c.end+c.ttl
	}
	return e
}

func one(s linState) []linState { return []linState{s} }

// stepKey is step for the calls that name a key.
func (r linRules) stepKey(s linState, i int, c linCall, a linAnswer) []linState {
	if !a.ok {
		if i < 0 {
			return one(s)
		}
		if !r.gone(c, s.entries[i]) {
			return nil
		}
		return one(s.cut(i, i+1))
	}
	if i < 0 || !r.alive(c, s.entries[i]) || c.kind != linDelete && c.kind != linTouch && s.entries[i].value != a.value {
		return nil
	}
	if c.kind == linTake || c.kind == linDelete {
		return one(s.cut(i, i+1))
	}
	if !r.timed {
		return one(s)
	}
	e := &s.entries[i]
	if c.kind == linTouch {
		e.earliest, e.latest = r.entry(c).earliest, r.entry(c).latest
		return one(s)
	}
	e.earliest = max(e.earliest, c.begin+1) // it was alive at begin, or later
	if c.kind == linPeek {
		if a.expires < e.earliest || a.expires > e.latest {
			return nil
		}
		e.earliest, e.latest = a.expires, a.expires
	}
	return one(s)
}

// stepNewest is step for TakeNewest and TakeNewestKeepLast.
func (r linRules) stepNewest(s linState, c linCall, a linAnswer) (next []linState) {
	i := s.n
	if a.ok {
		i = s.find(a.id)
		if i < 0 || s.entries[i].value != a.value || !r.alive(c, s.entries[i]) {
			return nil
		}
	}
	for _, newer := range s.entries[:i] {
		if !r.gone(c, newer) {
			return nil
		}
	}
	s = s.cut(0, i)
	if !a.ok {
		return one(s)
	}
	if c.kind == linTakeNewest {
		return one(s.cut(0, 1))
	}
	mayBeLast, mayBeMore := true, false
	for _, elder := range s.entries[1:s.n] {
		mayBeLast = mayBeLast && r.gone(c, elder)
		mayBeMore = mayBeMore || r.alive(c, elder)
	}
	if mayBeLast {
		next = append(next, s.cut(1, s.n))
	}
	if mayBeMore {
		next = append(next, s.cut(0, 1))
	}
	return next
}

func (r linRules) stepPartial(s linState, c linCall, a linAnswer) []linState {
	least := 0
	for _, e := range s.entries[:s.n] {
		if !r.gone(c, e) {
			least++
		}
	}
	// What expired during the call may be counted or not, but nothing else that is missing.
	if a.count < least || a.count > s.n && !r.timed || a.count > linIDs {
		return nil
	}
	return one(linState{done: s.done, hit: s.hit})
}

// stepClear removes one id. When all ids had their turn, as many must have been there as
// Clear returned.
func (r linRules) stepClear(s linState, i int, c linCall, a linAnswer) []linState {
	if i >= 0 {
		s = s.cut(i, i+1)
	}
	if !r.strict {
		return one(s)
	}
	if i >= 0 {
		s.hit[c.clear]++
	}
	if s.done[c.clear]++; s.done[c.clear] == linIDs && int(s.hit[c.clear]) != a.count {
		return nil
	}
	return one(s)
}

// model returns what porcupine checks by. Histories of several partial keys are checked one
// partial key at a time.
func (r linRules) model() porcupine.Model {
	nm := porcupine.NondeterministicModel{
		Partition: linByPartial,
		Init:      func() []any { return []any{linState{}} },
		Step: func(state, call, answer any) (next []any) {
			for _, s := range r.step(state.(linState), call.(linCall), answer.(linAnswer)) {
				next = append(next, s)
			}
			return next
		},
		DescribeOperation: func(call, answer any) string { return describe(call.(linCall), answer.(linAnswer)) },
		DescribeState: func(state any) string {
			s := state.(linState)
			return fmt.Sprintf("%+v", s.entries[:s.n])
		},
	}
	if !r.strict {
		return nm.ToModel()
	}
	// Without choices there is one state at a time, and no need for sets of them.
	return porcupine.Model{
		Partition: nm.Partition,
		Init:      func() any { return linState{} },
		Step: func(state, call, answer any) (bool, any) {
			next := r.step(state.(linState), call.(linCall), answer.(linAnswer))
			if len(next) == 0 {
				return false, state
			}
			return true, next[0]
		},
		DescribeOperation: nm.DescribeOperation,
		DescribeState:     nm.DescribeState,
	}
}

func linByPartial(history []porcupine.Operation) [][]porcupine.Operation {
	var parts [][]porcupine.Operation
	for _, op := range history {
		p := int(op.Input.(linCall).partial)
		for len(parts) <= p {
			parts = append(parts, nil)
		}
		parts[p] = append(parts[p], op)
	}
	return parts
}

func describe(c linCall, a linAnswer) string {
	what := fmt.Sprintf("%v(%c%c)", c.kind, 'A'+c.partial, 'a'+c.id)
	at := fmt.Sprintf("[%v..%v]", time.Duration(c.begin), time.Duration(c.end))
	switch {
	case c.kind == linUpdate:
		return fmt.Sprintf("%s=%d for %v %s", what, c.value, time.Duration(c.ttl), at)
	case c.kind == linDeletePartial || c.kind == linClear:
		return fmt.Sprintf("%s -> %d %s", what, a.count, at)
	case !a.ok:
		return fmt.Sprintf("%s -> none %s", what, at)
	}
	return fmt.Sprintf("%s -> %c=%d %s", what, 'a'+a.id, a.value, at)
}
