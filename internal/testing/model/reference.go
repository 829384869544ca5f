package model

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// A session is one stored version. It expires at an instant in [early, late]; the two differ
// only with IdleTTL, which lets the cache idle a session out up to IdleTTL/64 early. Inside the
// window either answer is legal, and the one seen narrows the window.
type session struct {
	key     Key
	value   uint64
	weight  int64
	ends    time.Duration // by its TTL, used or not
	early   time.Duration
	late    time.Duration
	demoted bool

	onProbation bool

	// leaves is the reason for which the operation under way removes it, 0 if it does not.
	leaves Reason

	// surely says that a report must come even if the session turns out to have expired.
	surely bool
}

// life is what the reference knows of a session at the present time.
type life uint8

const (
	dead life = iota
	alive
	doubtful // inside the window
)

// A Reference is the plain cache: maps and slices, exact deadlines, time as a number. Its methods
// are told the subject's answer and return an error if the contract does not allow it.
type Reference struct {
	cfg    Config
	now    time.Duration
	closed bool

	current  map[Key]*session      // by key, those that expired unreported included
	groups   map[string][]*session // by partial key, the oldest first
	resident map[uint64]*session   // by value: stored and not reported yet
	reported map[uint64]Reason     // by value
	lastOf   map[Key]uint64        // by key, the value last reported: values grow, so must these
	told     bool                  // something was demoted
	rebound  bool                  // a bound was changed: the cache has evicted, perhaps, and has room for a crowd

	// Of the operation under way:
	newcomer *session   // stored by it
	resized  bool       // it has changed a bound
	leaving  []*session // removed by it
	perhaps  *session   // TakeNewestKeepLast took it, or kept it as the last one
	lately   []*session // reported as expired, within a tick of their deadline
	counted  int        // what DeletePartial or Clear returned; -1: nothing
}

// NewReference returns an empty cache at time 0.
func NewReference(cfg Config) *Reference {
	return &Reference{
		cfg: cfg, counted: -1,
		current: map[Key]*session{}, groups: map[string][]*session{},
		resident: map[uint64]*session{}, reported: map[uint64]Reason{}, lastOf: map[Key]uint64{},
	}
}

// after is now+d, saturating.
func after(now, d time.Duration) time.Duration {
	if d > math.MaxInt64-now {
		return math.MaxInt64
	}
	return now + d
}

func (r *Reference) life(s *session) life {
	switch {
	case r.now >= s.late:
		return dead
	case r.now < s.early:
		return alive
	}
	return doubtful
}

// learn narrows the window of a doubtful session by what the subject said.
func (r *Reference) learn(s *session, isAlive bool) {
	if isAlive {
		s.early = max(s.early, r.now+1)
	} else {
		s.late = min(s.late, r.now)
	}
}

// use is what a Lookup that hits does to an idle deadline: moves it, unless that gains less
// than a 64th.
func (r *Reference) use(s *session) {
	if r.cfg.IdleTTL == 0 {
		return
	}
	idle := after(r.now, r.cfg.IdleTTL)
	s.late = min(s.ends, idle)
	s.early = min(s.ends, max(s.early, idle-r.cfg.IdleTTL/64))
}

// leave notes that the operation under way removes s. An expired session never leaves for
// another reason; it may stay until its tick is over, unless its place is needed (surely).
func (r *Reference) leave(s *session, why Reason, surely bool) {
	if r.life(s) == dead {
		if !surely {
			return
		}
		why = Expired
	}
	s.leaves, s.surely = why, surely
	r.leaving = append(r.leaving, s)
}

// forget takes s out of everything but the record of what was reported.
func (r *Reference) forget(s *session, why Reason) {
	delete(r.resident, s.value)
	r.reported[s.value] = why
	if r.current[s.key] == s {
		delete(r.current, s.key)
	}
	group := r.groups[s.key.Partial]
	if i := slices.Index(group, s); i >= 0 {
		group = slices.Delete(group, i, i+1)
	}
	r.groups[s.key.Partial] = group
	if len(group) == 0 {
		delete(r.groups, s.key.Partial)
	}
}

// one judges an answer about one key and returns the session that it is about, nil if absent.
func (r *Reference) one(key Key, ok bool) (*session, error) {
	s := r.current[key]
	if s == nil {
		if ok {
			return nil, errors.New("found; want absent: never stored, or removed")
		}
		return nil, nil
	}
	switch r.life(s) {
	case dead:
		if ok {
			return nil, fmt.Errorf("found; want absent: expired at %v, it is %v", s.late, r.now)
		}
	case alive:
		if !ok {
			return nil, fmt.Errorf("absent; want %#x, which expires at %v, it is %v", s.value, s.early, r.now)
		}
	case doubtful:
		r.learn(s, ok)
	}
	if !ok {
		return nil, nil
	}
	return s, nil
}

// valued is one with the value compared.
func (r *Reference) valued(key Key, value uint64, ok bool) (*session, error) {
	s, err := r.one(key, ok)
	if s != nil && s.value != value {
		return nil, fmt.Errorf("found %#x; want %#x", value, s.value)
	}
	return s, err
}

func (r *Reference) lookup(key Key, value uint64, ok bool) error {
	s, err := r.valued(key, value, ok)
	if s != nil {
		r.use(s)
	}
	return err
}

func (r *Reference) peek(key Key, e Entry, ok bool) error {
	s, err := r.valued(key, e.Value, ok)
	if s == nil {
		return err
	}
	if e.Key != key {
		return fmt.Errorf("entry has key %v; want %v", e.Key, key)
	}
	return r.expires(s, e.Expires)
}

