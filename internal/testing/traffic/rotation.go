package traffic

import (
	"container/list"
	"math/rand/v2"
)

// A Rotation is ticket traffic: clients return, some often and most seldom; each return uses
// the client's newest session once and leaves it a newer one under another id.
type Rotation struct {
	Clients, Places, Visits int
	Skew                    float64 // client i returns in proportion to 1/(i+1)^Skew
	Strangers               float64 // the share of visits by clients that never return
	Hurried                 float64 // the share of returns that use a session twice at once
}

// Run plays the traffic and returns the share of returns that resumed, the first half, in
// which everything fills, left out. use reports whether a session is still there; store
// adds one. Ids begin at 1.
func (r Rotation) Run(use func(id int) bool, store func(id int)) float64 {
	rng, popular := rand.New(rand.NewPCG(20, 26)), NewZipf(r.Clients, r.Skew)
	newest := make([]int, r.Clients) // by client, its newest session; 0: none yet
	resumed, returns := 0, 0
	for visit := 1; visit <= r.Visits; visit++ {
		if rng.Float64() < r.Strangers {
			store(visit)
			continue
		}
		client := popular.Pick(rng)
		ok := newest[client] != 0 && use(newest[client])
		if ok && rng.Float64() < r.Hurried {
			use(newest[client])
		}
		if visit > r.Visits/2 {
			returns++
			if ok {
				resumed++
			}
		}
		newest[client] = visit
		store(visit)
	}
	return float64(resumed) / float64(returns)
}

// FIFO is the share that a plain first-in-first-out cache resumes: of the last so many ids.
func (r Rotation) FIFO() float64 {
	latest := 0
	return r.Run(func(id int) bool { return id > latest-r.Places }, func(id int) { latest = id })
}

// LRU is the share that a least-recently-used cache resumes.
func (r Rotation) LRU() float64 {
	recent, at := list.New(), map[int]*list.Element{}
	return r.Run(func(id int) bool {
		e, ok := at[id]
		if ok {
			recent.MoveToFront(e)
		}
		return ok
	}, func(id int) {
		if recent.Len() == r.Places {
			delete(at, recent.Remove(recent.Back()).(int))
		}
		at[id] = recent.PushFront(id)
	})
}
