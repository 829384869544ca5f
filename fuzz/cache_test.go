package fuzz

import (
	"testing"
	"testing/synctest"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/testing/cachetest"
	"github.com/sessioncache/sessioncache/internal/testing/model"
)

// maxOps bounds a run, so that one input takes milliseconds.
const maxOps = 512

// configBytes is the length of what chooses the configuration.
const configBytes = 2

// FuzzCache checks that what a sequential user of fastcache sees is what the plain reference of
// internal/testing/model allows: promises 1 to 6, 8 and 10 as far as they need no second goroutine, exact
// deadlines and removals within a tick, and that each session stored is reported exactly once.
//
// An input is two bytes of configuration (see cachetest.Config) and four bytes for each operation (see
// model.Op). Every input runs in its own synctest bubble, which go test -fuzz allows: time moves only
// by Advance. A run closes its cache; one that failed leaves it, as Close might hang by then, and the
// bubble ends all the same.
//
// To search: go test ./fuzz -run '^$' -fuzz '^FuzzCache$'. To repeat: go test ./fuzz -run FuzzCache/NAME.
func FuzzCache(f *testing.F) {
	for _, seed := range cacheSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < configBytes {
			return
		}
		cfg, ref := cachetest.Config(data[0], data[1])
		ops := model.Decode(data[configBytes:min(len(data), configBytes+4*maxOps)])
		synctest.Test(t, func(t *testing.T) {
			s, err := cachetest.Open(cfg, ref, fastcache.New)
			if err == nil {
				err = s.Run(cfg, ref, ops, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	})
}

func TestModelHasOurReasons(t *testing.T) {
	for r := model.Deleted; r <= model.Crowded+1; r++ {
		ours, theirs := fastcache.Reason(r).String(), r.String()
		if ours != theirs {
			t.Errorf("reason %d is %s in fastcache and %s in the model", r, ours, theirs)
		}
	}
	if model.MaxKeyPart != fastcache.MaxKeyPart {
		t.Errorf("the model's keys have up to %d bytes; want %d", model.MaxKeyPart, fastcache.MaxKeyPart)
	}
}