// never is beyond every run. Deadlines from there on only need to be there: they saturate.
const never = time.Duration(1 << 62)

// expires judges the deadline that the subject shows, and learns it.
func (r *Reference) expires(s *session, at time.Duration) error {
	if at < s.early && at < never || at > s.late && s.late < never {
		return fmt.Errorf("%v expires at %v; want %v to %v", s.key, at, s.early, s.late)
	}
	if s.late < never {
		s.early, s.late = at, at
	}
	return nil
}

func (r *Reference) remove(key Key, value uint64, ok bool, why Reason) error {
	s, err := r.valued(key, value, ok)
	if s != nil {
		r.leave(s, why, true)
	}
	return err
}

// valueOf returns the value that Delete(key) must remove if it removes anything.
func (r *Reference) valueOf(key Key) uint64 {
	if s := r.current[key]; s != nil {
		return s.value
	}
	return 0
}

func (r *Reference) demote(key Key, ok bool) error {
	s, err := r.one(key, ok)
	if s != nil {
		s.demoted, r.told = true, true
	}
	return err
}

// setBound judges the error of a SetMaxSessions or SetMaxWeight, and changes the bound if there is none.
func (r *Reference) setBound(op Op, got error) error {
	legal := op.Bound() >= 1 && !r.closed && (op.Kind == SetMaxSessions || r.cfg.MaxWeight > 0)
	switch {
	case legal != (got == nil):
		return fmt.Errorf("error %v; want one: %v", got, !legal)
	case !legal:
		return nil
	case op.Kind == SetMaxSessions:
		r.cfg.MaxSessions = op.Bound()
	default:
		r.cfg.MaxWeight = int64(op.Bound())
	}
	r.resized, r.rebound = true, true
	return nil
}

// update judges the error of an Update and stores the session if there is none.
func (r *Reference) update(s *session, ttl time.Duration, got error) error {
	var want []error
	refuse := func(when bool, err error) {
		if when {
			want = append(want, err)
		}
	}
	refuse(r.closed, ErrClosed)
	refuse(ttl <= 0, ErrBadTTL)
	refuse(len(s.key.Partial) > MaxKeyPart || len(s.key.ID) > MaxKeyPart, ErrKeyTooLong)
	if r.cfg.MaxWeight > 0 {
		s.weight = WeightOf(s.value)
		refuse(s.weight < 0, ErrBadWeight)
		refuse(s.weight > r.cfg.MaxWeight, ErrTooHeavy)
	}
	if len(want) > 0 || got != nil {
		if slices.ContainsFunc(want, func(err error) bool { return errors.Is(got, err) }) {
			return nil
		}
		return fmt.Errorf("error %v; want one of %v", got, want)
	}
	s.ends = after(r.now, ttl)
	r.store(s)
	return nil
}

// lookupOrUpdate judges an answer about a key, and stores the session if none was found.
func (r *Reference) lookupOrUpdate(s *session, ttl time.Duration, actual uint64, found bool, got error) error {
	if ttl <= 0 {
		if found {
			return fmt.Errorf("found, with a TTL of %v; want %v", ttl, ErrBadTTL)
		}
		return r.update(s, ttl, got)
	}
	old, err := r.valued(s.key, actual, found)
	switch {
	case err != nil:
		return err
	case found && got != nil:
		return fmt.Errorf("found, and error %v", got)
	case found:
		r.use(old)
		return nil
	case got == nil && actual != s.value:
		return fmt.Errorf("stored %#x; want %#x", actual, s.value)
	}
	return r.update(s, ttl, got)
}

// touch judges whether a Touch found a session, and moves its deadline.
func (r *Reference) touch(key Key, ttl time.Duration, ok bool) error {
	if ttl <= 0 {
		if ok {
			return fmt.Errorf("true for a TTL of %v; want false", ttl)
		}
		return nil
	}
	s, err := r.one(key, ok)
	if s != nil {
		s.ends = after(r.now, ttl)
		s.early, s.late = s.ends, s.ends
		if r.cfg.IdleTTL > 0 {
			s.late = min(s.ends, after(r.now, r.cfg.IdleTTL))
			s.early = s.late
		}
	}
	return err
}

func (r *Reference) store(s *session) {
	if old := r.current[s.key]; old != nil {
		r.leave(old, Replaced, true)
	}
	s.early, s.late = s.ends, s.ends
	if r.cfg.IdleTTL > 0 {
		s.early = 0
		r.use(s)
	}
	r.current[s.key] = s
	r.groups[s.key.Partial] = append(r.groups[s.key.Partial], s)
	r.resident[s.value] = s
	r.newcomer = s
}

// newestFirst returns what is current under a partial key.
func (r *Reference) newestFirst(partial string) []*session {
	group := slices.DeleteFunc(slices.Clone(r.groups[partial]), func(s *session) bool { return r.current[s.key] != s })
	slices.Reverse(group)
	return group
}

func (r *Reference) everything() []*session {
	all := make([]*session, 0, len(r.current))
	for _, s := range r.current {
		all = append(all, s)
	}
	return all
}

// next returns the nearest instant after the present at which a session may or must expire.
func (r *Reference) next() (time.Duration, bool) {
	at := time.Duration(math.MaxInt64)
	for _, s := range r.current {
		if s.early > r.now {
			at = min(at, s.early)
		} else if s.late > r.now {
			at = min(at, s.late)
		}
	}
	return at, at < never
}
