package model

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// logOf runs operations through a mapCache, and does not mind what the reference says.
func logOf(cfg Config, fault string, ops []Op) []Answer {
	log, _ := Record(newMapCache(cfg, fault), NewReference(cfg), ops)
	return log
}

func TestDiffAcceptsEqualRuns(t *testing.T) {
	for i, cfg := range configs {
		ops := randomOps(rand.New(rand.NewPCG(1, uint64(i))), 300)
		cfg.Reports = true
		a, b := logOf(cfg, "", ops), logOf(cfg, "", ops)
		for _, sameVictims := range []bool{false, true} {
			if err := Diff(a, b, cfg, sameVictims); err != nil {
				t.Error(err)
			}
		}
	}
}

var (
	stored  = Op{Kind: Update, Partial: 1, ID: 1}
	another = Op{Kind: Update, Partial: 1, ID: 2}
	cleared = Op{Kind: Clear}
	looked  = Op{Kind: Lookup, Partial: 1, ID: 1}
	evicts  = []Removal{gone(keyA, valueA, Evicted, 0)}
	crowds  = []Removal{gone(keyA, valueA, Crowded, 0)}
	evicts2 = []Removal{gone(keyB, valueB, Evicted, 0)}
)

// answer is a settled one.
func answer(op Op, size int, gone []Removal, got ...any) Answer {
	return Answer{Op: op, got: got, gone: gone, settled: true, size: size, exact: true}
}

