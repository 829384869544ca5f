//go:build sessioncache_orders

package fastcache

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/orders"
)

// restores restores a session as a ReadSnapshot does that has begun when nothing was cleared.
func (s *scene) restores(removed *removedKeys, key Key, value int) {
	s.restore(&update[int]{key: key, digest: s.digest(key), fresh: newNode(key, value, false),
		restored: &restored{removals: removed, until: int64(far), deadline: int64(far)}})
}

// What is removed while a snapshot is read is away, whichever comes first: also a session that the cache had, and one
// that it had not.
func TestOrdersARemovedSessionIsNotRestored(t *testing.T) {
	for name, remove := range map[string]func(s *scene){
		"Delete":              func(s *scene) { s.Delete(keyA) },
		"Take":                func(s *scene) { s.Take(keyA) },
		"DeletePartial":       func(s *scene) { s.DeletePartial("p") },
		"Clear":               func(s *scene) { s.Clear() },
		"Update, TakeNewest":  func(s *scene) { s.put(keyA, 2, far); s.TakeNewest("p") },
		"Update, then Delete": func(s *scene) { s.put(keyA, 2, far); s.Delete(keyA) },
	} {
		for _, noIndex := range []bool{false, true} {
			if noIndex && name == "Update, TakeNewest" {
				continue
			}
			t.Run(fmt.Sprint(name, " noIndex ", noIndex), func(t *testing.T) {
				orders.All(t, func(r *orders.Run) {
					s := newScene(r, Config[int]{NoIndex: noIndex}).hold()
					removed, _ := s.watchRemovals()
					r.Go("restore", func() { s.restores(removed, keyA, 1) })
					r.Go(name, func() {
						remove(s)
						if v, ok := s.Lookup(keyA); ok {
							r.Failf("%d is there once %s has returned", v, name)
						}
					})
					r.AtRest(func() error {
						if v, ok := s.Lookup(keyA); ok {
							return fmt.Errorf("%d is there after %s", v, name)
						}
						return nil
					})
				})
			})
		}
	}
}

// Of a session that is stored and one that is restored the former is there, and the newest. A walk that comes by sees what stays.
func TestOrdersAnUpdateMeetsARestoredSession(t *testing.T) {
	orders.All(t, func(r *orders.Run) {
		s := newScene(r, Config[int]{}).hold()
		removed, _ := s.watchRemovals()
		s.put(keyB, 2, far)
		r.Go("restore", func() { s.restores(removed, keyA, 1); s.restores(removed, keyC, 0) })
		r.Go("Update", func() { s.put(keyA, 3, far) })
		r.Go("SelectSession", func() {
			seen := 0
			for _, v := range s.SelectSession("p") {
				if v == 2 {
					seen++
				}
			}
			if seen != 1 {
				r.Failf("a session that stays is seen %d times", seen)
			}
		})
		r.AtRest(func() error {
			var got []int
			for _, v := range s.SelectSession("p") {
				got = append(got, v)
			}
			if want := []int{3, 2, 0}; !slices.Equal(got, want) {
				return fmt.Errorf("SelectSession yields %v; want %v", got, want)
			}
			return nil
		})
	})
}
