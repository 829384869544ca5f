package fuzz

import (
	"maps"
	"slices"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/model"
)

// The bytes that choose common configurations; see cachetest.Config.
const (
	cfgDefault    = 0
	cfgOne        = 1 // one session
	cfgFour       = 2 // four sessions
	cfgByWeight   = 5
	cfgBoth       = 6 // five sessions, weight 64
	cfgLarge      = 7
	cfgQuotaOne   = 2 << 3
	cfgQuotaThree = 3 << 3
	cfgIdleShort  = 4 << 5
	cfgIdle       = 6 << 5 // a second

	swInvalidate = 3
	swNoIndex    = 7
	swExact      = 8
	swStats      = 16
	swSilent     = 32 // no OnRemove
	swSecond     = 2 << 6
)

// Indexes into the model's tables of steps and TTLs, for readable scenarios.
const (
	stepTick, stepToDeadline, stepBefore, stepPast = 2, 3, 4, 5
	stepSecond, stepHour, stepDay, stepDecades     = 9, 12, 13, 15

	ttlTick, ttlSecond, ttlDecades, ttlForever = 6, 8, 14, 15
)

func put(partial, id uint8) model.Op { return model.Op{Kind: model.Update, Partial: partial, ID: id} }

func putTTL(partial, id, ttl uint8) model.Op {
	return model.Op{Kind: model.UpdateTTL, Partial: partial, ID: id, Time: ttl}
}

func probe(partial, id uint8) model.Op {
	return model.Op{Kind: model.UpdateOnProbation, Partial: partial, ID: id, Time: ttlSecond}
}

func orPut(partial, id, ttl uint8) model.Op {
	return model.Op{Kind: model.LookupOrUpdate, Partial: partial, ID: id, Time: ttl}
}

func touch(partial, id, ttl uint8) model.Op {
	return model.Op{Kind: model.Touch, Partial: partial, ID: id, Time: ttl}
}

func on(kind model.Kind, partial, id uint8) model.Op {
	return model.Op{Kind: kind, Partial: partial, ID: id}
}

func step(i uint8) model.Op      { return model.Op{Kind: model.Advance, Time: i} }
func race(i uint8) model.Op      { return model.Op{Kind: model.Advance, Time: i, Value: 1} }
func weigh(id, w uint8) model.Op { return model.Op{Kind: model.Update, Partial: 1, ID: id, Value: w} }

