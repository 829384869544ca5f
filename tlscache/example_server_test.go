package tlscache_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessioncache/sessioncache/session"
	"github.com/sessioncache/sessioncache/tlscache"
)

// serve serves one greeting per connection under cfg and returns the address.
func serve(cfg *tls.Config) (addr string, stop func()) {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	if err != nil {
		log.Fatal(err)
	}
	go greet(listener)
	return listener.Addr().String(), func() { listener.Close() }
}

// First deny the client a full handshake, then revoke what it could resume.
func ExampleServer_RevokePrincipal() {
	serverCert, serverRoots := selfSigned("server.example")
	clientCert, clientRoots := selfSigned("client.example")
	leaf, err := x509.ParseCertificate(clientCert.Certificate[0])
	if err != nil {
		log.Fatal(err)
	}
	sessions, err := tlscache.NewServer(tlscache.ServerConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()
	var denied atomic.Bool
	cfg := &tls.Config{
		Certificates: []tls.Certificate{serverCert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clientRoots,
		MaxVersion: tls.VersionTLS12, // so that the refused client notices at once
		VerifyConnection: func(tls.ConnectionState) error {
			if denied.Load() {
				return errors.New("this client is denied")
			}
			return nil
		},
	}
	if err := sessions.Install(cfg); err != nil {
		log.Fatal(err)
	}
	addr, stop := serve(cfg)
	defer stop()

	client := &tls.Config{RootCAs: serverRoots, ServerName: "server.example", Certificates: []tls.Certificate{clientCert},
		ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	fmt.Println("resumed:", dial(addr, client))
	fmt.Println("resumed:", dial(addr, client))
	denied.Store(true)
	if err := sessions.RevokePrincipal(context.Background(), tlscache.PrincipalOf(leaf)); err != nil {
		log.Fatal(err)
	}
	_, err = tls.Dial("tcp", addr, client)
	fmt.Println("refused:", err != nil)
	// Output:
	// resumed: false
	// resumed: true
	// refused: true
}

// A callback that makes a Config for each connection is set before Install, and gets the hooks with it.
func ExampleServer_Install_getConfigForClient() {
	certs := map[string]tls.Certificate{}
	roots := x509.NewCertPool()
	for _, tenant := range []string{"a.example", "b.example"} {
		cert, _ := selfSigned(tenant)
		leaf, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			log.Fatal(err)
		}
		roots.AddCert(leaf)
		certs[tenant] = cert
	}
	sessions, err := tlscache.NewServer(tlscache.ServerConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()
	cfg := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		cert, ok := certs[hello.ServerName]
		if !ok {
			return nil, errors.New("no such tenant")
		}
		return &tls.Config{Certificates: []tls.Certificate{cert}}, nil
	}}
	if err := sessions.Install(cfg); err != nil {
		log.Fatal(err)
	}
	addr, stop := serve(cfg)
	defer stop()

	tickets := tls.NewLRUClientSessionCache(2)
	for _, tenant := range []string{"a.example", "b.example", "a.example", "b.example"} {
		fmt.Println(tenant, "resumed:", dial(addr, &tls.Config{RootCAs: roots, ServerName: tenant, ClientSessionCache: tickets}))
	}
	// Output:
	// a.example resumed: false
	// b.example resumed: false
	// a.example resumed: true
	// b.example resumed: true
}

// remoteStore stands for a Store that several processes reach. It hides that it is a session.Memory,
// so a Server seals what it stores.
type remoteStore struct{ session.Store }

// Two servers, in two processes say, share a Store and a secret: each resumes the other's sessions.
func ExampleServerConfig_remoteStore() {
	memory, err := session.NewMemory(session.MemoryConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer memory.Close()
	secret := tlscache.NewSecret(1) // both processes read it from where secrets are kept
	cert, roots := selfSigned("server.example")
	client := &tls.Config{RootCAs: roots, ServerName: "server.example", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for range 2 { // processes
		keys, err := tlscache.NewKeyring(secret)
		if err != nil {
			log.Fatal(err)
		}
		sessions, err := tlscache.NewServer(tlscache.ServerConfig{
			Store: remoteStore{memory}, Keyring: keys, Budget: time.Second,
		})
		if err != nil {
			log.Fatal(err)
		}
		cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
		if err := sessions.Install(cfg); err != nil {
			log.Fatal(err)
		}
		addr, stop := serve(cfg)
		fmt.Println("resumed:", dial(addr, client))
		stop()
		sessions.Close()
	}
	// Output:
	// resumed: false
	// resumed: true
}

// A View is for Configs whose callbacks the caller vouches for: views of one name share their tickets.
func ExampleClient_View() {
	cert, roots := selfSigned("server.example")
	addr, stop := serve(&tls.Config{Certificates: []tls.Certificate{cert}})
	defer stop()
	client, err := tlscache.NewClient(tlscache.ClientConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	pinned := func() *tls.Config {
		return &tls.Config{
			RootCAs: roots, ServerName: "server.example",
			VerifyPeerCertificate: func(chain [][]byte, _ [][]*x509.Certificate) error {
				if string(chain[0]) != string(cert.Certificate[0]) {
					return errors.New("another certificate than the pinned one")
				}
				return nil
			},
			ClientSessionCache: client.View("payments, pinned"),
		}
	}
	fmt.Println("resumed:", dial(addr, pinned()))
	fmt.Println("resumed:", dial(addr, pinned()))
	// Output:
	// resumed: false
	// resumed: true
}

// A fleet's secrets lie in a directory. Each process follows it, and 'sessioncache secret rotate' adds one a day.
func ExampleKeyring_Follow() {
	dir, err := os.MkdirTemp("", "secrets")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for id := range 2 {
		s := tlscache.NewSecret(uint32(id + 1))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.secret", s.ID)), s.Bytes[:], 0o600); err != nil {
			log.Fatal(err)
		}
	}

	ctx, cancel := context.WithCancel(context.Background())
	source := tlscache.FileSecrets(dir)
	keys, err := tlscache.OpenKeyring(ctx, source)
	if err != nil {
		log.Fatal(err)
	}
	var following sync.WaitGroup
	following.Go(func() { keys.Follow(ctx, source, tlscache.FollowConfig{}) })
	sessions, err := tlscache.NewServer(tlscache.ServerConfig{Keyring: keys})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()
	// sessions.Install(cfg), and serve.

	st := keys.Stats()
	fmt.Println("active:", st.Active, "accepted:", st.Accepted)
	cancel()
	following.Wait()
	// Output: active: 1 accepted: 1
}

// No process has to be told anything but the master: each derives the secret of the day.
func ExampleDerivedSecrets() {
	master := make([]byte, 32) // from where secrets are kept
	rand.Read(master)
	for range 2 { // processes
		source, err := tlscache.DerivedSecrets(master, 24*time.Hour)
		if err != nil {
			log.Fatal(err)
		}
		keys, err := tlscache.OpenKeyring(context.Background(), source)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("accepted beside the active one:", keys.Stats().Accepted)
	}
	// Output:
	// accepted beside the active one: 9
	// accepted beside the active one: 9
}
