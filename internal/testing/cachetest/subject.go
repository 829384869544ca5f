// Package cachetest shows a fastcache.Cache to the model, so that one set of random operations
// drives the fuzz targets and the tests of fastcache itself, which add colliding hashes and the
// invariant walker.
package cachetest

import (
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing/synctest"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/testing/model"
)

// A Subject is a cache in a bubble of synctest, seen as the model sees caches.
type Subject struct {
	*fastcache.Cache[uint64]
	birth        time.Time
	hits, misses uint64
	keys         model.Universe
	scan         bool // see Layout
	log          []model.Answer
	slept        bool   // since the last Settle
	woken        uint64 // WakeUps when Sleep returned
	late         int    // see Record

	another func() (*fastcache.Cache[uint64], error) // an empty cache of another layout
	resized []func(*fastcache.Cache[uint64]) error   // changes of the bounds

	check func() error // run when the cache is quiet; nil: nothing
	fault error        // the first that check returned

	mu      sync.Mutex
	reports []model.Removal
	totals  [model.Crowded + 1]uint64 // reports so far, by reason
}

// Config returns the configuration that two bytes stand for, for the cache and for the model.
func Config(bounds, switches byte) (fastcache.Config[uint64], model.Config) {
	cfg := fastcache.Config[uint64]{
		MaxPerPartial: []int{0, 0, 1, 3}[bounds>>3%4],
		IdleTTL:       []time.Duration{0, 0, 0, 0, 640, 30 * time.Millisecond, time.Second, time.Hour}[bounds>>5],
		NoIndex:       switches&7 == 7, // rarely: it makes half of the operations dull
		ExactClock:    switches&8 != 0,
		RecordStats:   switches&16 != 0,
		TTL:           []time.Duration{0, 10 * time.Millisecond, time.Second, time.Hour}[switches>>6],
	}
	cfg.MaxSessions = []int{0, 1, 4, 7, 100, 0, 5, 600}[bounds%8]
	if weighs := bounds%8 == 5 || bounds%8 == 6; weighs {
		cfg.MaxWeight = 64
		cfg.Weigh = func(_ fastcache.Key, v uint64) int64 { return model.WeightOf(v) }
	}
	if switches&7 == 3 {
		cfg.Overflow = fastcache.InvalidateAll
	}
	if cfg.NoIndex {
		cfg.MaxPerPartial = 0
	}
	ref := model.Config{
		MaxSessions:   cfg.MaxSessions,
		MaxPerPartial: cfg.MaxPerPartial,
		MaxWeight:     cfg.MaxWeight,
		TTL:           cfg.TTL,
		IdleTTL:       cfg.IdleTTL,
		InvalidateAll: cfg.Overflow == fastcache.InvalidateAll,
		NoIndex:       cfg.NoIndex,
		Reports:       switches&32 == 0,
		OneShard:      cfg.MaxSessions > 0, // up to 4096
	}
	if cfg.TTL == 0 {
		ref.TTL = fastcache.DefaultTTL
	}
	if cfg.MaxSessions == 0 && cfg.MaxWeight == 0 {
		ref.MaxSessions = fastcache.DefaultMaxSessions
	}
	return cfg, ref
}

// Open makes the cache with New, or whatever stands for it. It must run in the bubble, whose
// clock the cache then lives by.
func Open(cfg fastcache.Config[uint64], ref model.Config,
	open func(fastcache.Config[uint64]) (*fastcache.Cache[uint64], error)) (*Subject, error) {
	s := &Subject{birth: time.Now()}
	s.another = func() (*fastcache.Cache[uint64], error) {
		cfg := cfg
		cfg.OnRemove, cfg.Hash = nil, fastcache.SecretHash
		return open(cfg)
	}
	if ref.Reports {
		cfg.OnRemove = s.onRemove
	}
	var err error
	s.Cache, err = open(cfg)
	return s, err
}

// Run judges the cache by the model while it runs ops, closes it and compares its Stats. At every
// quiet point it calls check, if that is not nil.
func (s *Subject) Run(cfg fastcache.Config[uint64], ref model.Config, ops []model.Op, check func() error) error {
	s.check = check
	var err error
	if s.log, err = model.Record(s, model.NewReference(ref), ops); err != nil {
		return err
	}
	if s.fault != nil {
		return s.fault
	}
	return s.checkStats(cfg.RecordStats, ref.Reports)
}

