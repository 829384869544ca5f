package scenario

import (
	"fmt"
	"strings"
	"time"

	"github.com/sessioncache/sessioncache/benchmarks/internal/peers"
	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

var timeScenarios = []Scenario{
	{Name: "expiry", Doc: "1 M sessions expire evenly over 10 s: how far the cache's own count is behind the ideal one, and the processor time", Takes: expires, Run: expiry, Rounds: 3},
}

func expires(p peers.Peer) bool { return p.PerSessionTTL() || p.Class == peers.Harness }

// expiry stores sessions whose deadlines lie evenly over a span, and samples Len while they pass.
func expiry(env Env, p peers.Peer) ([]Result, error) {
	const span = 10 * time.Second
	l := workload.LoadOf(env.million())
	values := workload.NewSessions(l.Sessions)
	c := p.Open(peers.Config{
		Capacity: l.Sessions, Roomy: true, TTL: workload.TTL, PerSession: true, Sessions: values,
	})
	defer c.Close()
	t := l.All()
	gap := span / time.Duration(l.Sessions)
	first := time.Now().Add(4 * time.Second) // enough to store all
	deadline := func(i int) time.Time { return first.Add(time.Duration(i) * gap) }
	for i := range t.Len() {
		s := &values[t.Number(i)]
		s.TTL = time.Until(deadline(i))
		c.Set(strings.Clone(t.Key(i)), s)
		keepUp(c, i)
	}
	c.Flush()
	time.Sleep(time.Until(first.Add(-500 * time.Millisecond)))
	if n := c.Len(); p.Class != peers.Harness && n < l.Sessions*98/100 {
		return nil, fmt.Errorf("%s holds %d sessions before the first expires; want %d", p.Name, n, l.Sessions)
	}
	cpu := cpuTime()
	worst := lateness(c, l.Sessions, deadline)
	cpu = cpuTime() - cpu
	return []Result{{N: l.Sessions, Metrics: []Metric{
		{float64(worst.Nanoseconds()), "late-ns"},
		{float64(cpu.Nanoseconds()), "expiry-cpu-ns"},
		{float64(c.Len()), "left"},
	}}}, nil
}

// lateness samples the count every two milliseconds until nothing is left, or ten seconds after
// the last deadline, and returns how long the count was behind at most: the sessions leave in the
// order of their deadlines, so the count says which is the oldest left.
func lateness(c peers.Cache, n int, deadline func(int) time.Time) (worst time.Duration) {
	end := deadline(n).Add(10 * time.Second)
	for {
		now := time.Now() // before Len: that it takes long is not lateness
		left := c.Len()
		if left > 0 && left <= n {
			worst = max(worst, now.Sub(deadline(n-left)))
		}
		if now.After(end) || left == 0 && now.After(deadline(n)) {
			return worst
		}
		time.Sleep(2 * time.Millisecond)
	}
}
