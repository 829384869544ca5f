package tlscache

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/sessioncache/sessioncache/session"
)

func TestInstallAfterFirstUse(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{})
		server, client := w.config(), w.client(version)
		resumes(t, server, client)
		if !resumes(t, server, client) {
			t.Fatal("stock tickets do not resume; the test shows nothing")
		}
		if err := w.Install(server); err != nil {
			t.Fatal(err)
		}
		// The client offers a stock ticket, which is none of ours.
		for i, want := range []bool{false, true, true} {
			if got := resumes(t, server, client); got != want {
				t.Errorf("handshake %d after Install: resumed = %v; want %v", i, got, want)
			}
		}
	})
}

func TestInstallTwiceStacksNothing(t *testing.T) {
	w := newWorld(t, ServerConfig{})
	before := layerOf(w.server)
	for range 3 {
		if err := w.Install(w.server); err != nil {
			t.Fatal(err)
		}
	}
	l := layerOf(w.server)
	if l == nil || l == before || l.before.wrap != nil || l.before.unwrap != nil || l.before.get != nil {
		t.Errorf("after Install again the hooks are %+v; want new ones over nothing", l)
	}
	client := w.client(tls.VersionTLS13)
	w.want("first", client, false)
	if err := w.Install(w.server); err != nil {
		t.Fatal(err)
	}
	w.want("under an equal scope", client, true)
	w.server.Certificates = []tls.Certificate{w.ca.issue(t, host)}
	if err := w.Install(w.server); err != nil {
		t.Fatal(err)
	}
	w.want("after Install saw another certificate", client, false)
}

func TestInstallInEachConfigForClient(t *testing.T) {
	for _, tt := range []struct {
		name string
		get  func(w *world) func(*tls.ClientHelloInfo) (*tls.Config, error)
		want []bool
	}{
		{
			name: "none: the Config in use",
			get: func(*world) func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
			},
			want: []bool{false, true, true},
		},
		{
			name: "a new one for each client",
			get: func(w *world) func(*tls.ClientHelloInfo) (*tls.Config, error) {
				certs := w.server.Certificates
				return func(*tls.ClientHelloInfo) (*tls.Config, error) {
					return &tls.Config{Certificates: certs, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: w.ca.pool()}, nil
				}
			},
			want: []bool{false, true, true},
		},
		{
			name: "one for all",
			get: func(w *world) func(*tls.ClientHelloInfo) (*tls.Config, error) {
				cfg := w.config()
				return func(*tls.ClientHelloInfo) (*tls.Config, error) {
					if cfg.WrapSession != nil {
						return nil, errors.New("the user's Config was changed")
					}
					return cfg, nil
				}
			},
			want: []bool{false, true, true},
		},
		{
			name: "one with Install",
			get: func(w *world) func(*tls.ClientHelloInfo) (*tls.Config, error) {
				cfg := w.config()
				return func(*tls.ClientHelloInfo) (*tls.Config, error) {
					if err := w.Install(cfg); err != nil {
						return nil, err
					}
					return cfg, nil
				}
			},
			want: []bool{false, true, true},
		},
		{
			name: "one without tickets",
			get: func(w *world) func(*tls.ClientHelloInfo) (*tls.Config, error) {
				certs := w.server.Certificates
				return func(*tls.ClientHelloInfo) (*tls.Config, error) {
					return &tls.Config{Certificates: certs, SessionTicketsDisabled: true}, nil
				}
			},
			want: []bool{false, false, false},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				w := newWorld(t, ServerConfig{})
				w.server = w.config()
				w.server.GetConfigForClient = tt.get(w)
				for range 2 { // the second wraps what the first wrapped, and changes nothing
					if err := w.Install(w.server); err != nil {
						t.Fatal(err)
					}
				}
				client := w.client(version)
				for i, want := range tt.want {
					if got := w.resumes(client); got != want {
						t.Errorf("handshake %d: resumed = %v; want %v", i, got, want)
					}
				}
			})
		})
	}
}

func TestErrorsOfGetConfigForClientStay(t *testing.T) {
	refused := errors.New("refused")
	w := newWorld(t, ServerConfig{})
	w.server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, refused }
	if err := w.Install(w.server); err != nil {
		t.Fatal(err)
	}
	if _, _, err := connect(w.server, w.client(0)); !errors.Is(err, refused) {
		t.Errorf("handshake: %v; want the user's error", err)
	}
}

