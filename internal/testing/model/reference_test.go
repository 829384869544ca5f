package model

import (
	"strings"
	"testing"
	"time"
)

var (
	keyA = Key{"p", "a"}
	keyB = Key{"p", "b"}
)

// scenario is a reference with a and then b stored under one partial key, both for a second.
func scenario(t *testing.T, cfg Config) *Reference {
	t.Helper()
	cfg.Reports = true
	r := NewReference(cfg)
	for i, key := range []Key{keyA, keyB} {
		if err := r.update(&session{key: key, value: uint64(i+1) << 4}, time.Second, nil); err != nil {
			t.Fatal(err)
		}
		if err := r.judge(nil); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

const valueA, valueB = 1 << 4, 2 << 4

// judgedAnswers are what a subject may say of a scenario at a time, and what not.
var judgedAnswers = []struct {
	name  string
	cfg   Config
	now   time.Duration
	judge func(r *Reference) error
	want  string // part of the error, "" for none
}{
	{"a hit before the deadline", Config{}, time.Second - 1, func(r *Reference) error { return r.lookup(keyA, valueA, true) }, ""},
	{"a miss before the deadline", Config{}, time.Second - 1, func(r *Reference) error { return r.lookup(keyA, 0, false) }, "absent; want"},
	{"a hit at the deadline", Config{}, time.Second, func(r *Reference) error { return r.lookup(keyA, valueA, true) }, "want absent: expired"},
	{"a miss at the deadline", Config{}, time.Second, func(r *Reference) error { return r.lookup(keyA, 0, false) }, ""},
	{"another's value", Config{}, 0, func(r *Reference) error { return r.lookup(keyA, valueB, true) }, "want 0x10"},
	{"oldest first", Config{}, 0, func(r *Reference) error {
		return r.selected("p", []pair{{keyA, valueA}, {keyB, valueB}}, 0)
	}, "place 0"},
	{"newest first", Config{}, 0, func(r *Reference) error {
		return r.selected("p", []pair{{keyB, valueB}, {keyA, valueA}}, 0)
	}, ""},
	{"any order without the index", Config{NoIndex: true}, 0, func(r *Reference) error {
		return r.selected("p", []pair{{keyA, valueA}, {keyB, valueB}}, 0)
	}, ""},
	{"a loop that stops early", Config{}, 0, func(r *Reference) error { return r.selected("p", []pair{{keyB, valueB}}, 1) }, ""},
	{"one missing in All", Config{}, 0, func(r *Reference) error { return r.set(r.everything(), []pair{{keyB, valueB}}, 0) }, "missing"},
	{"one twice in All", Config{}, 0, func(r *Reference) error {
		return r.set(r.everything(), []pair{{keyB, valueB}, {keyA, valueA}, {keyA, valueA}}, 0)
	}, "twice"},
	{"size within the tick after a deadline", Config{}, time.Second + 5, func(r *Reference) error { return r.sized(2) }, ""},
	{"size of a crowd", Config{Crowd: 1}, 0, func(r *Reference) error { return r.sized(2) }, "share a bucket"},
	{"size a tick later", Config{}, time.Second + Tick + 1, func(r *Reference) error { return r.sized(2) }, "still there"},
	{"revoked, and one of two returned", Config{}, 0, func(r *Reference) error {
		return r.removeMany(r.newestFirst("p"), 1, Revoked)
	}, "removed 1; want 2"},
	{"Update with a TTL of 0", Config{}, 0, func(r *Reference) error { return r.update(&session{key: keyA, value: 3 << 4}, 0, nil) }, "want one of"},
	{"an error for nothing", Config{}, 0, func(r *Reference) error { return r.update(&session{key: keyA, value: 3 << 4}, 1, ErrClosed) }, "error model: closed"},
	{"idle: a miss inside the window", Config{IdleTTL: 640}, 635, func(r *Reference) error { return r.lookup(keyA, 0, false) }, ""},
	{"idle: a hit inside the window", Config{IdleTTL: 640}, 635, func(r *Reference) error { return r.lookup(keyA, valueA, true) }, ""},
	{"idle: a miss before the window", Config{IdleTTL: 640}, 629, func(r *Reference) error { return r.lookup(keyA, 0, false) }, "absent; want"},
	{"idle: a hit after the window", Config{IdleTTL: 640}, 640, func(r *Reference) error { return r.lookup(keyA, valueA, true) }, "want absent"},
	{"idle: gone stays gone", Config{IdleTTL: 640}, 635, func(r *Reference) error {
		if err := r.lookup(keyA, 0, false); err != nil {
			return err
		}
		return r.lookup(keyA, valueA, true)
	}, "want absent"},
	{"idle: a hit moves the window", Config{IdleTTL: 640}, 600, func(r *Reference) error {
		if err := r.lookup(keyA, valueA, true); err != nil {
			return err
		}
		r.now = 1229
		return r.lookup(keyA, 0, false)
	}, "absent; want"},
}

func TestReferenceJudgesAnswers(t *testing.T) {
	for _, tt := range judgedAnswers {
		t.Run(tt.name, func(t *testing.T) {
			r := scenario(t, tt.cfg)
			r.now = tt.now
			wantError(t, tt.judge(r), tt.want)
		})
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("the reference says %v; want nothing", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("the reference says %v; want %q", err, want)
	}
}

func gone(key Key, value uint64, why Reason, at time.Duration) Removal {
	return Removal{key, value, why, at}
}

var keyC = Key{"p", "c"}

const valueC = 3 << 4

func storeC(r *Reference) { _ = r.update(&session{key: keyC, value: valueC}, time.Second, nil) }
func nothing(*Reference)  {}

// judgedReports are removals that a subject may report after an operation on a scenario, and such
// that it may not.
var judgedReports = []struct {
	name    string
	cfg     Config
	now     time.Duration
	op      func(*Reference)
	reports []Removal
	want    string
}{
	{"evicted for room", Config{MaxSessions: 2}, 0, storeC, []Removal{gone(keyB, valueB, Evicted, 0)}, ""},
	{"evicted without need", Config{MaxSessions: 3}, 0, storeC, []Removal{gone(keyA, valueA, Evicted, 0)}, "no more victims"},
	{"two evicted for one", Config{MaxSessions: 2}, 0, storeC,
		[]Removal{gone(keyB, valueB, Evicted, 0), gone(keyA, valueA, Evicted, 0)}, "no more victims"},
	{"the newcomer evicted", Config{MaxSessions: 2}, 0, storeC, []Removal{gone(keyC, valueC, Evicted, 0)}, "nothing in this"},
	{"evicted by a Lookup", Config{MaxSessions: 2}, 0, nothing, []Removal{gone(keyA, valueA, Evicted, 0)}, "nothing in this"},
	{"the oldest of a crowd", Config{Crowd: 2}, 0, storeC, []Removal{gone(keyA, valueA, Crowded, 0)}, ""},
	{"another of a crowd", Config{Crowd: 2}, 0, storeC, []Removal{gone(keyB, valueB, Crowded, 0)}, "is older"},
	{"the newcomer of a crowd", Config{Crowd: 2}, 0, storeC, []Removal{gone(keyC, valueC, Crowded, 0)}, "nothing in this"},
	{"crowded without need", Config{Crowd: 3}, 0, storeC, []Removal{gone(keyA, valueA, Crowded, 0)}, "share a bucket"},
	{"crowded by one that is replaced", Config{Crowd: 2}, 0, func(r *Reference) {
		_ = r.update(&session{key: keyB, value: valueC}, time.Second, nil)
	}, []Removal{gone(keyB, valueB, Replaced, 0), gone(keyA, valueA, Crowded, 0)}, "share a bucket"},
	{"crowded under a secret hash", Config{}, 0, storeC, []Removal{gone(keyA, valueA, Crowded, 0)}, "share a bucket"},
	{"two crowded for one", Config{Crowd: 2}, 0, storeC,
		[]Removal{gone(keyA, valueA, Crowded, 0), gone(keyB, valueB, Crowded, 0)}, "share a bucket"},
	{"crowded, with another expired for a tick", Config{Crowd: 2}, time.Second + Tick, func(r *Reference) {
		r.resident[valueA].late *= 2
		storeC(r)
	}, []Removal{gone(keyA, valueA, Crowded, 0)}, "expired ones to go first"},
	{"the oldest over quota", Config{MaxPerPartial: 2}, 0, storeC, []Removal{gone(keyA, valueA, Quota, 0)}, ""},
	{"another over quota", Config{MaxPerPartial: 2}, 0, storeC, []Removal{gone(keyB, valueB, Quota, 0)}, "is older"},
	{"all cleared", Config{MaxSessions: 2, InvalidateAll: true}, 0, storeC,
		[]Removal{gone(keyB, valueB, Cleared, 0), gone(keyA, valueA, Cleared, 0)}, ""},
	{"one of two cleared", Config{MaxSessions: 2, InvalidateAll: true}, 0, storeC, []Removal{gone(keyB, valueB, Cleared, 0)}, "stays"},
	{"expired in time", Config{}, time.Second + Tick, nothing, []Removal{gone(keyA, valueA, Expired, time.Second+Tick)}, ""},
	{"expired early", Config{}, time.Second, nothing, []Removal{gone(keyA, valueA, Expired, time.Second-1)}, "not before"},
	{"expired late", Config{}, 2 * time.Second, nothing, []Removal{gone(keyA, valueA, Expired, time.Second+Tick+1)}, "at most a tick"},
	{"evicted though expired", Config{MaxSessions: 2}, time.Second, storeC, []Removal{gone(keyA, valueA, Evicted, 0)}, "want the reason expired"},
	{"evicted, with another expired for a tick", Config{MaxSessions: 2}, time.Second + Tick, func(r *Reference) {
		r.resident[valueB].late *= 2
		storeC(r)
	}, []Removal{gone(keyB, valueB, Evicted, 0)}, "expired ones to go first"},
	{"deleted, not reported", Config{}, 0, func(r *Reference) { _ = r.remove(keyA, valueA, true, Deleted) }, nil, "was not reported"},
	{"deleted, reported as taken", Config{}, 0, func(r *Reference) { _ = r.remove(keyA, valueA, true, Deleted) },
		[]Removal{gone(keyA, valueA, Taken, 0)}, "want the reason deleted"},
	{"twice", Config{}, time.Second, nothing,
		[]Removal{gone(keyA, valueA, Expired, time.Second), gone(keyA, valueA, Expired, time.Second)}, "a second time"},
	{"another key's value", Config{}, time.Second, nothing, []Removal{gone(keyA, valueB, Expired, time.Second)}, "want {"},
	{"never stored", Config{}, 0, nothing, []Removal{gone(keyA, 9, Expired, 0)}, "never stored"},
	{"no reason", Config{MaxSessions: 2}, 0, storeC, []Removal{gone(keyB, valueB, 0, 0)}, "nothing in this"},
	{"a demoted one spared", Config{MaxSessions: 2, OneShard: true}, 0, func(r *Reference) {
		_ = r.demote(keyB, true)
		storeC(r)
	}, []Removal{gone(keyA, valueA, Evicted, 0)}, "is demoted"},
}

func TestReferenceJudgesReports(t *testing.T) {
	for _, tt := range judgedReports {
		t.Run(tt.name, func(t *testing.T) {
			r := scenario(t, tt.cfg)
			r.now = tt.now
			tt.op(r)
			wantError(t, r.judge(tt.reports), tt.want)
		})
	}
}
