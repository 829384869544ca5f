//go:build sessioncache_orders

package buckets

import (
	"strconv"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
	"github.com/sessioncache/sessioncache/internal/testing/orders/std/atomic"
)

// A keyed node knows its key; the hash is told apart from it, so that keys may share one.
type keyed struct{ key int }

const (
	hash    = uint32(0x11) // of all keys here: one home bucket, one tag
	another = uint32(0x22) // the same bucket, another tag
)

func findKey(t *Table[keyed], hash uint32, key int) *keyed {
	return t.Find(hash, func(n *keyed) bool { return n.key == key })
}

// fill puts nodes with the given hash into the table, under keys from 100 on.
func fill(t *Table[keyed], hash uint32, n int) []Place {
	places := make([]Place, n)
	for i := range places {
		places[i] = t.Insert(hash, &keyed{100 + i})
	}
	return places
}

// A node is there for all from one store on: who looks for it after another has found it finds it, also
// where that one came by the tag of a node that was in this place before.
func TestOrdersWhatOneFindsTheNextFinds(t *testing.T) {
	for _, full := range []int{0, PerBucket} { // in its home bucket, or beyond it
		t.Run(strconv.Itoa(full), func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				table := New[keyed](2)
				fill(table, another, full)
				p := table.Insert(hash, &keyed{1})
				var found atomic.Bool
				r.Go("writes", func() {
					table.Remove(hash, p)
					table.Insert(hash, &keyed{2})
				})
				r.Go("finds first", func() {
					if n := findKey(table, hash, 2); n != nil {
						found.Store(true)
					}
				})
				r.Go("finds next", func() {
					was := found.Load()
					if n := findKey(table, hash, 2); n == nil && was {
						r.Failf("Find(2) = nil, after another Find has found it")
					}
				})
			})
		})
	}
}

// A node that stays is found whatever its neighbours do, in its own bucket and beyond it, and the search
// for one never ends at another. What an Insert has returned is found.
func TestOrdersAResidentIsAlwaysFound(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before int // nodes in the home bucket; seven fill it, and push the resident on
		after  int
	}{{"in its bucket", 0, 2}, {"the last of its bucket", 6, 0}, {"beyond a full bucket", 7, 0}} {
		t.Run(tt.name, func(t *testing.T) {
			orders.All(t, func(r *orders.Run) {
				table := New[keyed](3)
				places := fill(table, another, tt.before)
				table.Insert(hash, &keyed{1})
				places = append(places, fill(table, another, tt.after)...)
				var inserted atomic.Bool
				r.Go("writes", func() {
					table.Remove(another, places[0])
					p := table.Insert(hash, &keyed{2})
					inserted.Store(true)
					table.Insert(another, &keyed{200})
					_ = p
				})
				r.Go("finds", func() {
					if n := findKey(table, hash, 1); n == nil || n.key != 1 {
						r.Failf("Find(1) = %v; want the resident", n)
					}
				})
				r.Go("finds the new one", func() {
					was := inserted.Load()
					if n := findKey(table, hash, 2); n == nil && was || n != nil && n.key != 2 {
						r.Failf("Find(2) = %v; was it inserted before: %v", n, was)
					}
				})
				r.AtRest(func() error {
					return table.Check(func(n *keyed) uint32 {
						if n.key < 100 {
							return hash
						}
						return another
					})
				})
			})
		})
	}
}

// A place that is emptied and taken by another node shows no reader the wrong one, and a node that was
// removed is not found by a search that began later.
func TestOrdersAPlaceIsTakenAgain(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		table := New[keyed](2)
		p := table.Insert(hash, &keyed{1})
		var removed atomic.Bool
		r.Go("writes", func() {
			table.Remove(hash, p)
			removed.Store(true)
			table.Insert(hash, &keyed{2})
			table.Insert(another, &keyed{101})
		})
		for range 2 {
			r.Go("finds", func() {
				was := removed.Load()
				if n := findKey(table, hash, 1); n != nil && (n.key != 1 || was) {
					r.Failf("Find(1) = %v; was it removed before: %v", n, was)
				}
			})
		}
	})
}

// A table is published complete: who loads the grown one finds what the old one had.
func TestOrdersATableGrows(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		var current atomic.Pointer[Table[keyed]]
		small := New[keyed](1)
		small.Insert(hash, &keyed{1})
		small.Insert(another, &keyed{101})
		current.Store(small)
		r.Go("grows", func() {
			large := New[keyed](2)
			for n := range small.All() {
				large.Insert(map[bool]uint32{true: hash, false: another}[n.key < 100], n)
			}
			current.Store(large)
			large.Insert(hash, &keyed{2})
		})
		for range 2 {
			r.Go("finds", func() {
				if n := findKey(current.Load(), hash, 1); n == nil || n.key != 1 {
					r.Failf("Find(1) = %v; want the resident", n)
				}
			})
		}
	})
}
