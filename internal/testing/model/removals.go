package model

import (
	"fmt"
	"slices"
	"time"
)

// judge takes the removals of the operation under way, reported or inferred, and says whether
// each was legal, and whether those that the operation owes have come.
func (r *Reference) judge(removals []Removal) error {
	var forced []*session // evicted, cleared by an overflow, or over the quota: the cache's choice
	var reasons []Reason
	fulfilled := 0
	for _, rm := range removals {
		s, err := r.known(rm)
		if err != nil {
			return err
		}
		switch {
		case rm.Reason == Expired:
			err = r.judgeExpired(s, rm.At)
		case s.late <= r.now:
			err = fmt.Errorf("it expired at %v, it is %v; want the reason expired", s.late, r.now)
		case s == r.perhaps && rm.Reason == Taken:
		case s.leaves != 0 && rm.Reason == s.leaves:
			fulfilled++
		case s.leaves != 0:
			err = fmt.Errorf("want the reason %v", s.leaves)
		case r.mayForce(s, rm.Reason):
			forced, reasons = append(forced, s), append(reasons, rm.Reason)
			continue // judged below, when all that expired or was replaced is out
		default:
			err = fmt.Errorf("nothing in this operation allows that")
		}
		if err != nil {
			return fmt.Errorf("reported %v=%#x as %v: %w", rm.Key, rm.Value, rm.Reason, err)
		}
		if rm.Reason == Expired && after(s.late, Tick) > r.now {
			r.lately = append(r.lately, s)
		}
		r.forget(s, rm.Reason)
	}
	if err := r.judgeForced(forced, reasons); err != nil {
		return err
	}
	if r.counted >= 0 && fulfilled != r.counted && r.cfg.Reports {
		return fmt.Errorf("it returned %d and %d sessions were reported for it", r.counted, fulfilled)
	}
	return r.judgeOwed()
}

// mayForce reports whether the operation under way may remove s for that reason without having
// been asked to: only an Update that stored something may, and never the session that it stored; and a change of a bound.
func (r *Reference) mayForce(s *session, why Reason) bool {
	switch {
	case r.resized:
		return why == r.overflowReason() || why == unknown && !r.cfg.Reports
	case r.newcomer == nil || s == r.newcomer:
		return false
	}
	return why == Quota || why == Crowded || why == r.overflowReason() || why == unknown && !r.cfg.Reports
}

// known finds the session of a report, which must be the first of its session and in order.
func (r *Reference) known(rm Removal) (*session, error) {
	s := r.resident[rm.Value]
	if s == nil {
		if why, ok := r.reported[rm.Value]; ok {
			return nil, fmt.Errorf("reported %v=%#x as %v a second time, first as %v", rm.Key, rm.Value, rm.Reason, why)
		}
		return nil, fmt.Errorf("reported %v=%#x as %v; it was never stored", rm.Key, rm.Value, rm.Reason)
	}
	if s.key != rm.Key {
		return nil, fmt.Errorf("reported %#x under %v; want %v", rm.Value, rm.Key, s.key)
	}
	if last := r.lastOf[s.key]; last > s.value {
		return nil, fmt.Errorf("reported %v=%#x after the newer %#x", rm.Key, rm.Value, last)
	}
	r.lastOf[s.key] = s.value
	return s, nil
}

func (r *Reference) judgeExpired(s *session, at time.Duration) error {
	switch {
	case at < s.early:
		return fmt.Errorf("it was %v; want not before %v", at, s.early)
	case at > after(s.late, Tick):
		return fmt.Errorf("it was %v; want at most a tick after %v", at, s.late)
	case s.leaves != 0 && s.leaves != Expired && r.life(s) == alive:
		return fmt.Errorf("want the reason %v", s.leaves)
	}
	return nil
}

// overflowReason is the reason for which sessions go when room is needed.
func (r *Reference) overflowReason() Reason {
	if r.cfg.InvalidateAll {
		return Cleared
	}
	return Evicted
}

// judgeForced judges what went to make room. The quota comes first, and then the crowd: their victim's room
// is the newcomer's, and no innocent session goes for it.
func (r *Reference) judgeForced(forced []*session, reasons []Reason) error {
	var victims []*session
	for i, s := range forced {
		judge, why := r.judgeQuota, Quota
		switch {
		case reasons[i] == r.overflowReason():
			victims = append(victims, s)
			continue
		case reasons[i] == Crowded, reasons[i] == unknown && r.judgeQuota(s) != nil && r.judgeCrowd(s) == nil:
			judge, why = r.judgeCrowd, Crowded
		case reasons[i] == unknown && r.judgeQuota(s) != nil:
			// An unknown reason is one of the others if that is possible: fewer victims need an excuse.
			victims = append(victims, s)
			continue
		}
		if err := judge(s); err != nil {
			return fmt.Errorf("reported %v=%#x as %v: %w", s.key, s.value, why, err)
		}
		r.forget(s, why)
	}
	if len(victims) == 0 {
		return nil
	}
	if err := r.judgeRoom(victims); err != nil {
		return fmt.Errorf("%d sessions reported as %v, one is %v=%#x: %w",
			len(victims), r.overflowReason(), victims[0].key, victims[0].value, err)
	}
	for _, s := range victims {
		r.forget(s, r.overflowReason())
	}
	return nil
}

