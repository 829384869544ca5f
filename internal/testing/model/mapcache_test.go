package model

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// A mapCache is the smallest correct Subject: one slice, oldest first, in its own virtual time.
// It evicts the oldest. Its faults, by name, make it wrong.
type mapCache struct {
	cfg     Config
	fault   string
	now     time.Duration
	closed  bool
	live    []*item
	reports []Removal
	seq     int
}

type item struct {
	key        Key
	value      uint64
	ends, idle time.Duration
	demoted    int // order of the Demote that did it, 0: not
	unproven   bool
}

func newMapCache(cfg Config, fault string) *mapCache { return &mapCache{cfg: cfg, fault: fault} }

func (c *mapCache) find(key Key) *item {
	for _, it := range c.live {
		if it.key == key {
			return it
		}
	}
	return nil
}

func (c *mapCache) drop(it *item, why Reason) {
	c.dropAt(it, why, c.now)
}

func (c *mapCache) dropAt(it *item, why Reason, at time.Duration) {
	c.live = slices.DeleteFunc(c.live, func(o *item) bool { return o == it })
	c.reports = append(c.reports, Removal{it.key, it.value, why, at})
	if c.fault == "reports twice" && why == Deleted {
		c.reports = append(c.reports, Removal{it.key, it.value, why, at})
	}
}

func (c *mapCache) Lookup(key Key) (uint64, bool) {
	it := c.find(key)
	if it == nil {
		return 0, false
	}
	if c.cfg.IdleTTL > 0 && c.fault != "lookup is no use" {
		it.idle = after(c.now, c.cfg.IdleTTL)
	}
	return it.value, true
}

func (it *item) until() time.Duration { return min(it.ends, it.idle) }

func (c *mapCache) Peek(key Key) (Entry, bool) {
	it := c.find(key)
	if it == nil {
		return Entry{}, false
	}
	if c.fault == "peek is a use" && c.cfg.IdleTTL > 0 {
		it.idle = after(c.now, c.cfg.IdleTTL)
	}
	return Entry{key, it.value, it.until()}, true
}

func (c *mapCache) Update(key Key, v uint64) error { return c.UpdateTTL(key, v, c.cfg.TTL) }

func (c *mapCache) UpdateTTL(key Key, v uint64, ttl time.Duration) error {
	return c.update(key, v, ttl, false)
}

func (c *mapCache) UpdateOnProbation(key Key, v uint64, ttl time.Duration) error {
	return c.update(key, v, ttl, true)
}

func (c *mapCache) LookupOrUpdate(key Key, v uint64, ttl time.Duration) (uint64, bool, error) {
	if ttl <= 0 {
		return 0, false, ErrBadTTL
	}
	if actual, ok := c.Lookup(key); ok && c.fault != "stores what is present" {
		return actual, true, nil
	}
	if err := c.update(key, v, ttl, false); err != nil {
		return 0, false, err
	}
	return v, false, nil
}

func (c *mapCache) Touch(key Key, ttl time.Duration) bool {
	it := c.find(key)
	if it == nil || ttl <= 0 {
		return false
	}
	if ends := after(c.now, ttl); c.fault != "a life is never cut" || ends > it.ends {
		it.ends = ends
	}
	it.idle = after(c.now, cmp.Or(c.cfg.IdleTTL, 1<<62))
	return true
}

func (c *mapCache) SetMaxSessions(n int) error {
	if n < 1 || c.closed {
		return ErrClosed
	}
	c.cfg.MaxSessions = n
	c.shrink()
	return nil
}

func (c *mapCache) SetMaxWeight(weight int64) error {
	if weight < 1 || c.closed || c.cfg.MaxWeight == 0 {
		return ErrClosed
	}
	c.cfg.MaxWeight = weight
	c.shrink()
	return nil
}

// shrink makes room until the bounds hold.
func (c *mapCache) shrink() {
	if c.fault == "a lower bound waits for an update" {
		return
	}
	for c.full(len(c.live)-1, 0) {
		c.evict()
	}
	if c.fault == "a bound evicts one too many" && len(c.live) > 0 {
		c.evict()
	}
}