func (s *Subject) onRemove(r fastcache.Removal[uint64]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports = append(s.reports, model.Removal{
		Key: s.plain(r.Key), Value: r.Value, Reason: model.Reason(r.Reason), At: time.Since(s.birth),
	})
	if int(r.Reason) < len(s.totals) {
		s.totals[r.Reason]++
	}
}

func (s *Subject) Reports() []model.Removal {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.reports
	s.reports = nil
	return out
}

// Sleep moves the bubble's time.
func (s *Subject) Sleep(d time.Duration) {
	time.Sleep(d)
	s.slept, s.woken = true, s.Stats().WakeUps
}

// Settle waits until the cache is quiet, and checks it.
func (s *Subject) Settle() {
	synctest.Wait()
	if s.slept && s.Stats().WakeUps > s.woken {
		s.late++
	}
	s.slept = false
	if s.check != nil && s.fault == nil {
		s.fault = s.check()
	}
}

// key returns what the model's key is called in the cache.
func (s *Subject) key(k model.Key) fastcache.Key { return fastcache.Key(s.keys.Of(k)) }

// plain returns the model's key.
func (s *Subject) plain(k fastcache.Key) model.Key { return s.keys.Plain(model.Key(k)) }

func (s *Subject) Lookup(k model.Key) (uint64, bool) {
	v, ok := s.Cache.Lookup(s.key(k))
	if ok {
		s.hits++
	} else {
		s.misses++
	}
	return v, ok
}

func (s *Subject) entry(e fastcache.Entry[uint64]) model.Entry {
	return model.Entry{Key: s.plain(e.Key), Value: e.Value, Expires: e.Expires.Sub(s.birth)}
}

func (s *Subject) Peek(k model.Key) (model.Entry, bool) {
	e, ok := s.Cache.Peek(s.key(k))
	return s.entry(e), ok
}

// modelError translates fastcache's errors; one that is unknown stays, and the model rejects it.
func modelError(err error) error {
	for ours, theirs := range map[error]error{
		fastcache.ErrClosed: model.ErrClosed, fastcache.ErrTooHeavy: model.ErrTooHeavy,
		fastcache.ErrKeyTooLong: model.ErrKeyTooLong, fastcache.ErrBadTTL: model.ErrBadTTL,
		fastcache.ErrBadWeight: model.ErrBadWeight,
	} {
		if errors.Is(err, ours) {
			return theirs
		}
	}
	return err
}

func (s *Subject) Update(k model.Key, v uint64) error {
	return modelError(s.Cache.Update(s.key(k), v))
}

func (s *Subject) UpdateTTL(k model.Key, v uint64, ttl time.Duration) error {
	return modelError(s.Cache.UpdateTTL(s.key(k), v, ttl))
}

func (s *Subject) UpdateOnProbation(k model.Key, v uint64, ttl time.Duration) error {
	return modelError(s.Cache.UpdateOnProbation(s.key(k), v, ttl))
}

func (s *Subject) LookupOrUpdate(k model.Key, v uint64, ttl time.Duration) (uint64, bool, error) {
	actual, found, err := s.Cache.LookupOrUpdate(s.key(k), v, ttl)
	switch {
	case found:
		s.hits++
	case !errors.Is(err, fastcache.ErrBadTTL):
		s.misses++
	}
	return actual, found, modelError(err)
}

// SetMaxSessions changes the bound, and that of the caches that Snapshot makes.
func (s *Subject) SetMaxSessions(n int) error {
	return s.resize(func(c *fastcache.Cache[uint64]) error { return c.SetMaxSessions(n) })
}

// SetMaxWeight changes the bound, and that of the caches that Snapshot makes.
func (s *Subject) SetMaxWeight(weight int64) error {
	return s.resize(func(c *fastcache.Cache[uint64]) error { return c.SetMaxWeight(weight) })
}

func (s *Subject) resize(set func(*fastcache.Cache[uint64]) error) error {
	err := set(s.Cache)
	if err == nil {
		s.resized = append(s.resized, set)
	}
	return err
}

