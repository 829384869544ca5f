package fastcache_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/testing/cachetest"
	"github.com/sessioncache/sessioncache/internal/testing/model"
)

// boundsTried are the configurations whose answers must not depend on the layout. See cachetest.Config.
var boundsTried = []struct {
	name   string
	config [2]byte
}{
	{"none", [2]byte{0, 16}},
	{"none, silent", [2]byte{0, 32 | 2<<6}},
	{"idle", [2]byte{6 << 5, 16}},
	{"quota", [2]byte{3 << 3, 2 << 6}},
	{"tight", [2]byte{2, 2 << 6}},
	{"tight with quota", [2]byte{3 | 2<<3, 0}},
	{"weight", [2]byte{5, 8}},
	{"weight and count, idle", [2]byte{6 | 5<<5, 0}},
	{"tight, invalidating", [2]byte{2, 3}},
	{"weight and count, invalidating", [2]byte{6, 3 | 2<<6}},
}

// layoutsFor returns the layouts for a configuration. The first is what all others are compared
// with: one shard, and everything as in production.
func layoutsFor(config [2]byte) (all []cachetest.Layout) {
	cfg, _ := cachetest.Config(config[0], config[1])
	for _, shards := range []int{1, 8, 64, fastcache.Splitting} {
		for _, scan := range []bool{false, true} {
			if scan && cfg.MaxPerPartial > 0 {
				continue // a quota needs the index
			}
			all = append(all,
				cachetest.Layout{Shards: shards, HashMask: fastcache.HashGood, Scan: scan},
				cachetest.Layout{Shards: shards, HashMask: fastcache.HashConstant, Scan: scan},
				cachetest.Layout{Shards: shards, HashMask: fastcache.HashTruncated, Scan: scan},
				cachetest.Layout{Shards: shards, HashMask: fastcache.HashSecret, Scan: scan},
				cachetest.Layout{Shards: shards, HashMask: fastcache.HashSecret, Scan: scan, Keys: model.Colliding},
				cachetest.Layout{Shards: shards, HashMask: fastcache.HashGood, Crowd: fastcache.CrowdLimit, Scan: scan, Keys: model.Colliding})
		}
	}
	return all
}

// The model builds the colliding keys by arithmetic, for it imports no library to check them with.
func TestCollidingUniverseCollides(t *testing.T) {
	parts, sums := map[string]bool{}, map[uint64]bool{}
	for p := range uint8(16) {
		for id := range 256 {
			plain := model.Op{Partial: p, ID: uint8(id)}.Key()
			for _, part := range []string{plain.Partial, plain.ID} {
				if len(part) <= model.MaxKeyPart {
					renamed := model.Colliding.OfPart(part)
					parts[renamed], sums[xxhash.Sum64String(renamed)] = true, true
				}
			}
		}
	}
	if len(parts) < 256 || len(sums) != 1 {
		t.Errorf("%d parts of keys have %d sums; want 256 at least with 1", len(parts), len(sums))
	}
	for i := range uint64(1000) {
		sum := i * 0x9e3779b97f4a7c15
		if got := xxhash.Sum64String(model.WithXXH64(sum)); got != sum {
			t.Fatalf("a string made to have the sum %#x has %#x", sum, got)
		}
	}
}

// randomOps returns a run from few keys, so that operations meet, or from many. No All is stopped:
// what it has shown by then depends on the layout, and so would what the reference knows of idle
// deadlines and advances to.
func randomOps(seed uint64) []model.Op {
	random := rand.New(rand.NewPCG(seed, 0))
	data := make([]byte, 4*(50+random.IntN(150)))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	ops := model.Decode(data)
	for i, op := range ops {
		if op.Kind == model.All || op.Kind == model.Entries {
			ops[i].Value = 0
		}
	}
	if partials, ids := 1+random.IntN(16), 1+random.IntN(24); random.IntN(4) > 0 {
		for i := range ops {
			ops[i].Partial %= uint8(partials)
			ops[i].ID %= uint8(ids)
			if ops[i].Kind == model.Close || ops[i].Kind == model.Fill && i%8 != 0 {
				ops[i].Kind = model.Lookup
			}
		}
	}
	return ops
}