func (c *mapCache) SelectEntries(partial string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for k := range c.SelectSession(partial) {
			if e, ok := c.Peek(k); ok && !yield(e) {
				return
			}
		}
	}
}

func (c *mapCache) update(key Key, v uint64, ttl time.Duration, unproven bool) error {
	switch {
	case c.closed:
		return ErrClosed
	case ttl <= 0:
		return ErrBadTTL
	case len(key.Partial) > MaxKeyPart || len(key.ID) > MaxKeyPart:
		return ErrKeyTooLong
	case c.cfg.MaxWeight > 0 && WeightOf(v) < 0:
		return ErrBadWeight
	case c.cfg.MaxWeight > 0 && WeightOf(v) > c.cfg.MaxWeight:
		return ErrTooHeavy
	}
	fresh := &item{key: key, value: v, unproven: unproven, ends: after(c.now, ttl), idle: after(c.now, cmp.Or(c.cfg.IdleTTL, 1<<62))}
	if c.fault == "update keeps the deadline" {
		if old := c.find(key); old != nil {
			fresh.ends = old.ends
		}
	}
	if c.fault == "loses an update" && c.seq%8 == 7 {
		c.seq++
		return nil
	}
	c.seq++
	if old := c.find(key); old != nil {
		if c.fault == "update keeps the place" {
			at := slices.Index(c.live, old)
			c.drop(old, Replaced)
			c.live = slices.Insert(c.live, at, fresh)
			return nil
		}
		c.drop(old, Replaced)
	}
	c.makeRoom(fresh)
	c.live = append(c.live, fresh)
	return nil
}

func (c *mapCache) makeRoom(fresh *item) {
	group := c.group(fresh.key.Partial)
	quota := c.cfg.MaxPerPartial
	if c.fault == "quota is one too many" {
		quota++
	}
	if c.cfg.MaxPerPartial > 0 && len(group) >= quota {
		c.drop(group[len(group)-1], Quota)
	}
	for c.full(len(c.live), WeightOf(fresh.value)) {
		c.evict()
	}
}

// evict makes room as the configuration says.
func (c *mapCache) evict() {
	if c.cfg.InvalidateAll {
		c.removeAll(c.live, Cleared)
		return
	}
	victim := slices.MaxFunc(c.live, func(a, b *item) int { return cmp.Compare(a.demoted, b.demoted) })
	if victim.demoted == 0 || c.fault == "demote is ignored" {
		victim = c.live[0]
		if i := c.unproven(); i >= 0 {
			victim = c.live[i]
		}
	}
	c.drop(victim, Evicted)
	if c.fault == "evicts one too many" && len(c.live) > 0 {
		c.drop(c.live[0], Evicted)
	}
}

// unproven returns the place of the session on probation that must go first, or -1.
func (c *mapCache) unproven() int {
	proven, weight := 0, int64(0)
	for _, it := range c.live {
		if !it.unproven {
			proven, weight = proven+1, weight+WeightOf(it.value)
		}
	}
	if c.fault == "probation is ignored" ||
		c.cfg.MaxSessions > 0 && 2*proven >= c.cfg.MaxSessions || c.cfg.MaxWeight > 0 && 2*weight >= c.cfg.MaxWeight {
		return -1
	}
	first := slices.IndexFunc(c.live, func(it *item) bool { return it.unproven })
	if first >= 0 && c.fault == "newest on probation first" {
		for first = len(c.live) - 1; !c.live[first].unproven; first-- {
		}
	}
	return first
}

// full reports whether the bounds leave no room for one session more than so many, of so much weight.
func (c *mapCache) full(sessions int, weight int64) bool {
	for _, it := range c.live {
		weight += WeightOf(it.value)
	}
	bound := c.cfg.MaxSessions
	if c.fault == "bound is one too many" {
		bound++
	}
	return c.cfg.MaxSessions > 0 && sessions >= bound || c.cfg.MaxWeight > 0 && weight > c.cfg.MaxWeight
}

func (c *mapCache) Delete(key Key) bool {
	it := c.find(key)
	if it == nil {
		return false
	}
	if c.fault != "delete leaves it" {
		c.drop(it, Deleted)
	}
	return true
}

