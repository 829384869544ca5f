package tlscache

import (
	"container/list"
	"crypto/x509"
	"hash/maphash"
	"reflect"
	"sync"
	"sync/atomic"
)

// maxPools bounds the pools that a poolRegistry remembers, maxPoolCerts the certificates in them: some
// 10 MB where a program has tenants by the thousand, or makes a new pool for each connection.
const (
	maxPools     = 4096
	maxPoolCerts = 64 << 10
)

// A poolRegistry numbers certificate pools within a process, equal ones alike. It forgets those that were
// not seen for longest; one that comes back then has a new number, and the sessions of the old one do
// not resume. No number is ever given to another pool. The zero value is ready; it is safe for
// concurrent use.
type poolRegistry struct {
	began atomic.Uint64 // registrations so far: the time by which pools are old
	mu    struct {
		sync.RWMutex // never held over CertPool.Equal but of a few pools with the same subjects
		byAddress    map[uintptr]*numbered
		bySum        map[poolSum][]*numbered
		queue        list.List // of *numbered; who was seen since he was queued is queued again
		certs        int
		next         uint64
	}
}

// A poolSum is what equal pools have in common and different ones seldom.
type poolSum struct {
	certs    int
	subjects uint64
}

// A numbered is a pool that has a number.
type numbered struct {
	number uint64
	pool   *x509.CertPool // a copy, for the caller may add to his
	sum    poolSum
	seen   atomic.Uint64 // the registrations before it was last seen
	queued uint64        // the same, when it was queued

	// address is where an equal pool was last. The pool there may be garbage and another in its place, so
	// this says where to look first and no more.
	address uintptr
}

// number returns the number of a pool, from 1; 0 is nil, the system's roots.
func (r *poolRegistry) number(pool *x509.CertPool) uint64 {
	if pool == nil {
		return 0
	}
	address := reflect.ValueOf(pool).Pointer()
	r.mu.RLock()
	n := r.mu.byAddress[address]
	r.mu.RUnlock()
	if n != nil && n.pool.Equal(pool) { // certificates may have been added to it
		n.touch(r.began.Load())
		return n.number
	}
	sum := sumOf(pool)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.mu.bySum[sum] {
		if n.pool.Equal(pool) {
			n.touch(r.began.Load())
			r.placeLocked(n, address)
			return n.number
		}
	}
	return r.registerLocked(pool, sum, address)
}

func (n *numbered) touch(now uint64) {
	if n.seen.Load() != now { // most connections write nothing that others read
		n.seen.Store(now)
	}
}

// sumOf returns the sum of a pool. It does not depend on the order of the certificates, as Equal does not.
func sumOf(pool *x509.CertPool) (s poolSum) {
	//lint:ignore SA1019 system roots are missing in it, and Equal compares those
	for _, subject := range pool.Subjects() {
		s.certs++
		s.subjects += maphash.Bytes(poolSeed, subject)
	}
	return s
}

var poolSeed = maphash.MakeSeed()

// placeLocked sets where to find a pool.
func (r *poolRegistry) placeLocked(n *numbered, address uintptr) {
	if r.mu.byAddress[n.address] == n {
		delete(r.mu.byAddress, n.address)
	}
	n.address = address
	r.mu.byAddress[address] = n
}

func (r *poolRegistry) registerLocked(pool *x509.CertPool, sum poolSum, address uintptr) uint64 {
	if r.mu.bySum == nil {
		r.mu.byAddress, r.mu.bySum = make(map[uintptr]*numbered), make(map[poolSum][]*numbered)
	}
	r.mu.next++
	now := r.began.Add(1)
	n := &numbered{number: r.mu.next, pool: pool.Clone(), sum: sum, queued: now}
	n.seen.Store(now)
	for r.mu.queue.Len() > 0 && (r.mu.queue.Len() >= maxPools || r.mu.certs+sum.certs > maxPoolCerts) {
		r.forgetLocked()
	}
	r.mu.bySum[sum] = append(r.mu.bySum[sum], n)
	r.mu.queue.PushBack(n)
	r.mu.certs += sum.certs
	r.placeLocked(n, address)
	return n.number
}

// forgetLocked forgets the pool that was queued first and not seen since. Each is looked at once at most,
// since none is seen while the lock is held but through its address, at the present time.
func (r *poolRegistry) forgetLocked() {
	for looked := r.mu.queue.Len(); ; looked-- {
		first := r.mu.queue.Front()
		n := first.Value.(*numbered)
		if seen := n.seen.Load(); seen > n.queued && looked > 0 {
			n.queued = seen
			r.mu.queue.MoveToBack(first)
			continue
		}
		r.mu.queue.Remove(first)
		r.dropLocked(n)
		return
	}
}

func (r *poolRegistry) dropLocked(n *numbered) {
	r.mu.certs -= n.sum.certs
	if r.mu.byAddress[n.address] == n {
		delete(r.mu.byAddress, n.address)
	}
	same := r.mu.bySum[n.sum]
	for i := range same {
		if same[i] == n {
			same[i] = same[len(same)-1]
			same[len(same)-1] = nil
			same = same[:len(same)-1]
			break
		}
	}
	if len(same) == 0 {
		delete(r.mu.bySum, n.sum)
		return
	}
	r.mu.bySum[n.sum] = same
}
