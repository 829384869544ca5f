package loading_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
	"github.com/sessioncache/sessioncache/fastcache/loading"
)

// The profiles of users come from a database, and stay for as long as it says. Who changes a profile deletes it from the
// cache, whatever load is under way.
func Example() {
	profiles, _ := fastcache.New(fastcache.Config[string]{})
	defer profiles.Close()
	database := map[string]string{"7": "Ada"}
	fromDatabase := func(ctx context.Context, key fastcache.Key) (string, time.Duration, error) {
		fmt.Println("asks for", key.ID)
		return database[key.ID], 10 * time.Minute, nil
	}
	cache, err := loading.New(profiles, fromDatabase, loading.Config{RefreshAhead: time.Minute, MaxLoads: 100})
	if err != nil {
		panic(err)
	}
	defer cache.Close()

	ctx, ada := context.Background(), fastcache.Key{Partial: "tenant 1", ID: "7"}
	for range 2 {
		name, _ := cache.Get(ctx, ada)
		fmt.Println(name)
	}
	database["7"] = "Augusta"
	profiles.Delete(ada) // or DeletePartial("tenant 1"): all profiles of the tenant
	name, _ := cache.Get(ctx, ada)
	fmt.Println(name)
	// Output:
	// asks for 7
	// Ada
	// Ada
	// asks for 7
	// Augusta
}

var errNoUser = errors.New("no such user")

// The load says which errors are kept, and for how long. An outage is not.
func ExampleFunc_errors() {
	users, _ := fastcache.New(fastcache.Config[string]{})
	defer users.Close()
	load := func(ctx context.Context, key fastcache.Key) (string, time.Duration, error) {
		fmt.Println("asks for", key.ID)
		if key.ID == "8" {
			return "", 5 * time.Second, errNoUser
		}
		return "", 0, errors.New("the database is down")
	}
	cache, _ := loading.New(users, load, loading.Config{})
	defer cache.Close()

	for range 2 {
		for _, id := range []string{"8", "9"} {
			_, err := cache.Get(context.Background(), fastcache.Key{Partial: "tenant 1", ID: id})
			fmt.Println(err)
		}
	}
	// Output:
	// asks for 8
	// no such user
	// asks for 9
	// the database is down
	// no such user
	// asks for 9
	// the database is down
}

func ExampleCache_Get_deadline() {
	users, _ := fastcache.New(fastcache.Config[string]{})
	defer users.Close()
	hangs := func(ctx context.Context, _ fastcache.Key) (string, time.Duration, error) {
		<-ctx.Done() // when nobody waits any more
		return "", 0, ctx.Err()
	}
	cache, _ := loading.New(users, hangs, loading.Config{})
	defer cache.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := cache.Get(ctx, fastcache.Key{ID: "7"})
	fmt.Println(err)
	// Output: context deadline exceeded
}
