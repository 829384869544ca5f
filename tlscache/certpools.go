package tlscache

import (
	"container/list"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"hash/maphash"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// maxPools bounds the pools that certPools remember, maxPoolCerts the certificates in them: some
// 10 MB where a program has tenants by the thousand, or makes a new pool for each connection.
const (
	maxPools     = 4096
	maxPoolCerts = 64 << 10
)

// certPools number certificate pools within a process, equal ones alike. They forget the pools that were
// not seen for longest; one that comes back then has a new number, and the sessions of the old one do
// not resume. No number is ever given to another pool. The zero value is ready, and safe for
// concurrent use.
type certPools struct {
	began atomic.Uint64 // registrations so far: the time by which pools are old
	mu    struct {
		sync.RWMutex // never held over CertPool.Equal but of a few pools with the same subjects
		byAddress    map[uintptr]*numbered
		bySum        map[poolSum][]*numbered
		queue        list.List // of *numbered; one that was seen since it was queued is queued again
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
	pool   *x509.CertPool // a copy, for the caller may add to its own
	sum    poolSum
	seen   atomic.Uint64 // the registrations before it was last seen
	queued uint64        // the same, when it was queued

	// address is where an equal pool was last. The pool there may be garbage and another in its place, so
	// this says where to look first and no more.
	address uintptr
}

// number returns the number of a pool, from 1; 0 is nil, the system's roots.
func (r *certPools) number(pool *x509.CertPool) uint64 {
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

// appendPool appends what tells a pool that has a number from all others: a digest of what it holds, so that the
// sessions of a process which were dumped are of the same pool in the next. A number, which means nothing there, stands
// in its place where there is no pool or this Go's pools are other ones.
func appendPool(b []byte, number uint64, pool *x509.CertPool) []byte {
	if content := contentOf(pool); content != nil {
		sum := sha256.Sum256(content)
		return append(b, sum[:]...)
	}
	return binary.BigEndian.AppendUint64(b, number)
}

// contentOf returns what CertPool.Equal compares: the sums of the certificates, sorted, and whether those of the system
// are among them. It is read by reflection, by name and type, and nil if it is not there.
func contentOf(pool *x509.CertPool) []byte {
	if pool == nil {
		return nil
	}
	p := reflect.ValueOf(pool).Elem()
	sums, system := p.FieldByName("haveSum"), p.FieldByName("systemPool")
	if !sums.IsValid() || sums.Type().String() != "map[x509.sum224]bool" || !system.IsValid() || system.Kind() != reflect.Bool {
		return nil
	}
	all := make([]string, 0, sums.Len())
	for sum := range sums.Seq() {
		text := make([]byte, sum.Len())
		for i := range text {
			text[i] = byte(sum.Index(i).Uint())
		}
		all = append(all, string(text))
	}
	slices.Sort(all)
	content := []byte("sessioncache pool v1")
	if system.Bool() {
		content = append(content, 1)
	} else {
		content = append(content, 0)
	}
	return append(content, strings.Join(all, "")...)
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
func (r *certPools) placeLocked(n *numbered, address uintptr) {
	if r.mu.byAddress[n.address] == n {
		delete(r.mu.byAddress, n.address)
	}
	n.address = address
	r.mu.byAddress[address] = n
}

func (r *certPools) registerLocked(pool *x509.CertPool, sum poolSum, address uintptr) uint64 {
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
func (r *certPools) forgetLocked() {
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

func (r *certPools) dropLocked(n *numbered) {
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
