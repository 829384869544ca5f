package model

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestShrinkLeavesAHandfulOfOperations(t *testing.T) {
	for _, tt := range []struct {
		fault string
		most  int
	}{
		{"returns expired", 4},
		{"expires late", 2},
		{"oldest first", 3},
		{"delete leaves it", 2},
		{"take leaves it", 2},
		{"keeps none", 2},
		{"quota is one too many", 3},
		{"bound is one too many", 6},
		{"evicts one too many", 6},
		{"demote is ignored", 7},
		{"revokes all but one", 3},
		{"update keeps the deadline", 4},
		{"loses an update", 8},
		{"counts too many", 16}, // it counts to 16 itself
	} {
		t.Run(tt.fault, func(t *testing.T) {
			cfg := Config{TTL: time.Hour, Reports: true, OneShard: true, MaxPerPartial: 2, MaxSessions: 5}
			tries := 0
			fails := func(ops []Op) bool {
				tries++
				return Check(newMapCache(cfg, tt.fault), NewReference(cfg), ops) != nil
			}
			ops := failingRun(t, fails)
			short := Shrink(ops, fails)
			t.Logf("%d tries\n%s", tries, Source(short))
			if !fails(short) {
				t.Errorf("Shrink returned a run that does not fail")
			}
			if len(short) > tt.most {
				t.Errorf("Shrink left %d operations of %d; want at most %d", len(short), len(ops), tt.most)
			}
		})
	}
}

// failingRun returns 300 random operations that fail.
func failingRun(t *testing.T, fails func([]Op) bool) []Op {
	t.Helper()
	for seed := range uint64(100) {
		if ops := randomOps(rand.New(rand.NewPCG(seed, 0)), 300); fails(ops) {
			return ops
		}
	}
	t.Fatal("no run of 300 operations fails")
	return nil
}

func TestShrinkMakesOperationsPlain(t *testing.T) {
	ops := []Op{{Kind: UpdateTTL, Partial: 9, ID: 200, Value: 7, Time: 13}, {Kind: Advance, Partial: 3, Value: 15, Time: 9}}
	got := Shrink(ops, func(ops []Op) bool {
		stores := slices.ContainsFunc(ops, Op.stores)
		return stores && slices.ContainsFunc(ops, func(op Op) bool { return op.Racing() && op.Step() == time.Second })
	})
	if want := []Op{{Kind: Update}, {Kind: Advance, Value: 1, Time: 9}}; !slices.Equal(got, want) {
		t.Errorf("Shrink = %v; want %v", got, want)
	}
}

func TestShrinkOfARunThatPassesReturnsIt(t *testing.T) {
	ops, tries := make([]Op, 300), 0
	got := Shrink(ops, func([]Op) bool { tries++; return false })
	if !slices.Equal(got, ops) || tries != 1 {
		t.Errorf("Shrink left %d of %d operations after %d tries; want all after 1", len(got), len(ops), tries)
	}
}

// A failure that comes and goes must not shrink to nothing, nor for ever.
func TestShrinkIsBounded(t *testing.T) {
	ops := make([]Op, 5000)
	for i := range ops {
		ops[i] = Op{Kind: Lookup, Partial: 15, ID: 255, Value: 15, Time: 15}
	}
	tries := 0
	got := Shrink(ops, func(ops []Op) bool { tries++; return len(ops) >= 4990 })
	if tries > shrinkTries || len(got) < 4990 {
		t.Errorf("Shrink left %d operations after %d tries; want at least 4990 after at most %d", len(got), tries, shrinkTries)
	}
}