// comparedRuns are pairs of runs; what is the beginning of the difference that counts, "" for none.
var comparedRuns = []struct {
	name        string
	sameVictims bool
	a, b        []Answer
	what        string
}{
	{"another value", false, []Answer{answer(looked, 0, nil, uint64(1), true)}, []Answer{answer(looked, 0, nil, uint64(2), true)}, "operation 0: the answer"},
	{"another order of All", false,
		[]Answer{answer(Op{Kind: All}, 2, nil, []pair{{keyA, 1}, {keyB, 2}})},
		[]Answer{answer(Op{Kind: All}, 2, nil, []pair{{keyB, 2}, {keyA, 1}})}, ""},
	{"one less in All", false,
		[]Answer{answer(Op{Kind: All}, 2, nil, []pair{{keyA, 1}, {keyB, 2}})},
		[]Answer{answer(Op{Kind: All}, 2, nil, []pair{{keyB, 2}})}, "operation 0: the answer"},
	{"All stopped at another one", false,
		[]Answer{answer(Op{Kind: All, Value: 1}, 2, nil, []pair{{keyA, 1}})},
		[]Answer{answer(Op{Kind: All, Value: 1}, 2, nil, []pair{{keyB, 2}})}, ""},
	{"another deadline in Entries", false,
		[]Answer{answer(Op{Kind: Entries}, 1, nil, []Entry{{keyA, 1, 5}})},
		[]Answer{answer(Op{Kind: Entries}, 1, nil, []Entry{{keyA, 1, 6}})}, "operation 0: the answer"},
	{"another order of Select", false,
		[]Answer{answer(Op{Kind: Select}, 2, nil, []pair{{keyA, 1}, {keyB, 2}})},
		[]Answer{answer(Op{Kind: Select}, 2, nil, []pair{{keyB, 2}, {keyA, 1}})}, "operation 0: the answer"},
	{"another reason", false,
		[]Answer{answer(cleared, 0, []Removal{gone(keyA, valueA, Cleared, 0)}, 1)},
		[]Answer{answer(cleared, 0, []Removal{gone(keyA, valueA, Revoked, 0)}, 1)}, "operation 0: what was removed"},
	{"another order of removals", false,
		[]Answer{answer(cleared, 0, []Removal{gone(keyA, valueA, Cleared, 0), gone(keyB, valueB, Cleared, 0)}, 2)},
		[]Answer{answer(cleared, 0, []Removal{gone(keyB, valueB, Cleared, 0), gone(keyA, valueA, Cleared, 0)}, 2)}, ""},
	{"another size", false, []Answer{answer(stored, 1, nil, nil)}, []Answer{answer(stored, 2, nil, nil)}, "operation 0: the size"},
	{"another size that counts expired ones", false,
		[]Answer{answer(stored, 1, nil, nil)}, []Answer{{Op: stored, got: []any{nil}, settled: true, size: 2}}, ""},
	{"another victim", false, []Answer{answer(stored, 2, evicts, nil), answer(looked, 2, nil, false)},
		[]Answer{answer(stored, 2, evicts2, nil), answer(looked, 2, nil, true)}, ""},
	{"a victim of one hash", false, []Answer{answer(stored, 2, crowds, nil), answer(looked, 2, nil, false)},
		[]Answer{answer(stored, 3, nil, nil), answer(looked, 3, nil, true)}, ""},
	{"another victim where there is one choice", true, []Answer{answer(stored, 2, evicts, nil)},
		[]Answer{answer(stored, 2, evicts2, nil)}, "operation 0: what was removed"},
	{"another error after an eviction", false, []Answer{answer(stored, 2, evicts, nil), answer(another, 2, nil, nil)},
		[]Answer{answer(stored, 2, evicts, nil), answer(another, 2, nil, ErrBadTTL)}, "operation 1: the answer"},
	{"another size after an eviction and a store", false, []Answer{answer(stored, 2, evicts, nil), answer(another, 2, nil, nil)},
		[]Answer{answer(stored, 2, evicts2, nil), answer(another, 1, nil, nil)}, "operation 1: the size"},
	{"an eviction that something expired spared the other", false,
		[]Answer{answer(stored, 2, evicts, nil), answer(another, 2, nil, nil)},
		[]Answer{answer(stored, 1, []Removal{gone(keyB, valueB, Expired, 0)}, nil), answer(another, 2, nil, nil)}, ""},
	{"another size after an eviction and a Delete", false,
		[]Answer{answer(stored, 2, evicts, nil), answer(Op{Kind: Delete}, 2, nil, false), answer(another, 2, nil, nil)},
		[]Answer{answer(stored, 2, evicts2, nil), answer(Op{Kind: Delete}, 1, nil, true), answer(another, 2, nil, nil)}, ""},
	{"another answer after an eviction and a Clear", false,
		[]Answer{answer(stored, 2, evicts, nil), answer(cleared, 0, nil, 2), answer(looked, 0, nil, false)},
		[]Answer{answer(stored, 2, evicts2, nil), answer(cleared, 0, nil, 2), answer(looked, 0, nil, true)}, "operation 2: the answer"},
	{"another answer after a Clear at another time", false,
		[]Answer{answer(stored, 2, evicts, nil), answer(Op{Kind: Advance}, 2, nil, time.Second), answer(cleared, 0, nil, 2), answer(looked, 0, nil, 1)},
		[]Answer{answer(stored, 2, evicts2, nil), answer(Op{Kind: Advance}, 2, nil, time.Hour), answer(cleared, 0, nil, 2), answer(looked, 0, nil, 2)}, ""},
	{"another operation", true, []Answer{answer(stored, 1, nil)}, []Answer{answer(looked, 1, nil)}, "operation 0: the operation"},
	{"another length", true, []Answer{answer(stored, 1, nil)}, nil, "runs of 1 and 0"},
}

func TestDiffSeesWhatMustAgree(t *testing.T) {
	for _, tt := range comparedRuns {
		t.Run(tt.name, func(t *testing.T) {
			wantError(t, Diff(tt.a, tt.b, Config{MaxSessions: 2}, tt.sameVictims), tt.what)
		})
	}
}

func TestDiffPrintsBothAnswers(t *testing.T) {
	err := Diff([]Answer{answer(looked, 1, nil, uint64(0x10), true)}, []Answer{answer(looked, 0, nil, uint64(0), false)}, Config{}, true)
	for _, want := range []string{"Lookup{\"a\" \"b\"} = 0x10 true, size 1", "Lookup{\"a\" \"b\"} = 0x0 false, size 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Diff = %v; want %q in it", err, want)
		}
	}
}