// judgeQuota judges the removal of one session for the quota. What has expired does not count
// against it: no living session goes for a dead one.
func (r *Reference) judgeQuota(s *session) error {
	group := slices.DeleteFunc(slices.Clone(r.groups[s.key.Partial]), func(s *session) bool { return r.life(s) == dead })
	switch {
	case r.newcomer == nil || r.cfg.MaxPerPartial == 0 || s.key.Partial != r.newcomer.key.Partial:
		return fmt.Errorf("want that only in a group with a quota that got a session")
	case len(group) <= r.cfg.MaxPerPartial:
		return fmt.Errorf("its group has %d sessions with the newcomer, which is within the quota", len(group))
	}
	for _, older := range group {
		if older == s {
			return nil
		}
		if r.life(older) == alive {
			return fmt.Errorf("%v is older", older.key)
		}
	}
	return fmt.Errorf("it is not in its group")
}

// judgeCrowd judges the removal of one session because its bucket was full. It is the oldest, as far as that
// can be told: when the cache begins to look at crowds it goes by its eviction queues, in which a Demote and
// evictions change the order.
func (r *Reference) judgeCrowd(s *session) error {
	if crowd := len(r.resident) - 1; r.cfg.Crowd == 0 || crowd < r.cfg.Crowd {
		return fmt.Errorf("%d sessions were stored before; want that only where %d share a bucket", crowd, r.cfg.Crowd)
	}
	for _, other := range r.resident {
		switch {
		case r.cfg.Reports && after(other.late, Tick) <= r.now:
			return fmt.Errorf("%v expired at %v, it is %v; want expired ones to go first", other.key, other.late, r.now)
		case other.value < s.value && r.life(other) == alive && !r.told && !r.rebound && r.cfg.MaxWeight == 0:
			return fmt.Errorf("%v is older", other.key)
		}
	}
	return nil
}

// judgeRoom judges the victims of an overflow: were so many needed, and was it their turn?
func (r *Reference) judgeRoom(victims []*session) error {
	if !r.needed(victims) {
		return fmt.Errorf("%d sessions are stored, bounds %d and weight %d; want no more victims than are needed",
			len(r.resident), r.cfg.MaxSessions, r.cfg.MaxWeight)
	}
	for _, s := range r.current {
		if slices.Contains(victims, s) || s == r.newcomer {
			continue
		}
		switch {
		case r.cfg.Reports && after(s.late, Tick) <= r.now: // without reports, it may have gone
			return fmt.Errorf("%v expired at %v, it is %v; want expired ones to go first", s.key, s.late, r.now)
		case r.cfg.InvalidateAll && r.life(s) == alive:
			return fmt.Errorf("%v stays; want all but the newcomer to go", s.key)
		case s.demoted && !r.cfg.InvalidateAll && r.cfg.OneShard && r.life(s) == alive &&
			slices.ContainsFunc(victims, notDemoted):
			return fmt.Errorf("%v is demoted; want it to go before any that is not", s.key)
		}
	}
	return r.judgeProbation(victims)
}

func notDemoted(s *session) bool { return !s.demoted }

// needed reports whether the bounds would not hold without the last victim, whichever of them
// that was. Under InvalidateAll one would have done, so only the first must have been needed. What
// expired within the tick counts: the cache may have found it to be over only afterwards.
func (r *Reference) needed(victims []*session) bool {
	count, weight := len(r.resident), int64(0) // no overflow: each weighs at most MaxWeight, which tests keep small
	for _, s := range r.resident {
		weight += s.weight
	}
	for _, s := range r.lately {
		count, weight = count+1, weight+s.weight
	}
	if !r.cfg.InvalidateAll {
		heaviest := int64(0)
		for _, s := range victims {
			count, weight = count-1, weight-s.weight
			heaviest = max(heaviest, s.weight)
		}
		count, weight = count+1, weight+heaviest
	}
	return r.cfg.MaxSessions > 0 && count > r.cfg.MaxSessions || r.cfg.MaxWeight > 0 && weight > r.cfg.MaxWeight
}

// judgeOwed ends the operation: what had to be reported was.
func (r *Reference) judgeOwed() error {
	for _, s := range r.leaving {
		why := s.leaves
		s.leaves = 0
		switch {
		case r.resident[s.value] != s:
		case s.surely:
			return fmt.Errorf("%v=%#x was not reported; want %v", s.key, s.value, why)
		default:
			r.learn(s, false) // it was doubtful and the call left it: so it has expired
		}
	}
	if s := r.perhaps; s != nil && r.resident[s.value] == s {
		for _, other := range r.groups[s.key.Partial] {
			if other != s && r.life(other) == doubtful {
				r.learn(other, false) // else s would not have been the last one
			}
		}
		r.use(s)
	}
	r.newcomer, r.resized, r.leaving, r.perhaps, r.lately, r.counted = nil, false, nil, nil, nil, -1
	return nil
}

// unknown is the reason of an inferred removal that neither the operation nor time explains: only
// the need of room may.
const unknown Reason = 0

// infer stands in for reports where the subject makes none: given all that the subject holds, it
// returns the removals that explain what is missing, for judge to judge.
func (r *Reference) infer(held map[uint64]bool) []Removal {
	var out []Removal
	for _, s := range r.resident {
		if held[s.value] {
			continue
		}
		why := unknown
		switch {
		case s.leaves != 0:
			why = s.leaves
		case s == r.perhaps:
			why = Taken
		case s.early <= r.now:
			r.learn(s, false)
			if after(s.late, Tick) >= r.now {
				continue // it may still be resident: Size may count it
			}
			why = Expired
		}
		at := r.now
		if why == Expired {
			at = s.late
		}
		out = append(out, Removal{s.key, s.value, why, at})
	}
	slices.SortFunc(out, func(a, b Removal) int {
		if a.Value < b.Value {
			return -1
		}
		return 1
	})
	return out
}
