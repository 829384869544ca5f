package model

import (
	"fmt"
	"slices"
)

// A holding is what sessions hold of the bounds.
type holding struct {
	count  int
	weight int64
}

func (h *holding) add(s *session) {
	h.count++
	h.weight += s.weight
}

// small reports whether h is less than half of every bound.
func (r *Reference) small(h holding) bool {
	return (r.cfg.MaxSessions == 0 || 2*h.count < r.cfg.MaxSessions) &&
		(r.cfg.MaxWeight == 0 || 2*h.weight < r.cfg.MaxWeight)
}

// judgeProbation judges the victims of an overflow by who is on probation. It does not know in
// which order they went, so it convicts only what was wrong in every order.
func (r *Reference) judgeProbation(victims []*session) error {
	if r.cfg.InvalidateAll {
		return nil
	}
	// What the others held, at most: when the operation began, and when the last of them went.
	var before, last holding
	heaviest, proven := int64(0), (*session)(nil)
	for _, s := range slices.Concat(r.standing(), r.leaving, r.lately) {
		if s.onProbation {
			continue
		}
		before.add(s)
		if slices.Contains(victims, s) && !s.demoted {
			proven, heaviest = s, max(heaviest, s.weight)
		} else {
			last.add(s)
		}
	}
	last.count, last.weight = last.count+1, last.weight+heaviest
	for _, s := range r.standing() {
		if !s.onProbation || slices.Contains(victims, s) || r.life(s) != alive {
			continue
		}
		if proven != nil && r.small(last) {
			return fmt.Errorf("%v is on probation and stays, while the others hold %d of %d places; want it to go before %v",
				s.key, last.count, r.cfg.MaxSessions, proven.key)
		}
		younger := func(v *session) bool { return v.onProbation && !v.demoted && v.value > s.value }
		if r.cfg.OneShard && !s.demoted && r.small(before) && slices.ContainsFunc(victims, younger) {
			return fmt.Errorf("%v is on probation, too, and older; want it to go before", s.key)
		}
	}
	return nil
}

// standing returns the sessions that are resident, but the newcomer.
func (r *Reference) standing() (all []*session) {
	for _, s := range r.resident {
		if s != r.newcomer {
			all = append(all, s)
		}
	}
	return all
}
