// Package otelmetrics tells OpenTelemetry how a cache, a TLS server or client, or a keyring fares, by observable instruments: one
// Stats per collection. The instruments are those of promcollector under OpenTelemetry's rules, as in tls.session.handshakes for
// tlssession_handshakes_total, with the attributes name and role. Durations at a hit, which promcollector has as histograms, are
// counters with the attribute le, the bound in seconds, for there are no observable histograms. No attribute has a value that peers choose.
package otelmetrics

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/internal/metrics"
	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache"
)

// An Unregister ends what a Register function began. It may be called more than once.
type Unregister func() error

// RegisterCache tells of a cache. The name, of 1 to 64 bytes, tells it apart from others of the program: two with one name and
// role overwrite each other's values, which OpenTelemetry does not report.
func RegisterCache[V any](meter metric.Meter, name string, c *fastcache.Cache[V]) (Unregister, error) {
	source, err := metrics.Cache(name, c)
	return register(meter, source, err)
}

// RegisterMemory tells of a session.Memory. One that is the Store of a Server is told of by RegisterServer already.
func RegisterMemory(meter metric.Meter, name string, m *session.Memory) (Unregister, error) {
	source, err := metrics.Memory(name, m)
	return register(meter, source, err)
}

// RegisterServer tells of a Server, how its Store fares, and what its session.Memory holds, if that is its Store.
func RegisterServer(meter metric.Meter, name string, s *tlscache.Server) (Unregister, error) {
	source, err := metrics.Server(name, s)
	return register(meter, source, err)
}

// RegisterClient tells of a Client and how its Store fares.
func RegisterClient(meter metric.Meter, name string, c *tlscache.Client) (Unregister, error) {
	source, err := metrics.Client(name, c)
	return register(meter, source, err)
}

// RegisterKeyring tells of a Keyring: its secrets' ages and how its source fares. Ids and errors are not told.
func RegisterKeyring(meter metric.Meter, name string, k *tlscache.Keyring) (Unregister, error) {
	source, err := metrics.Keyring(name, k)
	return register(meter, source, err)
}

// instruments are those of a Source's families; each family has one of the two.
type instruments struct {
	counters map[*metrics.Family]metric.Int64ObservableCounter
	gauges   map[*metrics.Family]metric.Float64ObservableGauge
	all      []metric.Observable
}

func register(meter metric.Meter, source *metrics.Source, err error) (Unregister, error) {
	if err == nil && meter == nil {
		err = errors.New("the Meter is nil")
	}
	if err != nil {
		return nil, fmt.Errorf("otelmetrics: %w", err)
	}
	in, err := newInstruments(meter, source.Families)
	if err != nil {
		return nil, fmt.Errorf("otelmetrics: %w", err)
	}
	base := []attribute.KeyValue{attribute.String("name", source.Name), attribute.String("role", source.Role)}
	registration, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, s := range source.Read() {
			in.observe(o, s, base)
		}
		return nil
	}, in.all...)
	if err != nil {
		return nil, fmt.Errorf("otelmetrics: %w", err)
	}
	return registration.Unregister, nil
}

func newInstruments(meter metric.Meter, families []*metrics.Family) (*instruments, error) {
	in := &instruments{map[*metrics.Family]metric.Int64ObservableCounter{}, map[*metrics.Family]metric.Float64ObservableGauge{}, nil}
	for _, f := range families {
		if f.Kind == metrics.Gauge {
			g, err := meter.Float64ObservableGauge(nameOf(f), metric.WithUnit(f.Unit), metric.WithDescription(f.Help))
			if err != nil {
				return nil, err
			}
			in.gauges[f], in.all = g, append(in.all, g)
			continue
		}
		unit := f.Unit
		if f.Kind == metrics.Histogram {
			unit = "{session}" // it counts sessions; the bounds are seconds
		}
		c, err := meter.Int64ObservableCounter(nameOf(f), metric.WithUnit(unit), metric.WithDescription(f.Help))
		if err != nil {
			return nil, err
		}
		in.counters[f], in.all = c, append(in.all, c)
	}
	return in, nil
}

// nameOf returns a family's name without what OpenTelemetry leaves to the kind and the unit.
func nameOf(f *metrics.Family) string {
	name := strings.TrimSuffix(strings.TrimPrefix(f.Name, metrics.Prefix), "_total")
	return "tls.session." + strings.TrimSuffix(name, "_seconds")
}

func (in *instruments) observe(o metric.Observer, s metrics.Sample, base []attribute.KeyValue) {
	with := func(key, value string) metric.MeasurementOption {
		if key == "" {
			return metric.WithAttributes(base...)
		}
		return metric.WithAttributes(append(base[:len(base):len(base)], attribute.String(key, value))...)
	}
	switch s.Family.Kind {
	case metrics.Gauge:
		o.ObserveFloat64(in.gauges[s.Family], s.Value, with(s.Family.Label, s.Label))
	case metrics.Counter:
		o.ObserveInt64(in.counters[s.Family], int64(s.Value), with(s.Family.Label, s.Label))
	case metrics.Histogram:
		upTo, all := metrics.Cumulative(s.Spread)
		for i, n := range upTo {
			o.ObserveInt64(in.counters[s.Family], int64(n), with("le", strconv.FormatFloat(metrics.Bounds[i], 'f', -1, 64)))
		}
		o.ObserveInt64(in.counters[s.Family], int64(all), with("le", "+Inf"))
	}
}
