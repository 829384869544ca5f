// Package metrics is the one list of what promcollector and otelmetrics tell of caches, servers, clients and keyrings: names,
// units, help texts, and how each value is read from a Stats. It depends on no metrics library.
package metrics

import (
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/sessioncache/sessioncache/fastcache"
)

// Prefix begins every name.
const Prefix = "tlssession_"

// maxName bounds a Source's name, which is part of every series.
const maxName = 64

// A Kind says how a value moves.
type Kind uint8

// The kinds.
const (
	Counter   Kind = iota // only grows
	Gauge                 // goes up and down
	Histogram             // counts durations by their size
)

// A Family is a metric, of one value or of one for each value of Label.
type Family struct {
	Name  string // as Prometheus has it, Prefix and suffix included
	Unit  string // as OpenTelemetry has it: s, 1, {session}
	Help  string
	Kind  Kind
	Label string // empty: none
}

// A Sample is one value of a Family. Spread is set if that is a Histogram, Value otherwise.
type Sample struct {
	Family *Family
	Label  string // the value of Family.Label
	Value  float64
	Spread fastcache.Spread
}

// A row is a Family and how its values are read from a Stats.
type row[S any] struct {
	Family
	read   func(st S, emit func(label string, v float64))
	spread func(st S) fastcache.Spread // instead of read, of a Histogram
}

// A Source reads the samples of one cache, server, client or keyring. It is safe for concurrent use.
type Source struct {
	Name     string // tells several apart
	Role     string // cache, server, client or keyring: every series has it, as one family may be of several
	Families []*Family

	sample func() []Sample // takes one Stats

	mu struct {
		sync.Mutex
		highest map[series]float64
	}
}

type series struct {
	family *Family
	label  string
}

// Read takes one Stats and returns its samples. A counter never falls: what crypto/tls declined is counted as a difference that is
// higher while handshakes are under way, and Prometheus takes a counter that falls for one of a process that was started again.
func (s *Source) Read() []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	samples := s.sample()
	for i := range samples {
		if sm := &samples[i]; sm.Family.Kind == Counter {
			at := series{sm.Family, sm.Label}
			sm.Value = max(sm.Value, s.mu.highest[at])
			s.mu.highest[at] = sm.Value
		}
	}
	return samples
}

// newSource returns the Source that reads rows from what stats returns.
func newSource[S any](name, role string, rows []row[S], stats func() S) (*Source, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	s := &Source{Name: name, Role: role}
	s.mu.highest = make(map[series]float64)
	for i := range rows {
		s.Families = append(s.Families, &rows[i].Family)
	}
	s.sample = func() (samples []Sample) {
		st := stats()
		for i := range rows {
			r := &rows[i]
			if r.spread != nil {
				samples = append(samples, Sample{Family: &r.Family, Spread: r.spread(st)})
				continue
			}
			r.read(st, func(label string, v float64) {
				samples = append(samples, Sample{Family: &r.Family, Label: label, Value: v})
			})
		}
		return samples
	}
	return s, nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("name is empty; want one that tells this apart from others, such as \"public\"")
	case len(name) > maxName:
		return fmt.Errorf("name has %d bytes; want at most %d", len(name), maxName)
	case !utf8.ValidString(name):
		return errors.New("name is not valid UTF-8")
	}
	return nil
}

// count is a row of one counter.
func count[S any](name, unit, help string, read func(S) uint64) row[S] {
	return row[S]{
		Family: Family{Name: Prefix + name + "_total", Unit: unit, Help: help, Kind: Counter},
		read:   func(st S, emit func(string, float64)) { emit("", float64(read(st))) },
	}
}

// counts is a row of a counter for each value of label.
func counts[S any](name, unit, label, help string, read func(S, func(string, uint64))) row[S] {
	return row[S]{
		Family: Family{Name: Prefix + name + "_total", Unit: unit, Help: help, Kind: Counter, Label: label},
		read: func(st S, emit func(string, float64)) {
			read(st, func(value string, n uint64) { emit(value, float64(n)) })
		},
	}
}

// gauge is a row of one gauge.
func gauge[S any](name, unit, help string, read func(S) float64) row[S] {
	return row[S]{
		Family: Family{Name: Prefix + name, Unit: unit, Help: help, Kind: Gauge},
		read:   func(st S, emit func(string, float64)) { emit("", read(st)) },
	}
}

// histogram is a row of a histogram of seconds.
func histogram[S any](name, help string, read func(S) fastcache.Spread) row[S] {
	return row[S]{Family: Family{Name: Prefix + name, Unit: "s", Help: help, Kind: Histogram}, spread: read}
}

// within makes rows about a part of a Stats rows about the whole.
func within[S, P any](rows []row[P], part func(S) P) []row[S] {
	all := make([]row[S], len(rows))
	for i, r := range rows {
		all[i].Family = r.Family
		if r.spread != nil {
			all[i].spread = func(st S) fastcache.Spread { return r.spread(part(st)) }
			continue
		}
		all[i].read = func(st S, emit func(string, float64)) { r.read(part(st), emit) }
	}
	return all
}

// truth is 1 for true.
func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Bounds are the upper limits of a Spread's fields but for the last, in seconds.
var Bounds = [...]float64{1, 60, 600, 3600, 6 * 3600, 24 * 3600}

// Cumulative returns how many durations of a Spread were at most each of Bounds, and how many there are.
func Cumulative(s fastcache.Spread) (upTo [len(Bounds)]uint64, all uint64) {
	for i, n := range []uint64{s.Second, s.Minute, s.TenMinutes, s.Hour, s.SixHours, s.Day} {
		all += n
		upTo[i] = all
	}
	return upTo, all + s.Longer
}