// scenarios are runs that a person would think of, by what they are about.
var scenarios = map[string][]model.Op{
	"every kind": everyKind(),
	"grow and shrink": {
		on(model.Fill, 1, 0), on(model.Fill, 1, 64), on(model.Fill, 2, 0), on(model.Fill, 2, 128),
		on(model.All, 0, 0), on(model.DeletePartial, 1, 0), on(model.Fill, 1, 0),
		on(model.Clear, 0, 0), put(1, 1), on(model.Lookup, 1, 1),
	},
	"equal when glued": {
		put(1, 1), put(2, 0), put(3, 1), put(1, 2), put(0, 0), on(model.Lookup, 2, 0),
		on(model.Delete, 1, 1), on(model.Lookup, 2, 0), on(model.Lookup, 3, 1),
		on(model.Take, 1, 2), on(model.Lookup, 3, 1), on(model.Lookup, 0, 0),
	},
	"longest keys": {
		put(6, 5), put(7, 1), put(1, 6), put(6, 1), on(model.Select, 6, 0), on(model.Lookup, 6, 5),
		on(model.Lookup, 7, 1), on(model.DeletePartial, 6, 0), on(model.DeletePartial, 7, 0),
	},
	"newest first": {
		put(1, 1), put(1, 2), put(1, 3), put(1, 1), on(model.Select, 1, 0),
		on(model.TakeNewest, 1, 0), on(model.TakeNewest, 1, 0), on(model.TakeNewestKeepLast, 1, 0),
		on(model.TakeNewestKeepLast, 1, 0), on(model.TakeNewest, 1, 0), on(model.TakeNewest, 1, 0),
	},
	"keep the last of expired ones": {
		putTTL(1, 1, ttlTick), put(1, 2), race(stepToDeadline), on(model.TakeNewestKeepLast, 1, 0),
		on(model.TakeNewestKeepLast, 1, 0), on(model.Select, 1, 0),
	},
	"deadlines": {
		putTTL(1, 1, ttlSecond), putTTL(1, 2, ttlTick), step(stepBefore), on(model.Lookup, 1, 2),
		step(stepToDeadline), on(model.Lookup, 1, 2), race(stepToDeadline), on(model.Lookup, 1, 1),
		on(model.Peek, 1, 1), on(model.Delete, 1, 1), step(stepTick),
	},
	"deadline earlier": {
		putTTL(1, 1, ttlDecades), putTTL(1, 1, ttlTick), step(stepPast), on(model.Lookup, 1, 1),
		put(1, 1), putTTL(1, 1, ttlForever), step(stepDay), step(stepDay), on(model.Lookup, 1, 1),
		on(model.Peek, 1, 1),
	},
	"beyond the wheel": {
		putTTL(1, 1, ttlForever), putTTL(1, 2, ttlDecades), put(1, 3), step(stepDecades),
		on(model.Lookup, 1, 1), on(model.Lookup, 1, 2), on(model.Lookup, 1, 3), step(stepPast),
		step(stepDecades), on(model.Entries, 0, 0), step(stepDecades), on(model.Lookup, 1, 1),
	},
	"expired make room": {
		putTTL(1, 1, ttlTick), putTTL(1, 2, ttlTick), put(1, 3), put(1, 4), race(stepPast),
		put(2, 1), put(2, 2), put(2, 3), put(2, 4), on(model.All, 0, 0),
	},
	"dead are not replaced": {
		putTTL(1, 1, ttlTick), race(stepToDeadline), put(1, 1), on(model.Lookup, 1, 1),
		putTTL(1, 1, ttlTick), race(stepToDeadline), on(model.DeletePartial, 1, 0),
		putTTL(1, 1, ttlTick), race(stepToDeadline), on(model.Clear, 0, 0),
	},
	"overflow": {
		put(1, 1), put(2, 2), put(3, 3), put(4, 4), on(model.Lookup, 1, 1), put(5, 7), put(1, 8),
		put(1, 9), on(model.Demote, 1, 9), put(1, 10), put(1, 9), on(model.Demote, 1, 9),
		put(1, 9), put(1, 11), put(1, 12), on(model.Fill, 1, 20), on(model.All, 0, 0),
	},
	"probation": {
		probe(1, 1), probe(2, 2), put(1, 3), probe(1, 4), probe(1, 5), probe(2, 6), put(1, 7), probe(1, 8),
		put(1, 9), probe(1, 10), probe(1, 11), put(1, 10), probe(1, 9), on(model.Delete, 1, 7), probe(1, 12),
		on(model.Demote, 1, 12), probe(1, 13), probe(1, 14), on(model.DeletePartial, 1, 0), probe(1, 1),
		put(1, 1), probe(1, 15), on(model.Fill, 1, 20), probe(1, 16), on(model.Clear, 0, 0), probe(1, 1),
	},
	"quota": {
		put(1, 1), put(1, 2), put(1, 3), put(1, 4), put(1, 3), put(1, 5), put(2, 1),
		on(model.Select, 1, 0), putTTL(1, 7, ttlTick), race(stepToDeadline), put(1, 8), put(1, 9),
		on(model.Fill, 1, 10), on(model.Select, 1, 0),
	},
	"weights": {
		weigh(1, 8), weigh(2, 8), weigh(3, 10), weigh(1, 12), weigh(1, 11), weigh(2, 13),
		weigh(4, 14), weigh(4, 15), weigh(2, 9), weigh(2, 0), weigh(3, 5), weigh(3, 9),
		weigh(3, 11), on(model.All, 0, 0), on(model.Fill, 1, 0), weigh(0, 10),
	},
	"delete in a loop": {
		on(model.Fill, 1, 0), on(model.Fill, 1, 70), on(model.Drain, 1, 0), on(model.Drain, 1, 0),
		put(1, 1), on(model.Drain, 1, 0),
	},
	"idle": {
		put(1, 1), put(1, 2), step(7), on(model.Lookup, 1, 1), step(8), on(model.Lookup, 1, 1),
		on(model.Peek, 1, 2), step(8), step(7), on(model.Select, 1, 0), on(model.Lookup, 1, 1),
		step(stepBefore), on(model.TakeNewestKeepLast, 1, 0), step(stepToDeadline),
		on(model.Lookup, 1, 1), on(model.Entries, 0, 0), race(stepSecond), on(model.Lookup, 1, 1),
	},
	"use after close": {
		put(1, 1), on(model.Close, 0, 0), on(model.Lookup, 1, 1), put(1, 1), putTTL(1, 1, 0),
		on(model.Delete, 1, 1), on(model.Take, 1, 1), on(model.DeletePartial, 1, 0),
		on(model.Clear, 0, 0), on(model.All, 0, 0), on(model.Demote, 1, 1), on(model.Select, 1, 0),
		step(stepHour), on(model.Close, 0, 0),
	},
	"one is first": {
		orPut(1, 1, ttlSecond), orPut(1, 1, ttlSecond), orPut(1, 2, 0), on(model.Take, 1, 1), orPut(1, 1, ttlTick), race(stepToDeadline),
		orPut(1, 1, ttlTick), step(stepPast), orPut(1, 1, ttlForever), on(model.DeletePartial, 1, 0), orPut(1, 1, ttlSecond),
		on(model.Select, 1, 0), orPut(7, 1, ttlSecond), on(model.Fill, 1, 0), orPut(1, 20, ttlSecond), orPut(1, 200, ttlSecond),
	},
	"touched": {
		putTTL(1, 1, ttlSecond), touch(1, 1, ttlTick), step(stepBefore), on(model.Lookup, 1, 1), step(stepToDeadline),
		on(model.Lookup, 1, 1), putTTL(1, 1, ttlTick), touch(1, 1, ttlDecades), on(model.SelectEntries, 1, 0), step(stepDay),
		on(model.Lookup, 1, 1), touch(1, 1, 0), touch(1, 1, ttlForever), on(model.Peek, 1, 1), step(stepDecades), touch(1, 1, ttlTick),
		race(stepToDeadline), touch(1, 1, ttlSecond), on(model.Lookup, 1, 1), put(1, 2), on(model.TakeNewest, 1, 0), touch(1, 2, ttlSecond),
	},
	"revoke, come back": {
		put(1, 1), put(1, 2), on(model.DeletePartial, 1, 0), put(1, 1), on(model.Lookup, 1, 1),
		on(model.Lookup, 1, 2), on(model.Select, 1, 0), on(model.DeletePartial, 1, 0),
		on(model.DeletePartial, 1, 0), on(model.TakeNewest, 1, 0),
	},
}

