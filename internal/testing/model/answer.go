package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Answer is all that a subject showed of itself in one operation of a run.
type Answer struct {
	Op      Op
	got     []any     // what the methods returned
	gone    []Removal // what left because of it
	settled bool      // false: the timers still race, so size and gone are those of the next operation
	size    int       // afterwards
	exact   bool      // it counts nothing that has expired, or may have
}

// String returns the answer as a line of a trace.
func (a Answer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v =", a.Op)
	for _, g := range a.got {
		switch g := g.(type) {
		case uint64:
			fmt.Fprintf(&b, " %#x", g)
		case []pair:
			for _, p := range g {
				fmt.Fprintf(&b, " %v=%#x", p.key, p.value)
			}
		case []Entry:
			for _, e := range g {
				fmt.Fprintf(&b, " %v=%#x until %v", e.Key, e.Value, e.Expires)
			}
		case time.Duration:
			fmt.Fprintf(&b, " at %v", g)
		default:
			fmt.Fprintf(&b, " %v", g)
		}
	}
	for _, rm := range a.gone {
		fmt.Fprintf(&b, " %v%v=%#x", rm.Reason, rm.Key, rm.Value)
	}
	if a.settled {
		fmt.Fprintf(&b, ", size %d", a.size)
	}
	return b.String()
}

// Diff compares two runs of the same operations by caches that may differ only in what no promise
// is about: shards, hashes, the bytes of keys, the index. It returns the first answer that differs.
//
// Which session an overflow evicts is the cache's choice, and which keys share a bucket depends on the hash. So
// unless sameVictims, answers are compared until one of the runs evicts, and again from where both are empty at the same time. In
// between what must agree are the errors of Update, and that a full cache stays full until something
// leaves. The size need not agree while it counts what expired in this tick.
func Diff(a, b []Answer, cfg Config, sameVictims bool) error {
	if len(a) != len(b) {
		return fmt.Errorf("model: runs of %d and %d operations", len(a), len(b))
	}
	d := differ{same: true, free: !sameVictims}
	if d.counts = cfg.MaxWeight == 0 && !cfg.InvalidateAll; d.counts {
		d.max = cfg.MaxSessions
	}
	for i := range a {
		if what := d.step(a[i], b[i]); what != "" {
			return fmt.Errorf("model: operation %d: %s differs:\n%v\n%v", i, what, a[i], b[i])
		}
	}
	return nil
}

// A differ knows what must agree at the present operation.
type differ struct {
	free   bool // victims are the cache's choice
	max    int  // the size of a full cache, 0 if it has none
	counts bool // the count alone is bounded, and an overflow evicts one
	same   bool // both hold the same sessions
	full   bool // both are full
	apart  bool // they have advanced to different times
}

// step returns what differs and must not; empty: nothing.
func (d *differ) step(a, b Answer) string {
	if d.free && (a.evicted() || b.evicted() || a.invalidated() != b.invalidated()) {
		d.same = false
	}
	if d.counts && a.Op.Kind == SetMaxSessions && equalAny(a.got, []any{false}) {
		d.max = a.Op.Bound()
	}
	keptFull := d.full && a.Op.keepsSize() && !a.expired() && !b.expired()
	d.full = a.fills(d.max) && b.fills(d.max)
	defer func() {
		d.apart = d.apart || a.Op.Kind == Advance && !equalAny(a.got, b.got)
		if a.settled && b.settled && a.size == 0 && b.size == 0 {
			d.same = !d.apart
		}
	}()
	switch {
	case a.Op != b.Op || a.settled != b.settled:
		return "the operation"
	case d.same && !equal(a, b), a.Op.stores() && !equalAny(a.got, b.got):
		return "the answer"
	case d.same && !equalGone(a.gone, b.gone):
		return "what was removed"
	case a.size != b.size && (d.same && a.exact && b.exact || keptFull):
		return "the size"
	}
	return ""
}

func (a Answer) fills(size int) bool { return a.settled && size > 0 && a.size == size }

func (a Answer) evicted() bool {
	return slices.ContainsFunc(a.gone, func(rm Removal) bool { return rm.Reason == Evicted || rm.Reason == Crowded || rm.Reason == unknown })
}

func (a Answer) expired() bool {
	return slices.ContainsFunc(a.gone, func(rm Removal) bool { return rm.Reason == Expired })
}

// invalidated reports whether an overflow cleared the cache. It need not have done so in another
// layout, where a session that expired in this tick was found in time to make room.
func (a Answer) invalidated() bool {
	return a.Op.Kind != Clear && slices.ContainsFunc(a.gone, func(rm Removal) bool { return rm.Reason == Cleared })
}

func (op Op) stores() bool {
	return op.Kind == Update || op.Kind == UpdateTTL || op.Kind == UpdateOnProbation
}

// keepsSize reports whether the operation leaves the size of a full cache alone.
func (op Op) keepsSize() bool {
	switch op.Kind {
	case Lookup, Peek, Update, UpdateTTL, UpdateOnProbation, LookupOrUpdate, Touch, Select, SelectEntries, Demote, All, Entries, Foldl, Size, Snapshot:
		return true
	}
	return false
}

// equal compares what the methods returned. The order of All and its like is free, and so is what
// they show before they are stopped; a SelectSession has an order.
func equal(a, b Answer) bool {
	switch a.Op.Kind {
	case All, Entries, Foldl, Snapshot:
		x, y := yielded(a), yielded(b)
		if stop := int(a.Op.Value); stop > 0 && (a.Op.Kind == All || a.Op.Kind == Entries) && len(x) == stop {
			return len(y) == stop
		}
		return slices.Equal(x, y)
	}
	return equalAny(a.got, b.got)
}

// yielded returns what an iteration over everything showed, by value.
func yielded(a Answer) (out []Entry) {
	for _, g := range a.got {
		switch g := g.(type) {
		case []Entry:
			out = append(out, g...)
		case []pair:
			for _, p := range g {
				out = append(out, Entry{Key: p.key, Value: p.value})
			}
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Compare(a.Value, b.Value) })
	return out
}

func equalAny(a, b []any) bool {
	return slices.EqualFunc(a, b, func(a, b any) bool {
		switch x := a.(type) {
		case []pair:
			y, ok := b.([]pair)
			return ok && slices.Equal(x, y)
		case []Entry:
			y, ok := b.([]Entry)
			return ok && slices.Equal(x, y)
		}
		return a == b
	})
}

// equalGone compares the removals of an operation. Their order is free between keys, and a session
// that expired may go at any time within its tick.
func equalGone(a, b []Removal) bool {
	owed := func(gone []Removal) []Removal {
		gone = slices.DeleteFunc(slices.Clone(gone), func(rm Removal) bool { return rm.Reason == Expired })
		slices.SortFunc(gone, func(a, b Removal) int { return cmp.Compare(a.Value, b.Value) })
		return gone
	}
	return slices.EqualFunc(owed(a), owed(b), func(a, b Removal) bool {
		return a.Key == b.Key && a.Value == b.Value && a.Reason == b.Reason
	})
}
