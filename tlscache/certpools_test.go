package tlscache

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
)

func TestPoolsAreToldApartByWhatTheyHold(t *testing.T) {
	ca := newAuthority(t, "one subject")
	same := newAuthority(t, "one subject") // another key
	pool := func(of ...*authority) *x509.CertPool {
		p := x509.NewCertPool()
		for _, a := range of {
			p.AddCert(a.cert)
		}
		return p
	}
	var r certPools
	one, two := r.number(pool(ca)), r.number(pool(same))
	if one == two || one == 0 || two == 0 {
		t.Errorf("pools of one subject and two keys are %d and %d; want two numbers, none 0", one, two)
	}
	if again := r.number(pool(ca)); again != one {
		t.Errorf("an equal pool is %d; want %d", again, one)
	}
	if none := r.number(nil); none != 0 {
		t.Errorf("no pool is %d; want 0", none)
	}
	grown := pool(ca)
	n := r.number(grown)
	grown.AddCert(same.cert)
	if r.number(grown) == n || r.number(pool(ca)) != n {
		t.Error("adding to a pool changed what its number stands for")
	}
}

// poolOf returns a pool of made-up certificates, one for each number.
func poolOf(numbers ...int) *x509.CertPool {
	p := x509.NewCertPool()
	for _, i := range numbers {
		p.AddCert(&x509.Certificate{Raw: []byte{byte(i), byte(i >> 8), byte(i >> 16)}, RawSubject: []byte{byte(i)}})
	}
	return p
}

func TestNoPoolEverHasTheNumberOfAnother(t *testing.T) {
	var r certPools
	kept := poolOf(1 << 20)
	first := r.number(kept)
	seen := map[uint64]int{first: -1}
	for i := range 3 * maxPools {
		n := r.number(poolOf(i))
		if other, ok := seen[n]; ok {
			t.Fatalf("pool %d has the number of pool %d", i, other)
		}
		seen[n] = i
		if again := r.number(poolOf(i)); again != n {
			t.Fatalf("pool %d, the newest, is %d and then %d", i, n, again)
		}
		if r.number(kept) != first {
			t.Fatalf("after %d others, a pool that is in use all the time was forgotten", i)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if q, a := r.mu.queue.Len(), len(r.mu.byAddress); q > maxPools || a > maxPools {
		t.Errorf("remembers %d pools at %d addresses; want at most %d", q, a, maxPools)
	}
	if r.mu.certs != r.mu.queue.Len() {
		t.Errorf("counts %d certificates in %d pools of one", r.mu.certs, r.mu.queue.Len())
	}
}

// Tenants by the thousand, in turn, with a pool of their own or an equal one for each connection.
func TestPoolsOfManyTenantsKeepTheirNumbers(t *testing.T) {
	const tenants = 3000
	for _, fresh := range []bool{false, true} {
		var r certPools
		pools, numbers := make([]*x509.CertPool, tenants), make([]uint64, tenants)
		for round := range 3 {
			for i := range tenants {
				if pools[i] == nil || fresh {
					pools[i] = poolOf(i, i+tenants)
				}
				n := r.number(pools[i])
				if round > 0 && n != numbers[i] {
					t.Fatalf("fresh = %v: tenant %d has %d in round %d; want %d", fresh, i, n, round, numbers[i])
				}
				numbers[i] = n
			}
		}
	}
}

func TestPoolsAreBoundedByTheirCertificates(t *testing.T) {
	var r certPools
	many := make([]int, 1000)
	for i := range 3 * maxPoolCerts / len(many) {
		for j := range many {
			many[j] = i*len(many) + j
		}
		r.number(poolOf(many...))
	}
	if r.mu.certs > maxPoolCerts {
		t.Errorf("remembers %d certificates; want at most %d", r.mu.certs, maxPoolCerts)
	}
	huge := make([]int, maxPoolCerts+1)
	for i := range huge {
		huge[i] = i
	}
	pool := poolOf(huge...)
	if n := r.number(pool); n == 0 || r.number(pool) != n {
		t.Error("a pool above the bound has no number of its own")
	}
}

// Each tenant's clients resume, however many tenants there are.
func TestClientsOfEveryTenantResume(t *testing.T) {
	w := newWorld(t, ServerConfig{})
	tenants := number(300, 300) // more than were once remembered
	var authorities []*authority
	at, fresh := 0, false
	var pools []*x509.CertPool
	base := w.config()
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := base.Clone()
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, pools[at]
		if fresh {
			c.ClientCAs = authorities[at].pool()
		}
		return c, nil
	}
	if err := w.Install(base); err != nil {
		t.Fatal(err)
	}
	w.server = base
	var clients []*tls.Config
	for at = range tenants {
		ca := newAuthority(t, "one subject")
		authorities, pools = append(authorities, ca), append(pools, ca.pool())
		clients = append(clients, w.mtls(tls.VersionTLS13, ca.issue(t)))
		w.want("first", clients[at], false)
	}
	for _, fresh = range []bool{false, true} {
		for at = range tenants {
			w.want("again", clients[at], true)
		}
	}
}

func TestPoolsInstalledAreToldApart(t *testing.T) {
	one, two := newAuthority(t, "one subject"), newAuthority(t, "one subject")
	s := newServer(t, ServerConfig{})
	scopes := map[[32]byte]bool{}
	for _, ca := range []*authority{one, two, one} {
		cfg := &tls.Config{}
		mutual(ca)(cfg)
		if err := s.Install(cfg); err != nil {
			t.Fatal(err)
		}
		sc, err := s.scopeOf(nil, cfg)
		if err != nil {
			t.Fatal(err)
		}
		scopes[sc.scope] = true
	}
	if len(scopes) != 2 {
		t.Errorf("two pools, one of them twice, make %d scopes; want 2", len(scopes))
	}
}
