package model

import (
	"errors"
	"fmt"
)

// A pair is what an iteration yields.
type pair struct {
	key   Key
	value uint64
}

// sequence judges an iteration in order. stop is how many the loop wanted, 0 all.
func (r *Reference) sequence(want []*session, got []pair, stop int) error {
	i := 0
	for _, s := range want {
		if stop > 0 && i == stop {
			break
		}
		found := i < len(got) && got[i].value == s.value && got[i].key == s.key
		switch r.life(s) {
		case alive:
			if !found {
				return fmt.Errorf("place %d of %d is %v; want %v (alive until %v, it is %v)",
					i, len(got), at(got, i), s.key, s.early, r.now)
			}
			i++
		case doubtful:
			r.learn(s, found)
			if found {
				i++
			}
		}
	}
	if i != len(got) {
		return fmt.Errorf("place %d of %d is %v; want no more", i, len(got), at(got, i))
	}
	return nil
}

func at(got []pair, i int) string {
	if i < len(got) {
		return fmt.Sprintf("%v=%#x", got[i].key, got[i].value)
	}
	return "missing"
}

// set judges an iteration without order.
func (r *Reference) set(want []*session, got []pair, stop int) error {
	if stop > 0 && len(got) > stop {
		return fmt.Errorf("%d yielded; want a loop that stops after %d", len(got), stop)
	}
	seen := make(map[uint64]bool, len(got))
	for i, p := range got {
		s := r.current[p.key]
		switch {
		case s == nil || s.value != p.value:
			return fmt.Errorf("yielded %s; want only what is stored", at(got, i))
		case seen[p.value]:
			return fmt.Errorf("yielded %s twice", at(got, i))
		case r.life(s) == dead:
			return fmt.Errorf("yielded %s; want nothing that expired: at %v, it is %v", at(got, i), s.late, r.now)
		}
		seen[p.value] = true
		r.learn(s, true)
	}
	if stop > 0 && len(got) == stop {
		return nil
	}
	hits := 0
	for _, s := range want {
		switch {
		case seen[s.value]:
			hits++
		case r.life(s) == alive:
			return fmt.Errorf("%v is missing among %d; it lives until %v, it is %v", s.key, len(got), s.early, r.now)
		default:
			r.learn(s, false)
		}
	}
	if hits != len(got) {
		return fmt.Errorf("%d yielded, %d of them asked for", len(got), hits)
	}
	return nil
}

// selected judges a SelectSession, whose order is free without the index.
func (r *Reference) selected(partial string, got []pair, stop int) error {
	want := r.newestFirst(partial)
	if r.cfg.NoIndex {
		return r.set(want, got, stop)
	}
	return r.sequence(want, got, stop)
}

// entries is set with the deadlines compared too.
func (r *Reference) entries(got []Entry, stop int) error {
	if err := r.set(r.everything(), pairsOf(got), stop); err != nil {
		return err
	}
	return r.deadlines(got)
}

// selectedEntries is selected with the deadlines compared too.
func (r *Reference) selectedEntries(partial string, got []Entry, stop int) error {
	if err := r.selected(partial, pairsOf(got), stop); err != nil {
		return err
	}
	return r.deadlines(got)
}

// snapshot judges what a cache has that was restored: everything, with its deadlines, and each partial key in its order.
func (r *Reference) snapshot(got []Entry, err error) error {
	switch {
	case r.closed && err == ErrClosed && len(got) == 0:
		return nil
	case r.closed || err != nil:
		return fmt.Errorf("%d sessions and %v; want ErrClosed of a closed cache (%v), else no error", len(got), err, r.closed)
	}
	if err := r.entries(got, 0); err != nil {
		return err
	}
	groups := map[string][]Entry{}
	for _, e := range got {
		groups[e.Key.Partial] = append(groups[e.Key.Partial], e)
	}
	for partial, group := range groups {
		if err := r.selectedEntries(partial, group, 0); err != nil {
			return err
		}
	}
	return nil
}

func pairsOf(entries []Entry) []pair {
	pairs := make([]pair, len(entries))
	for i, e := range entries {
		pairs[i] = pair{e.Key, e.Value}
	}
	return pairs
}

