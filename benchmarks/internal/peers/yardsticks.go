package peers

import (
	"container/list"

	"github.com/sessioncache/sessioncache/benchmarks/internal/workload"
)

// Names of the yardsticks, and of the cache that is only its own call.
const (
	FIFO      = "FIFO"
	LRU       = "LRU"
	EmptyCall = "empty-call"
)

var yardsticks = []Peer{
	{Name: FIFO, Class: Yardstick, Core: true, Open: func(cfg Config) Cache { return newQueue(cfg, false) }},
	{Name: LRU, Class: Yardstick, Core: true, Open: func(cfg Config) Cache { return newQueue(cfg, true) }},
	{Name: EmptyCall, Class: Harness, Core: true, Open: func(Config) Cache { return emptyCall{} }},
}

// A queue is an exact FIFO or LRU. It is not safe for concurrent use: it is a yardstick for
// hit ratios, and replays make one access at a time.
type queue struct {
	empty
	capacity int
	lru      bool
	order    *list.List // of queued, the next victim last
	byKey    map[string]*list.Element
}

type queued struct {
	key string
	s   *workload.Session
}

func newQueue(cfg Config, lru bool) *queue {
	return &queue{capacity: cfg.Capacity, lru: lru, order: list.New(), byKey: map[string]*list.Element{}}
}

func (q *queue) Get(key string) (*workload.Session, bool) {
	e, ok := q.byKey[key]
	if !ok {
		return nil, false
	}
	if q.lru {
		q.order.MoveToFront(e)
	}
	return e.Value.(queued).s, true
}

func (q *queue) Set(key string, s *workload.Session) {
	if e, ok := q.byKey[key]; ok {
		e.Value = queued{key, s}
		if q.lru {
			q.order.MoveToFront(e)
		}
		return
	}
	if q.order.Len() >= q.capacity {
		q.remove(q.order.Back())
	}
	q.byKey[key] = q.order.PushFront(queued{key, s})
}

func (q *queue) remove(e *list.Element) {
	delete(q.byKey, e.Value.(queued).key)
	q.order.Remove(e)
}

func (q *queue) Take(key string) (*workload.Session, bool) {
	e, ok := q.byKey[key]
	if !ok {
		return nil, false
	}
	q.remove(e)
	return e.Value.(queued).s, true
}

func (q *queue) Len() int { return q.order.Len() }

// emptyCall is what remains of a measurement when the cache costs nothing.
type emptyCall struct{ empty }

func (emptyCall) Get(string) (*workload.Session, bool)  { return nil, false }
func (emptyCall) Set(string, *workload.Session)         {}
func (emptyCall) Take(string) (*workload.Session, bool) { return nil, false }
func (emptyCall) Len() int                              { return 0 }
