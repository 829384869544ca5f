package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
	"github.com/sessioncache/sessioncache/fastcache"
)

// guarded is the number of sessions of the guarded cache: 16 shards, and some 10 MB.
const guarded = 65_536

type cache = fastcache.Cache[*workload.Session]

// An operation is what is counted. run does it for accesses of present sessions, or of new ones,
// and reports whether all was as it must be.
type operation struct {
	name    string
	noIndex bool
	fresh   bool // the accesses are to sessions that are not there
	run     func(c *cache, key fastcache.Key, s *workload.Session) bool
}

var operations = []operation{
	{name: "lookup-hit", run: lookup},
	{name: "lookup-miss", fresh: true, run: func(c *cache, key fastcache.Key, _ *workload.Session) bool {
		_, ok := c.Lookup(key)
		return !ok
	}},
	{name: "update-present", run: update},
	{name: "update-new", fresh: true, run: update},
	{name: "update-new/noindex", noIndex: true, fresh: true, run: update},
	{name: "take+update", run: takeUpdate},
	{name: "take+update/noindex", noIndex: true, run: takeUpdate},
	{name: "select-10", run: func(c *cache, key fastcache.Key, _ *workload.Session) bool {
		n := 0
		for range c.SelectSession(key.Partial) {
			n++
		}
		return n >= 10
	}},
	{name: "take-newest+update", run: func(c *cache, key fastcache.Key, _ *workload.Session) bool {
		k, s, ok := c.TakeNewest(key.Partial)
		return ok && c.Update(k, s) == nil
	}},
}

func lookup(c *cache, key fastcache.Key, s *workload.Session) bool {
	found, ok := c.Lookup(key)
	return ok && found == s
}

func update(c *cache, key fastcache.Key, s *workload.Session) bool { return c.Update(key, s) == nil }

func takeUpdate(c *cache, key fastcache.Key, s *workload.Session) bool {
	found, ok := c.Take(key)
	return ok && found == s && c.Update(key, s) == nil
}

// runChild fills a cache and does an operation so many times, "name,times".
func runChild(what string) error {
	name, times, _ := strings.Cut(what, ",")
	n, err := strconv.Atoi(times)
	if err != nil {
		return err
	}
	for _, op := range operations {
		if op.name == name {
			return op.repeat(n)
		}
	}
	return fmt.Errorf("no operation %q", name)
}

func (op operation) repeat(times int) error {
	l := workload.LoadOf(guarded)
	sessions := workload.NewSessions(guarded)
	c, err := fastcache.New(fastcache.Config[*workload.Session]{MaxSessions: guarded, TTL: workload.TTL, NoIndex: op.noIndex})
	if err != nil {
		return err
	}
	all := l.All()
	for i := range all.Len() {
		if err := c.Update(peers.SplitKey(all.Key(i)), &sessions[all.Number(i)]); err != nil {
			return err
		}
	}
	trace := l.Uniform(times)
	if op.fresh {
		trace = l.New(times)
	}
	if err := measured(op, c, trace, sessions); err != nil {
		return err
	}
	return c.Close()
}

// measured does the operations, and nothing else: callgrind counts while it runs.
//
//go:noinline
func measured(op operation, c *cache, trace *workload.Trace, sessions []workload.Session) error {
	for i := range trace.Len() {
		s := &sessions[0]
		if number := trace.Number(i); number != workload.Absent {
			s = &sessions[number]
		}
		if !op.run(c, peers.SplitKey(trace.Key(i)), s) {
			return fmt.Errorf("%s went wrong at access %d", op.name, i)
		}
	}
	return nil
}
