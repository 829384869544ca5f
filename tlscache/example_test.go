package tlscache_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"time"

	"github.com/sessioncache/sessioncache/tlscache"
)

// A server whose sessions can be revoked.
func Example_server() {
	cert, pool := selfSigned("server.example")
	sessions, err := tlscache.NewServer(tlscache.ServerConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
	if err := sessions.Install(cfg); err != nil {
		log.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go greet(listener)

	client := &tls.Config{RootCAs: pool, ServerName: "server.example", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	fmt.Println("resumed:", dial(listener.Addr().String(), client))
	fmt.Println("resumed:", dial(listener.Addr().String(), client))
	if err := sessions.RevokeServerName(context.Background(), "server.example"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("resumed:", dial(listener.Addr().String(), client))
	// Output:
	// resumed: false
	// resumed: true
	// resumed: false
}

// Secrets are rotated in three steps: every process gets the next one, makes it active, drops the former
// once the sessions that were sealed under it have expired.
func ExampleKeyring_Replace() {
	former, active, next := tlscache.NewSecret(1), tlscache.NewSecret(2), tlscache.NewSecret(3)
	keys, err := tlscache.NewKeyring(active, former, next)
	if err != nil {
		log.Fatal(err)
	}
	if err := keys.Replace(next, active); err != nil {
		log.Fatal(err)
	}
	fmt.Println("active now:", next)
	// Output: active now: secret 3
}

func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			io.WriteString(c, "hello")
		}()
	}
}

func dial(addr string, cfg *tls.Config) (resumed bool) {
	c, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadAll(c); err != nil { // a TLS 1.3 client must read to get its ticket
		log.Fatal(err)
	}
	return c.ConnectionState().DidResume
}

func selfSigned(name string) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		log.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
