package index_test

import (
	"fmt"
	"hash/maphash"

	"github.com/sessioncache/sessioncache/index"
)

// A cache keeps its sessions by host: it stores, updates, deletes and revokes them.
func Example() {
	type session struct{ id string }
	seed := maphash.MakeSeed()
	sessions := index.New[session](1000)

	store := func(host, id string) *index.Node[session] {
		n := &index.Node[session]{Item: session{id}}
		g := sessions.Lock(maphash.String(seed, host), host)
		g.PushNewest(n) // here the cache would also put it into its table
		sessions.Unlock(g)
		return n
	}
	show := func(host string) {
		fmt.Print(host, ":")
		if g := sessions.Find(maphash.String(seed, host), host); g != nil {
			for n := g.Newest(); n != nil; n = n.Next() {
				fmt.Print(" ", n.Item.id)
			}
		}
		fmt.Println()
	}

	store("alpha:443", "s1")
	s2 := store("alpha:443", "s2")
	s3 := store("alpha:443", "s3")
	store("beta:443", "s4")
	show("alpha:443")

	g := sessions.LockOf(s2)
	g.Unlink(s2)
	sessions.Unlock(g)
	show("alpha:443")

	sessions.Revoke(sessions.LockOf(s3))
	show("alpha:443")
	show("beta:443")
	fmt.Println(s3.Group().Revoked(), sessions.Len())
	// Output:
	// alpha:443: s3 s2 s1
	// alpha:443: s3 s1
	// alpha:443:
	// beta:443: s4
	// true 1
}
