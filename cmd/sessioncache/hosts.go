package main

import (
	"fmt"
	"sync/atomic"
	"time"
)

const (
	domain = "demo.test"

	// shortLivedEvery makes every tenth host's sessions live shorter, through a Server of their own.
	shortLivedEvery = 10
)

// A host is one server name, and how often its sessions were revoked. Client and server
// share it: the clock by which both tell sessions from before and after a revocation.
type host struct {
	name string
	ttl  time.Duration // of its sessions; 0 means the usual

	// invariant: finished <= started <= finished+1, as one goroutine revokes.
	started  atomic.Uint32 // revocations begun: what is stored from now on may survive
	finished atomic.Uint32 // revocations done: what was stored before must be gone
}

// newHosts returns n hosts, the most popular first.
func newHosts(n int, run time.Duration) []*host {
	hosts := make([]*host, n)
	for i := range hosts {
		hosts[i] = &host{name: fmt.Sprintf("host%05d.%s", i, domain)}
		if i%shortLivedEvery == shortLivedEvery-1 {
			hosts[i].ttl = shortTTL(run)
		}
	}
	return hosts
}

// sessionTTL is short enough to see sessions expire, and rare hosts pay for it, in one run.
func sessionTTL(run time.Duration) time.Duration { return run * 3 / 10 }

// shortTTL is the life of a session of every tenth host.
func shortTTL(run time.Duration) time.Duration { return run / 20 }
