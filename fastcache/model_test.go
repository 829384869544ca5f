package fastcache_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/cachetest"
	"github.com/sessioncache/sessioncache/internal/model"
)

// Random operations in a random configuration answer as the plain reference does, under every
// hash, and leave table, slots, wheel, queues, index and counters in agreement after each one.
func TestEveryPromiseHoldsForRandomOperations(t *testing.T) {
	for name, mask := range map[string]uint64{
		"good": fastcache.HashGood, "constant": fastcache.HashConstant, "truncated": fastcache.HashTruncated,
	} {
		for _, shards := range []int{1, 8} {
			t.Run(fmt.Sprintf("hash=%s/shards=%d", name, shards), func(t *testing.T) {
				rapid.Check(t, func(rt *rapid.T) {
					config := rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(rt, "config")
					ops := model.Decode(rapid.SliceOfN(rapid.Byte(), 4*100, 4*300).Draw(rt, "ops"))
					var err error
					synctest.Test(t, func(*testing.T) { err = runModel(config, ops, shards, mask) })
					if err != nil {
						rt.Fatal(err)
					}
				})
			})
		}
	}
}

func runModel(config []byte, ops []model.Op, shards int, mask uint64) error {
	cfg, ref := cachetest.Config(config[0], config[1])
	ref.OneShard = ref.OneShard && shards == 1
	s, err := cachetest.Open(cfg, ref, func(cfg fastcache.Config[uint64]) (*fastcache.Cache[uint64], error) {
		return fastcache.NewForTest(cfg, shards, mask), nil
	})
	if err != nil {
		return err
	}
	return s.Run(cfg, ref, ops, s.CheckInvariantsForTest)
}
