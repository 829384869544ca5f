package fastcache

import (
	"reflect"
	"time"
)

// Stats are a cache's counters since its birth, which are of type uint64, and its state, which is of other types. A
// Stats can be compared, and marshals as JSON under the names of its fields, durations as nanoseconds.
type Stats struct {
	Hits   uint64 // Lookups that found a session; 0 without RecordStats
	Misses uint64 // Lookups that did not; 0 without RecordStats
	// MissesExpired and MissesRemoved are the misses, among Misses, that came upon a session that was over and not yet out of
	// memory: by its deadline, or because another call had just taken, revoked or evicted it. All other misses found nothing.
	MissesExpired, MissesRemoved uint64
	HitAge                       Spread // the ages of sessions at a hit, of about one hit in 64; 0 without RecordStats
	HitLeft                      Spread // the lives that they had left, likewise

	Inserted uint64  // Updates that stored a session under a new key
	Replaced uint64  // Updates that replaced the session of their key
	Refused  Refused // Updates that stored nothing
	Deleted  uint64  // sessions removed by Delete
	Taken    uint64  // by Take, TakeNewest and TakeNewestKeepLast
	Expired  uint64  // because their TTL or IdleTTL ran out
	Evicted  uint64  // to make room for another session
	Quota    uint64  // as the oldest of a partial key above MaxPerPartial
	Revoked  uint64  // by DeletePartial
	Cleared  uint64  // by Clear, or by an overflow under InvalidateAll
	Closed   uint64  // by Close
	Crowded  uint64  // as the oldest of too many with one hash; 0 under SecretHash

	Sessions    int   // as Size
	PartialKeys int   // partial keys that have sessions; 0 with NoIndex
	Weight      int64 // the sum of the sessions' weights; 0 without Weigh
	OnProbation int   // sessions that UpdateOnProbation stored
	Leases      int   // leases that are held; if their number grows, one is not released

	// LongestProbe is the largest number of buckets that an Update has gone through to place a session, which is what a Lookup of
	// it goes through: 1 to 3 in most caches, 37 at most under XXHash.
	LongestProbe int

	WakeUps       uint64        // runs of the timer
	TimerLag      time.Duration // how long after it was due the last of them began
	WorstTimerLag time.Duration // and the worst of all

	PendingReports int    // removals whose OnRemove has not returned yet
	ReportPanics   uint64 // calls of OnRemove that panicked or ended their goroutine
}

// Refused counts the Updates that stored nothing, by the error that they returned. Calls of UpdateTTL, UpdateOnProbation and
// LookupOrUpdate count as well.
type Refused struct {
	Closed       uint64 // ErrClosed
	KeyTooLong   uint64 // ErrKeyTooLong
	BadTTL       uint64 // ErrBadTTL
	TooHeavy     uint64 // ErrTooHeavy
	BadWeight    uint64 // ErrBadWeight
	ForeignClock uint64 // ErrForeignClock
}

// refusals are the errors that Refused counts, in the order of its fields.
var refusals = [...]error{ErrClosed, ErrKeyTooLong, ErrBadTTL, ErrTooHeavy, ErrBadWeight, ErrForeignClock}

// A Spread counts durations by their size: each in the first field that it does not exceed.
type Spread struct {
	Second     uint64 // up to a second
	Minute     uint64 // more, and up to a minute
	TenMinutes uint64 // and so on
	Hour       uint64 // up to an hour
	SixHours   uint64 // up to six hours
	Day        uint64 // up to 24 hours
	Longer     uint64 // more than that
}

// spreadLimits are what the fields of a Spread count up to, but for the last.
var spreadLimits = [...]time.Duration{time.Second, time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}

// Stats returns the counters and the present state. It takes each shard's lock briefly, so
// its numbers need not be of one instant.
func (c *Cache[V]) Stats() Stats {
	st := Stats{Sessions: c.Size(), Weight: c.weight.Load()}
	st.Leases = int(c.leases.count.Load())
	st.OnProbation = int(c.probation.sessions.load())
	if c.hits != nil {
		st.Misses = uint64(c.misses.Value())
		c.hits.addTo(&st)
	}
	r := &st.Refused
	for i, n := range []*uint64{&r.Closed, &r.KeyTooLong, &r.BadTTL, &r.TooHeavy, &r.BadWeight, &r.ForeignClock} {
		*n = c.refused[i].Load()
	}
	if c.index != nil {
		st.PartialKeys = c.index.Len()
	}
	c.alarm.mu.Lock()
	st.WakeUps = c.alarm.mu.wakeUps
	st.TimerLag, st.WorstTimerLag = c.alarm.mu.lag, c.alarm.mu.worstLag
	c.alarm.mu.Unlock()
	for s := range c.eachShard {
		s.mu.Lock()
		removed := s.mu.removed
		st.Inserted += s.mu.inserted
		st.LongestProbe = max(st.LongestProbe, s.mu.longestProbe)
		s.mu.Unlock()
		st.add(&removed)
	}
	for i := range c.reporters {
		st.PendingReports += int(c.reporters[i].undelivered.Load())
	}
	st.ReportPanics = c.panics.Load() // last: a report that is no longer pending has been counted
	return st
}

// add adds the removals of one shard.
func (st *Stats) add(removed *[reasons]uint64) {
	st.Replaced += removed[Replaced]
	st.Deleted += removed[Deleted]
	st.Taken += removed[Taken]
	st.Expired += removed[Expired]
	st.Evicted += removed[Evicted]
	st.Quota += removed[Quota]
	st.Revoked += removed[Revoked]
	st.Cleared += removed[Cleared]
	st.Closed += removed[Closed]
	st.Crowded += removed[Crowded]
}

// Sub returns what has happened between two Stats of one cache: the counters less what they were earlier, and the state of st.
// A counter of which earlier shows more than st is 0 in the result: Stats that are taken while others work need not be of one instant.
func (st Stats) Sub(earlier Stats) Stats {
	subtract(reflect.ValueOf(&st).Elem(), reflect.ValueOf(earlier))
	return st
}

// subtract subtracts the counters of a struct, and of the structs in it.
func subtract(from, earlier reflect.Value) {
	for i := range from.NumField() {
		switch field := from.Field(i); field.Kind() {
		case reflect.Struct:
			subtract(field, earlier.Field(i))
		case reflect.Uint64:
			field.SetUint(field.Uint() - min(earlier.Field(i).Uint(), field.Uint()))
		}
	}
}
