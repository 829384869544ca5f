package session_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/sessioncache/sessioncache/session"
)

func Example() {
	store, err := session.NewMemory(session.MemoryConfig{})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	ctx := context.Background()

	key := session.Key{Partial: "example.net:443", ID: "b3f1"}
	if err := store.Update(ctx, key, []byte("a session"), time.Hour); err != nil {
		panic(err)
	}
	s, err := store.Take(ctx, key)
	fmt.Printf("%s %v\n", s, err)
	_, err = store.Lookup(ctx, key)
	fmt.Println(errors.Is(err, session.ErrNotFound))
	// Output:
	// a session <nil>
	// true
}

// A client that keeps several tickets per host takes the newest, and keeps the last one.
func ExampleMemory_TakeNewest() {
	store, _ := session.NewMemory(session.MemoryConfig{MaxPerPartial: 8})
	defer store.Close()
	ctx := context.Background()
	for _, id := range []string{"1", "2"} {
		store.Update(ctx, session.Key{Partial: "example.net", ID: id}, []byte("ticket "+id), time.Hour)
	}
	for range 3 {
		e, err := store.TakeNewest(ctx, "example.net", true)
		fmt.Printf("%s %v\n", e.Session, err)
	}
	// Output:
	// ticket 2 <nil>
	// ticket 1 <nil>
	// ticket 1 <nil>
}

func ExampleMemory_DeletePartial() {
	store, _ := session.NewMemory(session.MemoryConfig{})
	defer store.Close()
	ctx := context.Background()
	for _, id := range []string{"1", "2", "3"} {
		store.Update(ctx, session.Key{Partial: "user 7", ID: id}, nil, time.Hour)
	}
	n, err := store.DeletePartial(ctx, "user 7")
	fmt.Println("revoked:", n, err)
	// Output: revoked: 3 <nil>
}

// Within one process a parsed session is served as it is. Its owner must not write to it.
func ExampleLocal() {
	memory, _ := session.NewMemory(session.MemoryConfig{})
	defer memory.Close()
	var store session.Store = memory

	if local, ok := store.(session.Local); ok {
		key := session.Key{Partial: "example.net:443", ID: "b3f1"}
		live := &tls.SessionState{EarlyData: true}
		local.UpdateLocal(key, session.Item{Bytes: []byte("its bytes"), Live: live, Confirmed: true}, time.Hour)
		item, err := local.LookupLocal(key)
		fmt.Println(item.Live == live, err)
	}
	// Output: true <nil>
}
