package scenario

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
	"github.com/sessioncache/sessioncache/fastcache"
)

var writeScenarios = []Scenario{
	{Name: "churn", Doc: "new sessions only, into a full cache of 100,000", Takes: evicts, Run: churn},
	{Name: "pairs", Doc: "take a session and store it again, over 1 M sessions (ns/op is for both)", Takes: notYardstick, Run: pairs},
	{Name: "growth", Doc: "the slowest single update while one writer fills an empty cache with 1 M sessions", Takes: real, Run: growth},
	{Name: "growth-unbounded", Doc: "the same with 10 M sessions in a cache without a bound on their number, in processor time; the empty call allocates nodes of that size and keeps them in an array", Takes: oursOrNone, Run: growthUnbounded},
	{Name: "client", Doc: "take the newest session of a host and store a newer one, 10,000 hosts; crypto/tls's LRU holds one per host", Takes: clients, Extra: []string{TLSLRU}, Run: client},
}

func evicts(p peers.Peer) bool {
	return bounded(p) || p.Class == peers.Bytes || p.Class == peers.Harness
}

// churn stores new sessions in a full cache, and then looks which of the newest it has.
func churn(env Env, p peers.Peer) ([]Result, error) {
	l := workload.LoadOf(env.scaled(100_000))
	c := open(p, l, workload.NewSessions(l.Sessions), false)
	defer c.Close()
	all := l.All()
	for i := range all.Len() {
		c.Set(strings.Clone(all.Key(i)), &c.sessions[all.Number(i)])
	}
	c.Flush()
	t := l.New(env.scaled(accesses))
	s := &c.sessions[0]
	runtime.GC()
	workers := processors()
	took := timeWorkers(workers, t.Len(), func(w int) {
		for i, to := part(t.Len(), w, workers); i < to; i++ {
			c.Set(t.Key(i), s)
		}
	})
	over := float64(c.Len())/float64(l.Sessions)*100 - 100
	kept := c.newestKept(l)
	if p.Class == peers.Ours && c.Len() != l.Sessions {
		return nil, fmt.Errorf("%s holds %d sessions after churn; want %d", p.Name, c.Len(), l.Sessions)
	}
	metrics := append(took.metrics(), Metric{kept * 100, "newest-kept-%"})
	if p.Bounded() {
		metrics = append(metrics, Metric{over, "over-bound-%"})
	}
	return []Result{{N: took.n, Metrics: metrics}}, nil
}

// newestKept stores as many new sessions as the cache has places for, one after the other, and
// returns the share of them that it then holds.
func (c filled) newestKept(l workload.Load) float64 {
	t := l.Newer(l.Sessions)
	for i := range t.Len() {
		c.Set(t.Key(i), &c.sessions[0])
	}
	c.Flush()
	kept := 0
	for i := range t.Len() {
		if _, ok := c.Get(t.Key(i)); ok {
			kept++
		}
	}
	return float64(kept) / float64(t.Len())
}

// pairs takes sessions and stores them again. Each worker has its own, each comes once per pass,
// and each pass has key bytes of its own.
func pairs(env Env, p peers.Peer) ([]Result, error) {
	c, err := fill(p, workload.LoadOf(env.million()))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	const passes = 2
	var all [passes]*workload.Trace
	for pass := range all {
		all[pass] = c.load.All()
	}
	sum := &tally{}
	workers := processors()
	took := timeWorkers(workers, passes*c.load.Sessions, func(w int) {
		gets, hits, wrong := 0, 0, 0
		for _, t := range all {
			for i, to := part(t.Len(), w, workers); i < to; i++ {
				s := &c.sessions[t.Number(i)]
				gets++
				if found, ok := c.Take(t.Key(i)); ok {
					hits++
					if found != s {
						wrong++
					}
				}
				c.Set(t.Key(i), s)
			}
		}
		sum.add(gets, hits, wrong)
	})
	if p.Class == peers.Ours || p.Class == peers.Floor {
		err = sum.check(p, true)
	}
	if sum.wrong != 0 {
		err = errors.Join(err, fmt.Errorf("%s: %d wrong sessions were taken", p.Name, sum.wrong))
	}
	return []Result{{N: took.n, Metrics: append(took.metrics(),
		Metric{float64(sum.hits) / float64(sum.gets) * 100, "hit-%"})}}, err
}

// growth fills an empty cache and times each update. The keys are made outside the clock, for
// peers keep them and fastcache copies them inside it.
func growth(env Env, p peers.Peer) ([]Result, error) {
	l := workload.LoadOf(env.million())
	c := open(p, l, workload.NewSessions(l.Sessions), true)
	defer c.Close()
	t := l.All()
	runtime.GC()
	var worst, sum time.Duration
	slow := 0
	for i := range t.Len() {
		key, s := strings.Clone(t.Key(i)), &c.sessions[t.Number(i)]
		began := time.Now()
		c.Set(key, s)
		took := time.Since(began)
		worst, sum = max(worst, took), sum+took
		if took > time.Millisecond {
			slow++
		}
	}
	return []Result{{N: t.Len(), Metrics: []Metric{
		{float64(sum.Nanoseconds()) / float64(t.Len()), "ns/op"},
		{float64(worst.Nanoseconds()), "worst-ns"},
		{float64(slow), "over-1ms"},
	}}}, nil
}