func everyKind() []model.Op {
	ops := []model.Op{put(1, 1), put(1, 2)}
	for kind := range model.Close {
		ops = append(ops, on(kind, 1, 1), put(1, 1))
	}
	ops = append(ops, probe(1, 1), put(1, 1), orPut(1, 1, ttlSecond), touch(1, 1, ttlTick), on(model.SelectEntries, 1, 0))
	return append(ops, on(model.Close, 0, 0))
}

// cacheSeeds are all scenarios under the configurations that they could break.
func cacheSeeds() [][]byte {
	configs := [][2]byte{
		{cfgDefault, swStats}, {cfgOne, 0}, {cfgFour, swSecond}, {cfgFour, swInvalidate},
		{cfgFour | cfgQuotaThree, 0}, {cfgByWeight, 0}, {cfgBoth | cfgQuotaThree, swStats},
		{cfgBoth, swInvalidate}, {cfgLarge | cfgIdle, 0}, {cfgFour | cfgIdleShort, swSecond},
		{cfgFour, swNoIndex}, {cfgDefault | cfgQuotaOne, swExact}, {cfgFour | cfgIdle, swSilent},
		{cfgBoth | cfgQuotaThree, swSilent},
	}
	var seeds [][]byte
	for _, cfg := range configs {
		for _, name := range slices.Sorted(maps.Keys(scenarios)) { // a seed keeps its number
			seeds = append(seeds, append(cfg[:len(cfg):len(cfg)], model.Encode(scenarios[name])...))
		}
	}
	return seeds
}

// A scenario whose operations do nothing would prove nothing.
func TestScenariosUseEveryKind(t *testing.T) {
	seen := map[model.Kind]bool{}
	for _, ops := range scenarios {
		for _, op := range model.Decode(model.Encode(ops)) {
			seen[op.Kind] = true
		}
	}
	for kind := range model.SelectEntries + 1 {
		if !seen[kind] {
			t.Errorf("no scenario has %v", kind)
		}
	}
}