func (r *Reference) deadlines(got []Entry) error {
	for _, e := range got {
		if err := r.expires(r.current[e.Key], e.Expires); err != nil {
			return err
		}
	}
	return nil
}

// takeNewest judges TakeNewest and TakeNewestKeepLast.
func (r *Reference) takeNewest(partial string, key Key, value uint64, ok, keepLast bool) error {
	var got []pair
	if ok {
		got = []pair{{key, value}}
	}
	group := r.newestFirst(partial)
	if err := r.sequence(group, got, 1); err != nil || !ok {
		return err
	}
	taken := r.current[key]
	others, doubts := 0, 0
	for _, s := range group {
		if s == taken {
			continue
		}
		switch r.life(s) {
		case alive:
			others++
		case doubtful:
			doubts++
		}
	}
	switch {
	case !keepLast || others > 0:
		r.leave(taken, Taken, true)
	case doubts == 0:
		r.use(taken) // the last one: returned, not taken
	default:
		r.perhaps = taken // it was the last one or not; the reports tell
	}
	return nil
}

// removeMany judges DeletePartial and Clear by their count. What is doubtful may leave as what
// the call removes or as expired; the reports must then say so as often as the count does.
func (r *Reference) removeMany(which []*session, n int, why Reason) error {
	sure, doubts := 0, 0
	for _, s := range which {
		switch r.life(s) {
		case alive:
			sure++
			r.leave(s, why, true)
		case doubtful:
			doubts++
			r.leave(s, why, false)
		}
	}
	if n < sure || n > sure+doubts {
		return fmt.Errorf("removed %d; want %d to %d", n, sure, sure+doubts)
	}
	r.counted = n
	return nil
}

// close judges Close, which removes all there is.
func (r *Reference) close(err error) error {
	if err != nil {
		return fmt.Errorf("error %w; want none", err)
	}
	if !r.closed {
		for _, s := range r.current {
			r.leave(s, Closed, true)
		}
	}
	r.closed = true
	return nil
}

// exact reports whether everything current is alive.
func (r *Reference) exact() bool {
	for _, s := range r.current {
		if r.life(s) != alive {
			return false
		}
	}
	return true
}

// sized judges Size, which may count what expired within the last tick, and the bounds.
func (r *Reference) sized(n int) error {
	least, most, weight := 0, 0, int64(0)
	perPartial := map[string]int{}
	for _, s := range r.current {
		most++
		switch r.life(s) {
		case alive:
			least++
			perPartial[s.key.Partial]++
			weight += s.weight
		case dead:
			if after(s.late, Tick) < r.now {
				return fmt.Errorf("%v is still there, having expired at %v; want it gone a tick later, it is %v", s.key, s.late, r.now)
			}
		}
		if q := r.cfg.MaxPerPartial; q > 0 && perPartial[s.key.Partial] > q {
			return fmt.Errorf("partial key %s has more than %d sessions", short(s.key.Partial), q)
		}
	}
	switch {
	case n < least || n > most:
		return fmt.Errorf("size is %d; want %d, or with what expired within a tick up to %d", n, least, most)
	case r.cfg.MaxSessions > 0 && (n > r.cfg.MaxSessions || least > r.cfg.MaxSessions):
		return fmt.Errorf("size is %d, %d are alive; want at most %d", n, least, r.cfg.MaxSessions)
	case r.cfg.Crowd > 0 && n > r.cfg.Crowd:
		return fmt.Errorf("size is %d; want at most %d, which share a bucket", n, r.cfg.Crowd)
	case r.cfg.MaxWeight > 0 && weight > r.cfg.MaxWeight:
		return fmt.Errorf("what is alive weighs %d; want at most %d", weight, r.cfg.MaxWeight)
	case r.cfg.Reports && r.cfg.MaxSessions > 0 && len(r.resident) > r.cfg.MaxSessions:
		return fmt.Errorf("%d are stored and not reported; want at most %d", len(r.resident), r.cfg.MaxSessions)
	case r.closed && n > 0:
		return errors.New("size is not 0 after Close")
	}
	return nil
}