func oursOrNone(p peers.Peer) bool { return p.Name == "fastcache" || p.Class == peers.Harness }

// growthUnbounded is growth of a cache that does not know how large it will be. Processor time counts, for an update that
// grows must do its work in steps, however often other programs come between. The empty call allocates a node as a
// cache must and keeps it in an array made before: what is left of the worst update is the runtime's and the system's.
func growthUnbounded(env Env, p peers.Peer) ([]Result, error) {
	l := workload.LoadOf(env.scaled(10_000_000))
	update, end, err := unbounded(p, l.Sessions)
	if err != nil {
		return nil, err
	}
	defer end()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t, s := l.All(), new(workload.Session)
	runtime.GC()
	var worst, sum time.Duration
	slow := 0
	for i := range t.Len() {
		key := peers.SplitKey(t.Key(i))
		began := threadTime()
		err := update(key, s)
		took := threadTime() - began
		if err != nil {
			return nil, err
		}
		worst, sum = max(worst, took), sum+took
		if took > time.Millisecond {
			slow++
		}
	}
	return []Result{{N: t.Len(), Metrics: []Metric{
		{float64(sum.Nanoseconds()) / float64(t.Len()), "cpu-ns/op"},
		{float64(worst.Nanoseconds()), "worst-cpu-ns"},
		{float64(slow), "over-1ms"},
	}}}, nil
}

// unbounded opens a cache without a bound on the count, or, for the empty call, an array of nodes of the same size.
func unbounded(p peers.Peer, n int) (update func(fastcache.Key, *workload.Session) error, end func(), err error) {
	if p.Class == peers.Harness {
		type node struct {
			links   [3]*node
			session *workload.Session
			key     [96]byte
		}
		nodes, last := make([]*node, n), 0
		clear(nodes)
		return func(key fastcache.Key, s *workload.Session) error {
			made := &node{session: s}
			made.links[0] = nodes[max(last-1, 0)]
			copy(made.key[copy(made.key[:], key.Partial):], key.ID)
			nodes[last] = made
			last++
			return nil
		}, func() { runtime.KeepAlive(nodes) }, nil
	}
	c, err := fastcache.New(fastcache.Config[*workload.Session]{
		MaxWeight: math.MaxInt64,
		Weigh:     func(fastcache.Key, *workload.Session) int64 { return 1 },
	})
	if err != nil {
		return nil, nil, err
	}
	return c.Update, func() { c.Close() }, nil
}

// TLSLRU is crypto/tls's own client session cache, which only the client scenario can measure.
const TLSLRU = "crypto-tls-lru"

func clients(p peers.Peer) bool {
	return p.Name == "fastcache" || p.Name == "otter"
}

// client plays clients of hosts: each takes the newest session of a host and stores a newer one.
// With crypto/tls's LRU and with otter, a host has one session, under its name.
func client(env Env, p peers.Peer) ([]Result, error) {
	const perHost = 8
	hosts := env.scaled(10_000)
	l := workload.Load{Sessions: hosts * perHost, Hosts: hosts}
	connect, size := clientOf(p, hosts, l.Sessions)
	all, t := l.All(), l.Uniform(env.scaled(1<<21))
	for i := range all.Len() {
		connect(all.Key(i))
	}
	runtime.GC()
	workers := processors()
	sum := &tally{}
	took := timeWorkers(workers, t.Len(), func(w int) {
		hits := 0
		from, to := part(t.Len(), w, workers)
		for i := from; i < to; i++ {
			if connect(t.Key(i)) {
				hits++
			}
		}
		sum.add(to-from, hits, 0)
	})
	if size() < hosts || float64(sum.hits) < 0.99*float64(sum.gets) {
		return nil, fmt.Errorf("%s: %d of %d connections found a session, %d are left", p.Name, sum.hits, sum.gets, size())
	}
	return []Result{{N: took.n, Metrics: append(took.metrics(),
		Metric{float64(sum.hits) / float64(sum.gets) * 100, "hit-%"})}}, nil
}

// clientOf returns what a connection does with a cache, and the number of its sessions.
func clientOf(p peers.Peer, hosts, sessions int) (connect func(key string) (resumed bool), size func() int) {
	state := new(tls.ClientSessionState)
	switch p.Name {
	case TLSLRU:
		c := tls.NewLRUClientSessionCache(hosts)
		return func(key string) bool {
			host := key[:workload.PartialLen]
			_, ok := c.Get(host)
			c.Put(host, state)
			return ok
		}, func() int { return hosts }
	case "otter":
		s := new(workload.Session)
		c := p.Open(peers.Config{Capacity: hosts, TTL: workload.TTL})
		return func(key string) bool {
			host := key[:workload.PartialLen]
			_, ok := c.Get(host)
			c.Set(host, s)
			return ok
		}, c.Len
	}
	c, err := fastcache.New(fastcache.Config[*tls.ClientSessionState]{MaxSessions: sessions, TTL: workload.TTL})
	if err != nil {
		panic(err)
	}
	return func(key string) bool {
		k := peers.SplitKey(key)
		_, _, ok := c.TakeNewestKeepLast(k.Partial)
		if err := c.Update(k, state); err != nil {
			panic(err)
		}
		return ok
	}, c.Size
}
