package metrics

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache"
)

// Each field is set in turn, and a sample must change. A field that Stats gains is red here until it has a row or a reason.
func TestEveryFieldOfAStatsIsTold(t *testing.T) {
	told(t, cacheRows, nil)
	told(t, storeRows, nil)
	told(t, serverRows, nil)
	told(t, clientRows, nil)
	told(t, keyringRows, map[string]string{
		"Active":  "an id, of which a gauge tells nothing",
		"Failure": "a text, which is no label",
	})
}

func told[S any](t *testing.T, rows []row[S], left map[string]string) {
	t.Helper()
	var st S
	zero := values(rows, st)
	seen := map[string]bool{}
	eachField(reflect.ValueOf(&st).Elem(), "", func(name string) {
		seen[name] = true
		changed := !maps.Equal(values(rows, st), zero)
		if _, ok := left[name]; changed == ok {
			t.Errorf("%T.%s: told: %v, on the list of what is not: %v; want one of them", st, name, changed, ok)
		}
	})
	for name := range left {
		if !seen[name] {
			t.Errorf("%T has no field %s, which is on the list of what is not told", st, name)
		}
	}
}

// values are the samples of a Stats.
func values[S any](rows []row[S], st S) map[Sample]bool {
	all := map[Sample]bool{}
	for i := range rows {
		if rows[i].spread != nil {
			all[Sample{Family: &rows[i].Family, Spread: rows[i].spread(st)}] = true
			continue
		}
		rows[i].read(st, func(label string, v float64) { all[Sample{Family: &rows[i].Family, Label: label, Value: v}] = true })
	}
	return all
}

// eachField sets each field in turn, and those of structs in it, and calls look.
func eachField(v reflect.Value, path string, look func(name string)) {
	for i := range v.NumField() {
		field, name := v.Field(i), path+v.Type().Field(i).Name
		switch field.Kind() {
		case reflect.Struct:
			eachField(field, name+".", look)
			continue
		case reflect.Uint64, reflect.Uint32:
			field.SetUint(7)
		case reflect.Int, reflect.Int64:
			field.SetInt(int64(7 * time.Second))
		case reflect.Bool:
			field.SetBool(true)
		case reflect.String:
			field.SetString("text")
		case reflect.Map:
			field.Set(reflect.ValueOf(map[tlscache.MissReason]uint64{tlscache.MissRevoked: 7}))
		default:
			panic("a field of a kind that this test does not know: " + name)
		}
		look(name)
		field.SetZero()
	}
}

// Prometheus takes a counter that falls for one of a new process, and adds all of it to a rate.
func TestCountersNeverFall(t *testing.T) {
	declined := uint64(5)
	s, err := newSource("x", "server", serverRows, func() tlscache.ServerStats {
		return tlscache.ServerStats{Misses: map[tlscache.MissReason]uint64{tlscache.MissDeclined: declined}}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []struct{ declined, want uint64 }{{5, 5}, {3, 5}, {6, 6}} {
		declined = now.declined
		for _, sm := range s.Read() {
			if sm.Label == "declined" && sm.Value != float64(now.want) {
				t.Errorf("declined is %v when the Stats have %d; want %d", sm.Value, now.declined, now.want)
			}
		}
	}
}

func TestMissReasonsAreAllThere(t *testing.T) {
	var labels []string
	misses(nil, func(label string, _ uint64) { labels = append(labels, label) })
	if slices.Contains(labels, "invalid") || (tlscache.MissDeclined+1).String() != "invalid" {
		t.Errorf("the reasons are %q; want every MissReason and no other", labels)
	}
}

func TestNilAndBadNamesAreErrors(t *testing.T) {
	m, err := session.NewMemory(session.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for want, open := range map[string]func() (*Source, error){
		"cache is nil":    func() (*Source, error) { return Cache[int]("x", nil) },
		"memory is nil":   func() (*Source, error) { return Memory("x", nil) },
		"Server is nil":   func() (*Source, error) { return Server("x", nil) },
		"Client is nil":   func() (*Source, error) { return Client("x", nil) },
		"Keyring is nil":  func() (*Source, error) { return Keyring("x", nil) },
		"name is empty":   func() (*Source, error) { return Memory("", m) },
		"want at most 64": func() (*Source, error) { return Memory(strings.Repeat("x", 65), m) },
		"not valid UTF-8": func() (*Source, error) { return Memory("\xff", m) },
	} {
		if _, err := open(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; want one that says %q", err, want)
		}
	}
}

func TestCumulativeCountsUpwards(t *testing.T) {
	upTo, all := Cumulative(fastcache.Spread{Second: 1, Minute: 2, TenMinutes: 3, Hour: 4, SixHours: 5, Day: 6, Longer: 7})
	if want := [...]uint64{1, 3, 6, 10, 15, 21}; upTo != want || all != 28 {
		t.Errorf("Cumulative = %v, %d; want %v, 28", upTo, all, want)
	}
}
