package metrics

import (
	"errors"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/session"
)

var cacheRows = []row[fastcache.Stats]{
	counts("lookups", "{lookup}", "result", "Lookups by whether they found a session; needs RecordStats.",
		func(st fastcache.Stats, emit func(string, uint64)) {
			emit("hit", st.Hits)
			emit("miss", st.Misses)
		}),
	counts("stale_lookups", "{lookup}", "reason", "Lookups that came upon a session which was over and still in memory; needs RecordStats.",
		func(st fastcache.Stats, emit func(string, uint64)) {
			emit("expired", st.MissesExpired)
			emit("removed", st.MissesRemoved)
		}),
	histogram("hit_age_seconds", "Ages of sessions at a hit, of about one hit in 64; needs RecordStats. The sum is not known.",
		func(st fastcache.Stats) fastcache.Spread { return st.HitAge }),
	histogram("hit_left_seconds", "Lives that sessions had left at a hit, of about one hit in 64; needs RecordStats. The sum is not known.",
		func(st fastcache.Stats) fastcache.Spread { return st.HitLeft }),
	counts("updates", "{update}", "outcome", "Updates by what they did: insert, replace, or why they stored nothing.", updates),
	counts("removals", "{session}", "reason", "Sessions that left the cache, by the reason.", removals),
	gauge("entries", "{session}", "Sessions held.", func(st fastcache.Stats) float64 { return float64(st.Sessions) }),
	gauge("index_keys", "{key}", "Partial keys that have sessions.", func(st fastcache.Stats) float64 { return float64(st.PartialKeys) }),
	gauge("weight", "1", "Sum of the weights of the sessions held, in the unit of Weigh; bytes in a session.Memory with MaxBytes.",
		func(st fastcache.Stats) float64 { return float64(st.Weight) }),
	gauge("on_probation", "{session}", "Sessions held on probation.", func(st fastcache.Stats) float64 { return float64(st.OnProbation) }),
	gauge("leases", "{lease}", "Leases held; if they only grow, one is not released.", func(st fastcache.Stats) float64 { return float64(st.Leases) }),
	gauge("probe_buckets_max", "{bucket}", "Most buckets that one Update went through.", func(st fastcache.Stats) float64 { return float64(st.LongestProbe) }),
	count("timer_runs", "{run}", "Runs of the timer that removes expired sessions.", func(st fastcache.Stats) uint64 { return st.WakeUps }),
	gauge("timer_lag_seconds", "s", "How late the last run of the timer began.", func(st fastcache.Stats) float64 { return st.TimerLag.Seconds() }),
	gauge("timer_lag_worst_seconds", "s", "How late the latest run of the timer began.", func(st fastcache.Stats) float64 { return st.WorstTimerLag.Seconds() }),
	gauge("reports_pending", "{report}", "Removals whose OnRemove has not returned.", func(st fastcache.Stats) float64 { return float64(st.PendingReports) }),
	count("report_panics", "{call}", "Calls of OnRemove that panicked or ended their goroutine.", func(st fastcache.Stats) uint64 { return st.ReportPanics }),
}

func updates(st fastcache.Stats, emit func(string, uint64)) {
	emit("insert", st.Inserted)
	emit("replace", st.Replaced)
	emit("refused: closed", st.Refused.Closed)
	emit("refused: key too long", st.Refused.KeyTooLong)
	emit("refused: bad ttl", st.Refused.BadTTL)
	emit("refused: too heavy", st.Refused.TooHeavy)
	emit("refused: bad weight", st.Refused.BadWeight)
	emit("refused: foreign clock", st.Refused.ForeignClock)
}

func removals(st fastcache.Stats, emit func(string, uint64)) {
	emit("delete", st.Deleted)
	emit("taken", st.Taken)
	emit("expired", st.Expired)
	emit("size", st.Evicted)
	emit("quota", st.Quota)
	emit("revoked", st.Revoked)
	emit("cleared", st.Cleared)
	emit("closed", st.Closed)
	emit("flood", st.Crowded)
}

// Cache reads a cache.
func Cache[V any](name string, c *fastcache.Cache[V]) (*Source, error) {
	if c == nil {
		return nil, errors.New("the cache is nil")
	}
	return newSource(name, "cache", cacheRows, c.Stats)
}

// Memory reads a session.Memory that no Server is told of; a Server tells of its own.
func Memory(name string, m *session.Memory) (*Source, error) {
	if m == nil {
		return nil, errors.New("the memory is nil")
	}
	return newSource(name, "cache", cacheRows, func() fastcache.Stats { return m.Stats().Stats })
}
