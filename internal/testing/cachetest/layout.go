package cachetest

import (
	"cmp"
	"fmt"
	"go/format"
	"slices"
	"strings"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/testing/model"
)

// A Layout is how a cache is made where no promise depends on it: caches of two layouts answer alike.
type Layout struct {
	Shards   int            // a power of two
	HashMask uint64         // what NewForTest takes
	Crowd    int            // see model.Config; of what Keys are called
	Keys     model.Universe // what the keys are called
	Scan     bool           // no index: what it is for is done by a scan for the newest value
}

func (l Layout) String() string {
	return fmt.Sprintf("cachetest.Layout{Shards: %d, HashMask: %#x, Crowd: %d, Keys: %v, Scan: %t}", l.Shards, l.HashMask, l.Crowd, l.Keys, l.Scan)
}

// other returns a layout with another number of shards and another hash, under which no more keys share a bucket.
func (l Layout) other() Layout {
	const xxhash, secret = ^uint64(0), ^uint64(0) &^ (1 << 40)
	out := Layout{Shards: 1, HashMask: xxhash, Keys: l.Keys}
	if l.Shards == 1 {
		out.Shards = 8
	}
	if l.HashMask == xxhash || l.Keys == model.Colliding {
		out.HashMask = secret
	}
	return out
}

// A Run is what it takes to repeat a run: everything but what an overflow evicts follows from it.
type Run struct {
	Config [2]byte // see Config
	Layout Layout
	Ops    []model.Op
}

// A Record is what a run showed.
type Record struct {
	Answers []model.Answer
	Late    int // how often time moved and a timer that was due had not run
}

// Record runs the operations, judged by the model, in a cache that open makes; it must run in a
// bubble. It calls check at every quiet point. A panic is a failure like others.
func (r Run) Record(open func(fastcache.Config[uint64], Layout) *fastcache.Cache[uint64],
	check func(*fastcache.Cache[uint64]) error) (rec Record, err error) {
	cfg, ref := r.Configs()
	cfg.NoIndex = cfg.NoIndex || r.Layout.Scan
	s, err := Open(cfg, ref, func(cfg fastcache.Config[uint64]) (*fastcache.Cache[uint64], error) {
		return open(cfg, r.Layout), nil
	})
	if err != nil {
		return Record{}, err
	}
	s.keys, s.scan = r.Layout.Keys, r.Layout.Scan
	s.another = func() (*fastcache.Cache[uint64], error) {
		cfg := cfg
		cfg.OnRemove = nil
		return open(cfg, r.Layout.other()), nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	err = s.Run(cfg, ref, r.Ops, func() error { return check(s.Cache) })
	return Record{s.log, s.late}, err
}

// Configs returns the configuration of the cache, but for its layout, and that of the model.
func (r Run) Configs() (fastcache.Config[uint64], model.Config) {
	cfg, ref := Config(r.Config[0], r.Config[1])
	ref.OneShard = ref.OneShard && r.Layout.Shards == 1
	ref.Crowd = r.Layout.Crowd
	return cfg, ref
}

// Source returns the source file of a test that repeats a run under some layouts, for package
// fastcache_test, which has sameAnswers. why becomes its comment.
func Source(config [2]byte, ops []model.Op, layouts []Layout, why string) string {
	var b strings.Builder
	b.WriteString("package fastcache_test\n\nimport (\n\t\"testing\"\n\n")
	b.WriteString("\t\"github.com/sessioncache/sessioncache/internal/testing/cachetest\"\n")
	b.WriteString("\t\"github.com/sessioncache/sessioncache/internal/testing/model\"\n)\n\n")
	for line := range strings.Lines(strings.TrimSpace(why)) {
		fmt.Fprintf(&b, "// %s\n", strings.TrimRight(line, "\n"))
	}
	b.WriteString("func TestFoundRunAgain(t *testing.T) {\n")
	b.WriteString(model.Source(ops))
	fmt.Fprintf(&b, "sameAnswers(t, [2]byte{%#x, %#x}, ops,\n", config[0], config[1])
	for _, l := range layouts {
		fmt.Fprintf(&b, "%v,\n", l)
	}
	b.WriteString(")\n}\n")
	text, err := format.Source([]byte(b.String()))
	if err != nil {
		return fmt.Sprintf("%s// not Go: %v\n", b.String(), err)
	}
	return string(text)
}

// newestFirst returns the sessions of a partial key by a scan. Values grow with each Update, so
// the largest is the newest.
func (s *Subject) newestFirst(partial string) []model.Entry {
	var all []model.Entry
	for k, v := range s.Cache.SelectSession(s.keys.OfPart(partial)) {
		all = append(all, model.Entry{Key: s.keys.Plain(model.Key(k)), Value: v})
	}
	sortNewestFirst(all)
	return all
}

// sortNewestFirst sorts by the values, which grow.
func sortNewestFirst(all []model.Entry) {
	slices.SortFunc(all, func(a, b model.Entry) int { return cmp.Compare(b.Value, a.Value) })
}

// scanNewest is what TakeNewest and TakeNewestKeepLast do, for a cache without the index.
func (s *Subject) scanNewest(partial string, keepLast bool) (model.Key, uint64, bool) {
	all := s.newestFirst(partial)
	if len(all) == 0 {
		return model.Key{}, 0, false
	}
	find := s.Take
	if keepLast && len(all) == 1 {
		find = s.Lookup // a use, as keeping the last is
	}
	v, ok := find(all[0].Key)
	return all[0].Key, v, ok
}