// The same operations get the same answers whatever the number of shards, the hash, the bytes of
// the keys and the way to find the sessions of a partial key.
func TestAnswersDoNotDependOnTheLayout(t *testing.T) {
	fastcache.SkipUnderRace(t)
	const rounds = 3
	for _, bounds := range boundsTried {
		t.Run(bounds.name, func(t *testing.T) {
			for range rounds {
				seed := rand.Uint64()
				ops := randomOps(seed)
				layouts := layoutsFor(bounds.config)
				if err := compare(t, bounds.config, ops, layouts); err != nil {
					t.Fatal(foundAgain(t, bounds.config, ops, err.(disagreement),
						fmt.Sprintf("found with bounds %s by randomOps(%#x)", bounds.name, seed)))
				}
			}
		})
	}
}

// What this test has found, in its shortest form. Sessions that expired in the tick under way, in
// another shard, are no reason to keep what an overflow clears: layouts may differ in that, and
// answers must agree again when both are empty.
func TestAnswersAgreeAgainAfterAClear(t *testing.T) {
	ops := []model.Op{
		{Kind: model.Update},                              // Update{"" ""} weight 1
		{Kind: model.Update, Partial: 1, ID: 1},           // Update{"a" "b"} weight 1
		{Kind: model.Advance, Partial: 1, ID: 1, Time: 3}, // Advance to the next deadline
		{Kind: model.Update, Partial: 1, ID: 7},           // Update{"a" "id-7"} weight 1
		{Kind: model.Update, ID: 1},                       // Update{"" "b"} weight 1
		{Kind: model.Update, Partial: 1, ID: 9},           // Update{"a" "id-9"} weight 1
		{Kind: model.Clear},
		{Kind: model.Update, Partial: 1, ID: 9}, // Update{"a" "id-9"} weight 1
		{Kind: model.Select, Partial: 1},        // Select "a", stop after 0
	}
	for _, config := range [][2]byte{{2, 3}, {2, 0}} {
		sameAnswers(t, config, ops, layoutsFor(config)...)
	}
}

// A timer that is due and has not run, as on a busy machine, changes no answer. One processor is
// what lets the test get ahead of the timer.
func TestLateTimersChangeNoAnswer(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	late, steps := 0, []uint8{2, 3, 3, 5, 5, 5, 6, 9}
	for _, bounds := range boundsTried {
		t.Run(bounds.name, func(t *testing.T) {
			for i, l := range layoutsFor(bounds.config) {
				if fastcache.Raced && i%4 != 1 {
					continue // it is slow on one processor
				}
				seed := rand.Uint64()
				ops := randomOps(seed)
				for j := 1; j < len(ops); j += 3 {
					ops[j] = model.Op{Kind: model.Advance, Value: 3, Time: steps[j%len(steps)]}
				}
				rec, err := record(t, cachetest.Run{Config: bounds.config, Layout: l, Ops: ops})
				if err != nil {
					t.Fatal(foundAgain(t, bounds.config, ops, disagreement{[]cachetest.Layout{l}, err},
						fmt.Sprintf("found with bounds %s, layout %d and %#x", bounds.name, i, seed)))
				}
				late += rec.Late
			}
		})
	}
	t.Logf("%d timers were late", late)
	if late < 50 {
		t.Errorf("%d timers were late; want 50 at least", late)
	}
}

// The printed test must compile, or it cannot be used when it matters.
func TestFoundRunIsATest(t *testing.T) {
	if testing.Short() || fastcache.Raced {
		t.Skip("needs go vet, which takes seconds")
	}
	ops := randomOps(1)
	for _, kind := range []model.Kind{model.Fill, model.Close} {
		ops = append(ops, model.Op{Kind: kind})
	}
	source := cachetest.Source([2]byte{1, 2}, ops, layoutsFor([2]byte{}), "found by\nsomebody")
	if out, err := vetWith(t, source); err != nil {
		t.Errorf("go vet: %v\n%s\n%s", err, out, source)
	}
	if out, err := vetWith(t, strings.Replace(source, "sameAnswers(t, [2]byte", "sameAnswers(t, [3]byte", 1)); err == nil {
		t.Errorf("go vet did not look at the test: %s", out)
	}
}

// vetWith runs go vet with one more file in this package.
func vetWith(t *testing.T, source string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	file, overlay := filepath.Join(dir, "found_test.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(here, "found_test.go"): file}})
	if err := errors.Join(err, os.WriteFile(file, []byte(source), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("go", "vet", "-overlay", overlay, ".").CombinedOutput()
	return string(out), err
}