func (c *mapCache) Take(key Key) (uint64, bool) {
	it := c.find(key)
	if it == nil {
		return 0, false
	}
	if c.fault != "take leaves it" {
		c.drop(it, Taken)
	}
	return it.value, true
}

// group is newest first.
func (c *mapCache) group(partial string) []*item {
	var out []*item
	for _, it := range c.live {
		if it.key.Partial == partial {
			out = append(out, it)
		}
	}
	if c.fault != "oldest first" {
		slices.Reverse(out)
	}
	return out
}

func (c *mapCache) SelectSession(partial string) iter.Seq2[Key, uint64] {
	return each(c.group(partial))
}

func each(items []*item) iter.Seq2[Key, uint64] {
	items = slices.Clone(items)
	return func(yield func(Key, uint64) bool) {
		for _, it := range items {
			if !yield(it.key, it.value) {
				return
			}
		}
	}
}

func (c *mapCache) TakeNewest(partial string) (Key, uint64, bool) {
	if c.cfg.NoIndex {
		panic("no index")
	}
	for _, it := range c.group(partial) {
		c.drop(it, Taken)
		return it.key, it.value, true
	}
	return Key{}, 0, false
}

func (c *mapCache) TakeNewestKeepLast(partial string) (Key, uint64, bool) {
	if g := c.group(partial); len(g) == 1 && !c.cfg.NoIndex && c.fault != "keeps none" {
		if c.cfg.IdleTTL > 0 {
			g[0].idle = after(c.now, c.cfg.IdleTTL)
		}
		return g[0].key, g[0].value, true
	}
	return c.TakeNewest(partial)
}

func (c *mapCache) removeAll(items []*item, why Reason) int {
	items = slices.Clone(items)
	for _, it := range items {
		c.drop(it, why)
	}
	return len(items)
}

func (c *mapCache) DeletePartial(partial string) int {
	g := c.group(partial)
	if c.fault == "revokes all but one" && len(g) > 1 {
		g = g[1:]
	}
	return c.removeAll(g, Revoked)
}

func (c *mapCache) Demote(key Key) bool {
	it := c.find(key)
	if it != nil {
		c.seq++
		it.demoted = c.seq
	}
	return it != nil
}

func (c *mapCache) All() iter.Seq2[Key, uint64] { return each(c.live) }

func (c *mapCache) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, it := range c.live {
			if !yield(Entry{it.key, it.value, it.until()}) {
				return
			}
		}
	}
}

func (c *mapCache) Snapshot() (all []Entry, err error) {
	if c.closed {
		return nil, ErrClosed
	}
	for i := len(c.live) - 1; i >= 0; i-- {
		it := c.live[i]
		e := Entry{it.key, it.value, it.until()}
		switch {
		case c.fault == "restores in another order":
			all = append([]Entry{e}, all...)
			continue
		case c.fault == "restores a longer life":
			e.Expires++
		case c.fault == "restores all but one" && i == 1:
			continue
		}
		all = append(all, e)
	}
	return all, nil
}

func (c *mapCache) Foldl(f func(Key, uint64)) {
	for _, it := range c.live {
		f(it.key, it.value)
	}
}

func (c *mapCache) Size() int {
	if c.fault == "counts too many" {
		return len(c.live) + c.seq/16
	}
	return len(c.live)
}

func (c *mapCache) Clear() int { return c.removeAll(c.live, Cleared) }

func (c *mapCache) Close() error {
	if c.fault == "close forgets reports" {
		c.live = nil
	}
	c.closed = true
	c.removeAll(c.live, Closed)
	return nil
}

func (c *mapCache) Sleep(d time.Duration) {
	c.now += d
	for _, it := range slices.Clone(c.live) {
		until := it.until()
		switch c.fault {
		case "returns expired":
			until++
		case "expires late":
			until = after(until, 2*Tick)
		case "expires early":
			until -= Tick
		}
		if c.now >= until {
			c.dropAt(it, Expired, until)
		}
	}
}

func (c *mapCache) Settle() {}

func (c *mapCache) Reports() []Removal {
	out := c.reports
	c.reports = nil
	if c.fault == "reports the wrong reason" {
		for i := range out {
			if out[i].Reason == Quota {
				out[i].Reason = Evicted
			}
		}
	}
	return out
}
