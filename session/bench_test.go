package session_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

// benchKeys are as many sessions as a default Memory holds, of as many hosts.
func benchKeys(n int) []session.Key {
	keys := make([]session.Key, n)
	for i := range keys {
		keys[i] = session.Key{Partial: fmt.Sprintf("host%05d.example.net:443", i), ID: fmt.Sprintf("%032x", i)}
	}
	return keys
}

func BenchmarkMemory(b *testing.B) {
	const held = 16384
	ctx := context.Background()
	keys := benchKeys(2 * held)
	record := make([]byte, 100)
	for _, bb := range []struct {
		name string
		do   func(m *session.Memory, i int) error
	}{
		{"Lookup", func(m *session.Memory, i int) error { _, err := m.Lookup(ctx, keys[i%held]); return err }},
		{"LookupLocal", func(m *session.Memory, i int) error { _, err := m.LookupLocal(keys[i%held]); return err }},
		{"Update/key=present", func(m *session.Memory, i int) error { return m.Update(ctx, keys[i%held], record, time.Hour) }},
		{"Update/key=any", func(m *session.Memory, i int) error { return m.Update(ctx, keys[i%(2*held)], record, time.Hour) }},
		{"UpdateLocal/confirmed=true", func(m *session.Memory, i int) error {
			return m.UpdateLocal(keys[i%(2*held)], session.Item{Bytes: record, Confirmed: true}, time.Hour)
		}},
		{"UpdateLocal/confirmed=false", func(m *session.Memory, i int) error {
			return m.UpdateLocal(keys[i%(2*held)], session.Item{Bytes: record}, time.Hour)
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			m := open(b, session.MemoryConfig{})
			for _, k := range keys[:held] {
				store(b, m, k, true)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := bb.do(m, i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