func TestInstallRefusesWhatCannotResumeSafely(t *testing.T) {
	verify := func([][]byte, [][]*x509.Certificate) error { return nil }
	memory := newMemory(t, session.MemoryConfig{})
	closed := newServer(t, ServerConfig{})
	closed.Close()
	panics := func(*tls.ClientHelloInfo, *tls.Config) string { panic("no") }
	for _, tt := range []struct {
		name   string
		server *Server
		cfg    *tls.Config
		want   string // empty: no error
	}{
		{"nil", newServer(t, ServerConfig{}), nil, "nil Config"},
		{"closed", closed, &tls.Config{}, "closed"},
		{"no tickets", newServer(t, ServerConfig{}), &tls.Config{SessionTicketsDisabled: true}, "SessionTicketsDisabled"},
		{"unstable", newServer(t, ServerConfig{}), &tls.Config{VerifyPeerCertificate: verify}, "VerifyPeerCertificate"},
		{"unstable and shared", newServer(t, ServerConfig{Store: remote{memory}, Keyring: ring(t, secret(1))}),
			&tls.Config{VerifyPeerCertificate: verify}, "VerifyPeerCertificate"},
		{"named", newServer(t, ServerConfig{Scope: "staff"}), &tls.Config{VerifyPeerCertificate: verify}, ""},
		{"named by a function", newServer(t, ServerConfig{ScopeOf: func(hello *tls.ClientHelloInfo, _ *tls.Config) string {
			if hello != nil {
				t.Error("Install passed a ClientHello")
			}
			return "staff"
		}}), &tls.Config{VerifyPeerCertificate: verify}, ""},
		{"a function that panics", newServer(t, ServerConfig{ScopeOf: panics}), &tls.Config{}, "ScopeOf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.server.Install(tt.cfg)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Install: %v; want %q", err, tt.want)
			}
			if err != nil && tt.cfg != nil && (tt.cfg.WrapSession != nil || tt.cfg.UnwrapSession != nil) {
				t.Error("Install failed and left hooks")
			}
		})
	}
}

// A Config from GetConfigForClient comes too late for an error.
func TestUnstableConfigsForClientsAreNotStoredAndCounted(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  ServerConfig
		want uint64
	}{
		{"unnamed", ServerConfig{}, 2},
		{"named by what the client said", ServerConfig{ScopeOf: func(hello *tls.ClientHelloInfo, _ *tls.Config) string {
			if hello == nil {
				return ""
			}
			return "tenant of " + hello.ServerName
		}}, 0},
		{"a function that panics", ServerConfig{ScopeOf: func(hello *tls.ClientHelloInfo, _ *tls.Config) string {
			if hello == nil {
				return ""
			}
			panic("no")
		}}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				w := newWorld(t, tt.cfg)
				w.server = w.config(func(cfg *tls.Config) {
					certs := cfg.Certificates
					cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
						return &tls.Config{Certificates: certs, ClientAuth: tls.RequestClientCert,
							VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return nil }}, nil
					}
				})
				if err := w.Install(w.server); err != nil {
					t.Fatal(err)
				}
				client := w.client(version)
				w.want("first", client, false)
				w.want("second", client, tt.want == 0)
				if st := w.Stats(); st.Unstable != tt.want || tt.want > 0 && st.Stored != 0 {
					t.Errorf("%d unstable and %d stored; want %d, 0", st.Unstable, st.Stored, tt.want)
				}
			})
		})
	}
}

func TestCloseWithHooksInstalled(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		store := newMemory(t, session.MemoryConfig{})
		w := newWorld(t, ServerConfig{Store: store})
		client := w.client(version)
		w.want("first", client, false)
		w.want("second", client, true)
		for range 2 {
			if err := w.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		w.want("after Close", client, false)
		w.want("after Close again", client, false)
		if _, err := store.Size(t.Context()); err != nil {
			t.Errorf("the Store that the Server was given: %v; want it open", err)
		}
		if err := w.RevokeAll(t.Context()); err == nil {
			t.Error("RevokeAll after Close: no error")
		}
	})
}

func TestCloseFallsBackToTheHooksBefore(t *testing.T) {
	versions(t, func(t *testing.T, version uint16) {
		w := newWorld(t, ServerConfig{}, stockHooks)
		client := w.client(version)
		w.want("first", client, false)
		w.Close()
		w.want("a handle, after Close", client, false)
		w.want("a ticket of the hook before", client, true)
	})
}

// stockHooks sets what crypto/tls does without hooks as hooks: the way to migrate.
func stockHooks(cfg *tls.Config) {
	cfg.WrapSession, cfg.UnwrapSession = cfg.EncryptTicket, cfg.DecryptTicket
}

func TestMigrationFromStockTicketsAndBack(t *testing.T) {
	for _, mtls := range []bool{false, true} {
		t.Run(map[bool]string{false: "anonymous", true: "client certificate"}[mtls], func(t *testing.T) {
			versions(t, func(t *testing.T, version uint16) {
				w := newWorld(t, ServerConfig{})
				var key [32]byte
				key[0] = 1
				instance := func() *tls.Config { // of one fleet: the same certificate and ticket keys
					cfg := &tls.Config{Certificates: w.server.Certificates}
					if mtls {
						mutual(w.ca)(cfg)
					}
					cfg.SetSessionTicketKeys([][32]byte{key})
					return cfg
				}
				client := w.client(version, func(cfg *tls.Config) {
					if mtls {
						cfg.Certificates = []tls.Certificate{w.ca.issue(t)}
					}
				})
				old, migrated := instance(), instance()
				stockHooks(migrated)
				if err := w.Install(migrated); err != nil {
					t.Fatal(err)
				}
				for _, step := range []struct {
					on   *tls.Config
					what string
					want bool
				}{
					{old, "stock", false},
					{migrated, "a stock ticket on a migrated instance", true},
					// When a stock ticket's client last proved who it is, is not known.
					{migrated, "what that issued", !mtls},
					{migrated, "a handle", true},
					{old, "a handle on an instance that was rolled back", false},
					{old, "a stock ticket again", true},
				} {
					if got := resumes(t, step.on, client); got != step.want {
						t.Errorf("%s: resumed = %v; want %v", step.what, got, step.want)
					}
				}
			})
		})
	}
}
