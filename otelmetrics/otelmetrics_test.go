package otelmetrics_test

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/otelmetrics"
	"github.com/sessioncache/sessioncache/tlscache"
)

func collect(t *testing.T, reader *sdk.ManualReader) map[string]metricdata.Metrics {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	all := map[string]metricdata.Metrics{}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			all[m.Name] = m
		}
	}
	return all
}

func newMeter() (metric.Meter, *sdk.ManualReader) {
	reader := sdk.NewManualReader()
	return sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test"), reader
}

func TestACacheIsToldUntilItIsUnregistered(t *testing.T) {
	cache, err := fastcache.New[int](fastcache.Config[int]{RecordStats: true})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	key := fastcache.Key{Partial: "p", ID: "a"}
	if err := cache.Update(key, 1); err != nil {
		t.Fatal(err)
	}
	cache.Lookup(key)
	meter, reader := newMeter()
	unregister, err := otelmetrics.RegisterCache(meter, "pages", cache)
	if err != nil {
		t.Fatal(err)
	}
	all := collect(t, reader)
	lookups, entries := all["tls.session.lookups"], all["tls.session.entries"]
	if lookups.Unit != "{lookup}" || entries.Unit != "{session}" || all["tls.session.timer_lag"].Unit != "s" {
		t.Errorf("the units are %q, %q, %q; want {lookup}, {session}, s", lookups.Unit, entries.Unit, all["tls.session.timer_lag"].Unit)
	}
	sum, _ := lookups.Data.(metricdata.Sum[int64])
	if hits := valueOf(sum.DataPoints, "result", "hit"); hits != 1 || !sum.IsMonotonic {
		t.Errorf("hits: %d, monotonic: %v; want 1, true", hits, sum.IsMonotonic)
	}
	gauge, _ := entries.Data.(metricdata.Gauge[float64])
	if len(gauge.DataPoints) != 1 || gauge.DataPoints[0].Value != 1 {
		t.Errorf("entries: %v; want one point of 1", gauge.DataPoints)
	}
	if err := unregister(); err != nil {
		t.Fatal(err)
	}
	if left := collect(t, reader); len(left) != 0 {
		t.Errorf("%d metrics after unregister; want none", len(left))
	}
}

func valueOf(points []metricdata.DataPoint[int64], key, value string) int64 {
	for _, p := range points {
		name, _ := p.Attributes.Value("name")
		if v, ok := p.Attributes.Value(attribute.Key(key)); ok && v.AsString() == value && name.AsString() == "pages" {
			return p.Value
		}
	}
	return -1
}

func TestServersHaveASeriesPerMissReason(t *testing.T) {
	server, err := tlscache.NewServer(tlscache.ServerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	meter, reader := newMeter()
	if _, err := otelmetrics.RegisterServer(meter, "public", server); err != nil {
		t.Fatal(err)
	}
	sum, _ := collect(t, reader)["tls.session.misses"].Data.(metricdata.Sum[int64])
	if got := len(sum.DataPoints); got != int(tlscache.MissDeclined) {
		t.Errorf("%d points; want one for each of %d reasons", got, tlscache.MissDeclined)
	}
}

func TestNilIsAnError(t *testing.T) {
	meter, _ := newMeter()
	_, noServer := otelmetrics.RegisterServer(meter, "public", nil)
	_, noMeter := otelmetrics.RegisterKeyring(nil, "fleet", new(tlscache.Keyring))
	for want, err := range map[string]error{"otelmetrics: the Server is nil": noServer, "otelmetrics: the Meter is nil": noMeter} {
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("the error is %v; want %q", err, want)
		}
	}
}
