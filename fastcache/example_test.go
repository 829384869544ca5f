package fastcache_test

import (
	"encoding/json"
	"errors"
	"expvar"
	"fmt"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// The first example of the README.
func Example() {
	cache, err := fastcache.New(fastcache.Config[*Session]{MaxSessions: 100_000, TTL: time.Hour})
	if err != nil {
		panic(err)
	}
	defer cache.Close()

	key := fastcache.Key{Partial: "example.net:443", ID: "b3f1"}
	cache.Update(key, &Session{Cipher: "TLS_AES_128_GCM_SHA256"})
	if s, ok := cache.Lookup(key); ok {
		fmt.Println("resumes with", s.Cipher)
	}
	fmt.Println("revoked:", cache.DeletePartial("example.net:443"))
	// Output:
	// resumes with TLS_AES_128_GCM_SHA256
	// revoked: 1
}

// A Session stands for what the examples cache.
type Session struct{ Cipher string }

func ExampleCache_SelectSession() {
	cache, _ := fastcache.New(fastcache.Config[string]{})
	defer cache.Close()
	for _, id := range []string{"1", "2", "3"} {
		cache.Update(fastcache.Key{Partial: "example.net:443", ID: id}, "session "+id)
	}
	cache.Update(fastcache.Key{Partial: "example.org:443", ID: "4"}, "session 4")

	for key, session := range cache.SelectSession("example.net:443") {
		fmt.Println(key.ID, session)
	}
	// Output:
	// 3 session 3
	// 2 session 2
	// 1 session 1
}

func ExampleCache_TakeNewest() {
	cache, _ := fastcache.New(fastcache.Config[string]{})
	defer cache.Close()
	cache.Update(fastcache.Key{Partial: "example.net:443", ID: "1"}, "old ticket")
	cache.Update(fastcache.Key{Partial: "example.net:443", ID: "2"}, "new ticket")

	_, ticket, _ := cache.TakeNewest("example.net:443")
	fmt.Println(ticket)
	_, ticket, _ = cache.TakeNewest("example.net:443")
	fmt.Println(ticket)
	_, _, ok := cache.TakeNewest("example.net:443")
	fmt.Println(ok)
	// Output:
	// new ticket
	// old ticket
	// false
}

func ExampleConfig_onRemove() {
	reports := make(chan fastcache.Removal[string])
	cache, _ := fastcache.New(fastcache.Config[string]{
		MaxSessions: 1,
		OnRemove:    func(r fastcache.Removal[string]) { reports <- r },
	})
	cache.Update(fastcache.Key{Partial: "a", ID: "1"}, "first")
	cache.Update(fastcache.Key{Partial: "a", ID: "2"}, "second") // there is room for one

	r := <-reports
	fmt.Println(r.Value, r.Reason)
	// Output: first evicted
}

func ExampleFoldl() {
	cache, _ := fastcache.New(fastcache.Config[int]{})
	defer cache.Close()
	for i := range 5 {
		cache.Update(fastcache.Key{Partial: "a", ID: fmt.Sprint(i)}, i)
	}
	sum := fastcache.Foldl(cache, func(_ fastcache.Key, value, acc int) int { return acc + value }, 0)
	fmt.Println(sum)
	// Output: 10
}

// Take is for what may be used once, such as a ticket that allows early data.
func ExampleCache_Take() {
	cache, _ := fastcache.New(fastcache.Config[string]{})
	defer cache.Close()
	key := fastcache.Key{Partial: "example.net:443", ID: "1"}
	cache.Update(key, "ticket")

	for range 2 {
		ticket, ok := cache.Take(key)
		fmt.Printf("%q %v\n", ticket, ok)
	}
	// Output:
	// "ticket" true
	// "" false
}

// UpdateTTL takes the life that the peer announced.
func ExampleCache_UpdateTTL() {
	cache, _ := fastcache.New(fastcache.Config[string]{TTL: 24 * time.Hour})
	defer cache.Close()
	key := fastcache.Key{Partial: "example.net:443", ID: "1"}
	if err := cache.UpdateTTL(key, "ticket", 2*time.Hour); err != nil {
		fmt.Println(err)
		return
	}
	e, _ := cache.Peek(key)
	fmt.Println(time.Until(e.Expires).Round(time.Hour))
	// Output: 2h0m0s
}

// LookupOrUpdate accepts a nonce once, however many requests carry it at the same time.
func ExampleCache_LookupOrUpdate() {
	seen, _ := fastcache.New(fastcache.Config[struct{}]{NoIndex: true})
	defer seen.Close()
	accept := func(nonce string) bool {
		_, found, err := seen.LookupOrUpdate(fastcache.Key{ID: nonce}, struct{}{}, 10*time.Minute)
		return !found && err == nil
	}
	fmt.Println(accept("n-1"), accept("n-2"), accept("n-1"))
	// Output: true true false
}

// Touch prolongs a session that is in use, without a new value.
func ExampleCache_Touch() {
	cache, _ := fastcache.New(fastcache.Config[string]{TTL: time.Hour})
	defer cache.Close()
	key := fastcache.Key{Partial: "alice", ID: "1"}
	_ = cache.Update(key, "session")
	fmt.Println(cache.Touch(key, 12*time.Hour))
	e, _ := cache.Peek(key)
	fmt.Println(time.Until(e.Expires).Round(time.Hour))
	// Output:
	// true
	// 12h0m0s
}

// SelectEntries shows when each session of a user ends.
func ExampleCache_SelectEntries() {
	cache, _ := fastcache.New(fastcache.Config[string]{})
	defer cache.Close()
	for i, device := range []string{"laptop", "phone"} {
		_ = cache.UpdateTTL(fastcache.Key{Partial: "alice", ID: device}, device, time.Duration(i+1)*time.Hour)
	}
	for e := range cache.SelectEntries("alice") {
		fmt.Println(e.Value, time.Until(e.Expires).Round(time.Hour))
	}
	// Output:
	// phone 2h0m0s
	// laptop 1h0m0s
}

// KeyOf looks up an id that came as bytes, from a handshake for instance, without a copy of it.
func ExampleKeyOf() {
	cache, _ := fastcache.New(fastcache.Config[string]{})
	defer cache.Close()
	_ = cache.Update(fastcache.Key{Partial: "example.net:443", ID: "\x01\x02"}, "session")

	id := []byte{1, 2}
	fmt.Println(cache.Lookup(fastcache.KeyOf("example.net:443", id)))
	// Output: session true
}

// One line publishes the statistics of a cache with package expvar, at /debug/vars.
func ExampleCache_Stats_expvar() {
	cache, _ := fastcache.New(fastcache.Config[string]{RecordStats: true})
	defer cache.Close()
	sessions := expvar.Func(func() any { return cache.Stats() }) // expvar.Publish("sessions", sessions)

	_ = cache.Update(fastcache.Key{Partial: "example.net:443", ID: "1"}, "session")
	cache.Lookup(fastcache.Key{Partial: "example.net:443", ID: "1"})
	cache.Lookup(fastcache.Key{Partial: "example.net:443", ID: "2"})
	var shown map[string]any
	if err := json.Unmarshal([]byte(sessions.String()), &shown); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("hits", shown["Hits"], "misses", shown["Misses"], "sessions", shown["Sessions"])
	// Output: hits 1 misses 1 sessions 1
}

// Sub shows what has happened in an interval.
func ExampleStats_Sub() {
	cache, _ := fastcache.New(fastcache.Config[string]{})
	defer cache.Close()
	_ = cache.Update(fastcache.Key{Partial: "a", ID: "1"}, "session")

	before := cache.Stats()
	_ = cache.Update(fastcache.Key{Partial: "a", ID: "2"}, "session")
	since := cache.Stats().Sub(before)
	fmt.Println(since.Inserted, "inserted of", since.Sessions)
	// Output: 1 inserted of 2
}

// MaxWeight bounds what sessions hold, here in bytes, instead of their number.
func ExampleConfig_maxWeight() {
	cache, err := fastcache.New(fastcache.Config[[]byte]{
		MaxWeight: 1000,
		Weigh:     func(key fastcache.Key, value []byte) int64 { return int64(len(key.Partial) + len(key.ID) + len(value)) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close()
	for _, id := range []string{"1", "2", "3"} {
		cache.Update(fastcache.Key{Partial: "a", ID: id}, make([]byte, 400)) // two fit
	}
	fmt.Println(cache.Size(), "sessions of", cache.Stats().Weight, "bytes")
	err = cache.Update(fastcache.Key{Partial: "a", ID: "4"}, make([]byte, 2000))
	fmt.Println("too heavy:", errors.Is(err, fastcache.ErrTooHeavy))
	// Output:
	// 2 sessions of 804 bytes
	// too heavy: true
}

func ExampleCache_SetMaxSessions() {
	cache, _ := fastcache.New(fastcache.Config[int]{MaxSessions: 1000})
	defer cache.Close()
	for i := range 1000 {
		cache.Update(fastcache.Key{Partial: "example.net:443", ID: fmt.Sprint(i)}, i)
	}
	cache.SetMaxSessions(100) // memory is short
	fmt.Println(cache.Size(), "sessions,", cache.Stats().Evicted, "evicted")
	// Output: 100 sessions, 900 evicted
}
