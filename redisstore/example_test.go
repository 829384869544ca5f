package redisstore_test

import (
	"context"
	"crypto/tls"
	"log"
	"time"

	"github.com/sessioncache/sessioncache/redisstore"
	"github.com/sessioncache/sessioncache/tlscache"
)

// What every server of the fleet has, from where it keeps its secrets.
var (
	secret      tlscache.Secret
	certificate tls.Certificate
)

// Every server of a fleet does this, with the same secret: a session of one then resumes at the others.
func Example() {
	store, err := redisstore.New(redisstore.Config{
		Addrs:    []string{"redis.example:6379"},
		TLS:      &tls.Config{MinVersion: tls.VersionTLS13},
		Username: "sessions",
		Password: "from a file that only this program reads",
	})
	if err != nil {
		log.Fatal(err) // the Config is wrong; a server that is down is no error
	}
	defer store.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := store.Ready(ctx); err != nil {
		log.Print(err) // sessions are not shared until it is there
	}

	keyring, err := tlscache.NewKeyring(secret)
	if err != nil {
		log.Fatal(err)
	}
	server, err := tlscache.NewServer(tlscache.ServerConfig{Store: store, Keyring: keyring})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	if err := server.Install(config); err != nil {
		log.Fatal(err)
	}
}