func (s *Subject) Touch(k model.Key, ttl time.Duration) bool { return s.Cache.Touch(s.key(k), ttl) }

func (s *Subject) Delete(k model.Key) bool         { return s.Cache.Delete(s.key(k)) }
func (s *Subject) Take(k model.Key) (uint64, bool) { return s.Cache.Take(s.key(k)) }
func (s *Subject) Demote(k model.Key) bool         { return s.Cache.Demote(s.key(k)) }

func (s *Subject) TakeNewest(partial string) (model.Key, uint64, bool) {
	if s.scan {
		return s.scanNewest(partial, false)
	}
	k, v, ok := s.Cache.TakeNewest(s.keys.OfPart(partial))
	return s.plain(k), v, ok
}

func (s *Subject) TakeNewestKeepLast(partial string) (model.Key, uint64, bool) {
	if s.scan {
		return s.scanNewest(partial, true)
	}
	k, v, ok := s.Cache.TakeNewestKeepLast(s.keys.OfPart(partial))
	return s.plain(k), v, ok
}

func (s *Subject) DeletePartial(partial string) int {
	return s.Cache.DeletePartial(s.keys.OfPart(partial))
}

func (s *Subject) SelectSession(partial string) iter.Seq2[model.Key, uint64] {
	if !s.scan {
		return s.plainKeys(s.Cache.SelectSession(s.keys.OfPart(partial)))
	}
	return func(yield func(model.Key, uint64) bool) {
		for _, e := range s.newestFirst(partial) {
			if !yield(e.Key, e.Value) {
				return
			}
		}
	}
}

func (s *Subject) SelectEntries(partial string) iter.Seq[model.Entry] {
	return func(yield func(model.Entry) bool) {
		found := s.Cache.SelectEntries(s.keys.OfPart(partial))
		if !s.scan {
			found(func(e fastcache.Entry[uint64]) bool { return yield(s.entry(e)) })
			return
		}
		var all []model.Entry
		for e := range found {
			all = append(all, s.entry(e))
		}
		sortNewestFirst(all)
		for _, e := range all {
			if !yield(e) {
				return
			}
		}
	}
}

func (s *Subject) All() iter.Seq2[model.Key, uint64] { return s.plainKeys(s.Cache.All()) }

func (s *Subject) plainKeys(seq iter.Seq2[fastcache.Key, uint64]) iter.Seq2[model.Key, uint64] {
	return func(yield func(model.Key, uint64) bool) {
		seq(func(k fastcache.Key, v uint64) bool { return yield(s.plain(k), v) })
	}
}

func (s *Subject) Entries() iter.Seq[model.Entry] {
	return func(yield func(model.Entry) bool) {
		s.Cache.Entries()(func(e fastcache.Entry[uint64]) bool { return yield(s.entry(e)) })
	}
}

func (s *Subject) Foldl(f func(model.Key, uint64)) {
	fastcache.Foldl(s.Cache, func(k fastcache.Key, v uint64, acc int) int {
		f(s.plain(k), v)
		return acc + 1
	}, 0)
}

// checkStats compares the counters of a closed cache with what was seen of it.
func (s *Subject) checkStats(counts, reports bool) error {
	st := s.Stats()
	if counts && (st.Hits != s.hits || st.Misses != s.misses) {
		return fmt.Errorf("fastcache: Stats: %d hits, %d misses; want %d and %d", st.Hits, st.Misses, s.hits, s.misses)
	}
	gone := st.Deleted + st.Taken + st.Expired + st.Evicted + st.Quota + st.Revoked + st.Cleared + st.Closed + st.Crowded
	if st.Inserted != gone || st.Sessions != 0 || st.Weight != 0 || st.PartialKeys != 0 || st.PendingReports != 0 {
		return fmt.Errorf("fastcache: Stats after Close: %+v; want as many inserted as gone (%d) and nothing left", st, gone)
	}
	if !reports {
		return nil
	}
	got := [len(s.totals)]uint64{
		0, st.Deleted, st.Taken, st.Replaced, st.Expired, st.Evicted, st.Quota, st.Revoked, st.Cleared, st.Closed, st.Crowded,
	}
	if got != s.totals {
		return fmt.Errorf("fastcache: Stats count removals as %v; want %v, as reported", got, s.totals)
	}
	return nil
}
