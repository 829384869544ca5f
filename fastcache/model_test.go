package fastcache_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/testing/cachetest"
	"github.com/sessioncache/sessioncache/internal/testing/model"
)

// Random operations in a random configuration answer as the plain reference does, under every
// hash, and leave table, slots, wheel, queues, index and counters in agreement after each one.
func TestEveryPromiseHoldsForRandomOperations(t *testing.T) {
	for name, mask := range map[string]uint64{
		"good": fastcache.HashGood, "constant": fastcache.HashConstant, "truncated": fastcache.HashTruncated,
		"secret": fastcache.HashSecret,
	} {
		if fastcache.Raced && name != "good" {
			continue // other hashes bring no other goroutines together
		}
		for _, shards := range []int{1, 8, fastcache.Splitting} {
			t.Run(fmt.Sprintf("hash=%s/shards=%d", name, shards), func(t *testing.T) {
				checkRandomRuns(t, cachetest.Layout{Shards: shards, HashMask: mask})
			})
		}
	}
	t.Run("hash=good, and that of all keys the same", func(t *testing.T) {
		checkRandomRuns(t, cachetest.Layout{Shards: 8, HashMask: fastcache.HashGood, Crowd: fastcache.CrowdLimit, Keys: model.Colliding})
	})
}

// checkRandomRuns prints the last failing run, which is rapid's shortest, as short as we get it.
func checkRandomRuns(t *testing.T, l cachetest.Layout) {
	var failed *cachetest.Run
	var fault error
	defer func() {
		if failed != nil { // rapid ends the test by Goexit
			t.Error(foundAgain(t, failed.Config, failed.Ops, disagreement{[]cachetest.Layout{l}, fault}, "found by rapid"))
		}
	}()
	rapid.Check(t, func(rt *rapid.T) {
		run := cachetest.Run{
			Config: [2]byte(rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(rt, "config")),
			Layout: l,
			Ops:    model.Decode(rapid.SliceOfN(rapid.Byte(), 4*100, 4*300).Draw(rt, "ops")),
		}
		if _, err := record(t, run); err != nil {
			failed, fault = &run, err
			rt.Fatal(err)
		}
	})
}

// record runs the operations in a bubble, judged by the reference and by the walker of invariants.
func record(t *testing.T, run cachetest.Run) (rec cachetest.Record, err error) {
	t.Helper()
	open := func(cfg fastcache.Config[uint64], l cachetest.Layout) *fastcache.Cache[uint64] {
		return fastcache.NewForTest(cfg, l.Shards, l.HashMask)
	}
	synctest.Test(t, func(*testing.T) {
		rec, err = run.Record(open, (*fastcache.Cache[uint64]).CheckInvariantsForTest)
	})
	return rec, err
}

// A disagreement is a run that fails in one layout, or answers differently in two.
type disagreement struct {
	layouts []cachetest.Layout
	error
}

// compare runs the operations in every layout and compares the answers with those of the first.
func compare(t *testing.T, config [2]byte, ops []model.Op, layouts []cachetest.Layout) error {
	t.Helper()
	var first []model.Answer
	for i, l := range layouts {
		run := cachetest.Run{Config: config, Layout: l, Ops: ops}
		rec, err := record(t, run)
		if err != nil {
			return disagreement{layouts[i : i+1], err}
		}
		if i == 0 {
			first = rec.Answers
			continue
		}
		cfg, ref := run.Configs()
		// Ghosts live in buckets by hash, so the layout chooses victims, but where all others go.
		noVictims := layouts[0].Shards == 1 && l.Shards == 1 && l.Crowd == 0 && cfg.Overflow == fastcache.InvalidateAll
		if err := model.Diff(first, rec.Answers, ref, noVictims); err != nil {
			return disagreement{[]cachetest.Layout{layouts[0], l}, err}
		}
	}
	return nil
}

// sameAnswers fails if the operations fail, or if their answers depend on the layout, with a
// short run that does.
func sameAnswers(t *testing.T, config [2]byte, ops []model.Op, layouts ...cachetest.Layout) {
	t.Helper()
	var d disagreement
	if err := compare(t, config, ops, layouts); errors.As(err, &d) {
		t.Fatal(foundAgain(t, config, ops, d, "found"))
	}
}

// foundAgain shrinks a failing run and returns what its failure says, with a test that repeats it.
func foundAgain(t *testing.T, config [2]byte, ops []model.Op, d disagreement, found string) string {
	t.Helper()
	attempt := func(ops []model.Op) (err error) {
		for try := 0; try < 3 && err == nil; try++ { // placement by a new seed, and timers, make a difference
			err = compare(t, config, ops, d.layouts)
		}
		return err
	}
	short := model.Shrink(ops, func(ops []model.Op) bool { return attempt(ops) != nil })
	again, hint := attempt(short), ""
	if again == nil {
		again, hint = d.error, " (it fails only now and then)"
	}
	return fmt.Sprintf("%v\nin %v\nTo repeat%s, save as fastcache/found_test.go:\n\n%s",
		again, d.layouts, hint, cachetest.Source(config, short, d.layouts, found))
}
