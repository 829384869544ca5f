package promcollector

import (
	"fmt"
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/metrics"
	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache"
)

// A Collector is a prometheus.Collector of one cache, server, client or keyring. It is safe for concurrent use and keeps what it
// tells of from being collected as garbage. The zero Collector is not usable. Registering a second of the same role and name is an
// error of Register.
type Collector struct {
	source *metrics.Source
	descs  map[*metrics.Family]*prometheus.Desc
}

// ForCache tells of a cache. The name, of 1 to 64 bytes, tells it apart from others of the program.
func ForCache[V any](name string, c *fastcache.Cache[V]) (*Collector, error) {
	return collector(metrics.Cache(name, c))
}

// ForMemory tells of a session.Memory. One that is the Store of a Server is told of by ForServer already.
func ForMemory(name string, m *session.Memory) (*Collector, error) {
	return collector(metrics.Memory(name, m))
}

// ForServer tells of a Server, how its Store fares, and what its session.Memory holds, if that is its Store. As
// tlscache.Server.Stats it looks at the hooks of installed Configs, which are not to be set meanwhile.
func ForServer(name string, s *tlscache.Server) (*Collector, error) {
	return collector(metrics.Server(name, s))
}

// ForClient tells of a Client and how its Store fares.
func ForClient(name string, c *tlscache.Client) (*Collector, error) {
	return collector(metrics.Client(name, c))
}

// ForKeyring tells of a Keyring: its secrets' ages and how its source fares. Ids and errors are not told.
func ForKeyring(name string, k *tlscache.Keyring) (*Collector, error) {
	return collector(metrics.Keyring(name, k))
}

func collector(source *metrics.Source, err error) (*Collector, error) {
	if err != nil {
		return nil, fmt.Errorf("promcollector: %w", err)
	}
	c := &Collector{source, make(map[*metrics.Family]*prometheus.Desc, len(source.Families))}
	always := prometheus.Labels{"name": source.Name, "role": source.Role}
	for _, f := range source.Families {
		var labels []string
		if f.Label != "" {
			labels = []string{f.Label}
		}
		c.descs[f] = prometheus.NewDesc(f.Name, f.Help, labels, always)
	}
	return c, nil
}

// Describe sends the descriptions, which are always the same.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		descs <- desc
	}
}

// Collect takes one Stats and sends what it says.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	for _, s := range c.source.Read() {
		to <- c.metric(s)
	}
}

func (c *Collector) metric(s metrics.Sample) prometheus.Metric {
	desc := c.descs[s.Family]
	if s.Family.Kind == metrics.Histogram {
		upTo, all := metrics.Cumulative(s.Spread)
		buckets := make(map[float64]uint64, len(upTo))
		for i, n := range upTo {
			buckets[metrics.Bounds[i]] = n
		}
		return prometheus.MustNewConstHistogram(desc, all, math.NaN(), buckets) // a Spread has no sum, and 0 would be a wrong one
	}
	kind := prometheus.GaugeValue
	if s.Family.Kind == metrics.Counter {
		kind = prometheus.CounterValue
	}
	if s.Family.Label == "" {
		return prometheus.MustNewConstMetric(desc, kind, s.Value)
	}
	return prometheus.MustNewConstMetric(desc, kind, s.Value, s.Label)
}
