package fastcache

// Stats are a cache's counters since its birth, and its present state.
type Stats struct {
	Hits   uint64 // Lookups that found a session; 0 without RecordStats
	Misses uint64 // Lookups that did not; 0 without RecordStats

	Inserted uint64 // Updates that stored a session under a new key
	Replaced uint64 // Updates that replaced the session of their key
	Deleted  uint64 // sessions removed by Delete
	Taken    uint64 // by Take, TakeNewest and TakeNewestKeepLast
	Expired  uint64 // because their TTL or IdleTTL ran out
	Evicted  uint64 // to make room for another session
	Quota    uint64 // as the oldest of a partial key above MaxPerPartial
	Revoked  uint64 // by DeletePartial
	Cleared  uint64 // by Clear, or by an overflow under InvalidateAll
	Closed   uint64 // by Close
	Crowded  uint64 // as the oldest of too many with one hash; 0 under SecretHash

	Sessions    int    // as Size
	PartialKeys int    // partial keys that have sessions; 0 with NoIndex
	Weight      int64  // the sum of the sessions' weights; 0 without Weigh
	OnProbation int    // sessions that UpdateOnProbation stored
	Leases      int    // leases that are held; if their number grows, one is not released
	WakeUps     uint64 // runs of the timer

	PendingReports int    // removals whose OnRemove has not returned yet
	ReportPanics   uint64 // calls of OnRemove that panicked or ended their goroutine
}

// Stats returns the counters and the present state. It takes each shard's lock briefly, so
// its numbers need not be of one instant.
func (c *Cache[V]) Stats() Stats {
	st := Stats{Sessions: c.Size(), Weight: c.weight.Load()}
	st.Leases = int(c.leases.count.Load())
	st.OnProbation = int(c.probation.sessions.load())
	if c.hits != nil {
		st.Hits, st.Misses = uint64(c.hits.Value()), uint64(c.misses.Value())
	}
	if c.index != nil {
		st.PartialKeys = c.index.Len()
	}
	c.alarm.mu.Lock()
	st.WakeUps = c.alarm.mu.wakeUps
	c.alarm.mu.Unlock()
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		removed := s.mu.removed
		st.Inserted += s.mu.inserted
		s.mu.Unlock()
		st.add(&removed)
		st.PendingReports += int(s.undelivered.Load())
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
