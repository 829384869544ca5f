package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/sessioncache/sessioncache/interop/parts"
	"github.com/sessioncache/sessioncache/tlscache"
)

func TestClientResumesWithForeignServers(t *testing.T) {
	parts.Need(t, "openssl") // makes the certificates of both servers
	var table strings.Builder
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		short := map[uint16]string{tls.VersionTLS12: "tls1_2", tls.VersionTLS13: "tls1_3"}[version]
		servers := map[string]func() *foreignServer{
			"openssl s_server": func() *foreignServer { return startOpenSSL(t, "-www", "-"+short) },
			"nginx": func() *foreignServer {
				return startNginx(t, strings.Replace(strings.ToUpper(strings.Replace(short, "tls", "TLSv", 1)), "TLSV1_", "TLSv1.", 1))
			},
		}
		for name, start := range servers {
			if part, _, _ := strings.Cut(name, " "); parts.Skipped(t, part) {
				t.Logf("SKIP leaves out %s", part)
				continue
			}
			s := start()
			for _, singleUse := range []bool{false, true} {
				c := newClient(t, tlscache.ClientConfig{SingleUse: singleUse})
				cfg := s.installed(t, c, version)
				held := 0
				for i := range 5 {
					conn, err := s.open(cfg, nil)
					if err != nil {
						t.Fatal(err)
					}
					resumed, err := get(conn)
					// A TLS 1.2 server need not renew the ticket that it accepts, and then there
					// is none left that was not used.
					want := i > 0 && (version == tls.VersionTLS13 || !singleUse || i%2 == 1)
					if err != nil || resumed != want {
						t.Errorf("%s, %s, SingleUse %v, visit %d: resumed = %v, error %v; want %v", name, tls.VersionName(version), singleUse, i, resumed, err, want)
					}
					if i == 0 {
						held = c.Stats().Held
					}
				}
				st := c.Stats()
				fmt.Fprintf(&table, "%-18s %s  SingleUse %-5v  %d tickets from the first connection, %d of 4 resumed\n",
					name, tls.VersionName(version), singleUse, held, st.Accepted)
			}
		}
	}
	t.Logf("\n%s", &table)
}

// nginx sends exactly two tickets. 64 connections at once: each resumes in the default mode, two
// in SingleUse mode, where no ticket goes over the wire twice.
func TestBurstsResumeFromTheTwoTicketsOfNginx(t *testing.T) {
	parts.Need(t, "nginx")
	parts.Need(t, "openssl") // makes its certificate
	const burst = 64
	rounds := 5
	if os.Getenv("TLS_FULL") != "" {
		rounds = 500
	}
	s := startNginx(t, "TLSv1.3")
	for _, singleUse := range []bool{false, true} {
		offers, total, want := new(wireOffers), 0, burst
		if singleUse {
			want = 2
		}
		for range rounds {
			c := newClient(t, tlscache.ClientConfig{SingleUse: singleUse})
			cfg := s.installed(t, c, tls.VersionTLS13)
			first := together(t, s, cfg, offers, 1)
			if held := c.Stats().Held; first != 0 || held != 2 {
				t.Fatalf("the first connection resumed %d times and left %d tickets; want 0 and 2", first, held)
			}
			resumed := together(t, s, cfg, offers, burst)
			if resumed != want {
				t.Errorf("SingleUse %v: %d of %d resumed; want %d", singleUse, resumed, burst, want)
			}
			total += resumed
		}
		offered, twice := offers.count()
		t.Logf("SingleUse %-5v  %d rounds of %d: %d resumed, %d tickets offered, %d of them twice or more",
			singleUse, rounds, burst, total, offered, twice)
		if singleUse && (twice > 0 || offered != 2*rounds) || !singleUse && twice == 0 {
			t.Errorf("SingleUse %v: %d offers, %d tickets offered more than once", singleUse, offered, twice)
		}
	}
}

// together opens n connections at once, and reads from none before all have resumed or not.
func together(t *testing.T, s *foreignServer, cfg *tls.Config, offers *wireOffers, n int) (resumed int) {
	t.Helper()
	conns := make([]*tls.Conn, n)
	var opening sync.WaitGroup
	for i := range conns {
		opening.Go(func() {
			conn, err := s.open(cfg, offers)
			if err != nil {
				t.Error(err)
				return
			}
			conns[i] = conn
		})
	}
	opening.Wait()
	for _, conn := range conns {
		if conn == nil {
			continue
		}
		ok, err := get(conn)
		if err != nil {
			t.Error(err)
		}
		if ok {
			resumed++
		}
	}
	return resumed
}

func TestClientIsTransportCredentialsOfGRPC(t *testing.T) {
	certFile, keyFile := selfSigned(t)
	creds, err := credentials.NewServerTLSFromFile(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var resumed []bool // by connection
	note := func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		p, _ := peer.FromContext(ctx)
		mu.Lock()
		defer mu.Unlock()
		resumed = append(resumed, p.AuthInfo.(credentials.TLSInfo).State.DidResume)
		return next(ctx, req)
	}
	server := grpc.NewServer(grpc.Creds(creds), grpc.UnaryInterceptor(note))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	l := listen(t)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	c := newClient(t, tlscache.ClientConfig{})
	cfg := &tls.Config{ServerName: serverName, InsecureSkipVerify: true}
	if err := c.Install(cfg); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(cfg)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(resumed) != 3 || resumed[0] || !resumed[1] || !resumed[2] {
		t.Errorf("connections resumed = %v; want the second and third", resumed)
	}
}

// The probe sees early data and single use, which OpenSSL combines, and session ids.
func TestProbeReadsOpenSSL(t *testing.T) {
	parts.Need(t, "openssl")
	tool := filepath.Join(t.TempDir(), "sessioncache")
	build := exec.Command("go", "build", "-o", tool, ".")
	build.Dir = "../cmd/sessioncache" // a module of its own
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	type version struct {
		Version  string `json:"version"`
		Resumed  int    `json:"resumed"`
		Why      string `json:"why_not"`
		Tickets  int    `json:"tickets_per_connection"`
		Reusable *bool  `json:"ticket_reusable"`
		Lifetime int    `json:"ticket_lifetime_s"`
		Early    int    `json:"early_data_bytes"`
	}
	probe := func(s *foreignServer, code int) []version {
		t.Helper()
		cmd := exec.Command(tool, "probe", "-json", "-n", "2", "-insecure", "-sni", serverName, s.addr)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if got := cmd.ProcessState.ExitCode(); got != code {
			t.Fatalf("probe exited with %d, %v; want %d\n%s%s", got, err, code, out, &errs)
		}
		var rep struct {
			Versions []version `json:"versions"`
		}
		if err := json.Unmarshal(out, &rep); err != nil {
			t.Fatal(err)
		}
		return rep.Versions
	}
	got := probe(startOpenSSL(t, "-early_data", "-max_early_data", "16384"), 0)
	if len(got) != 2 || got[0].Version != "TLS 1.3" || got[0].Resumed != 2 || got[0].Tickets != 2 ||
		got[0].Reusable == nil || *got[0].Reusable || got[0].Early != 16384 || got[0].Lifetime != 7200 {
		t.Errorf("of a server with early data: %+v; want two tickets for 7200 s of single use with 16384 bytes", got)
	}
	if len(got) == 2 && (got[1].Version != "TLS 1.2" || got[1].Resumed != 2 || got[1].Lifetime != 7200 || got[1].Reusable == nil || !*got[1].Reusable) {
		t.Errorf("the same with TLS 1.2: %+v; want tickets for 7200 s that are taken again", got[1])
	}
	got = probe(startOpenSSL(t, "-no_ticket", "-tls1_2"), 4)
	if len(got) != 1 || !strings.Contains(got[0].Why, "session ids and no tickets") {
		t.Errorf("of a server with session ids: %+v; want it told so", got)
	}
	for _, flag := range []string{"-tls1_2", "-tls1_3", "-quiet"} { // the last: both versions
		if got = probe(startOpenSSL(t, "-Verify", "1", flag), 4); len(got) != 0 {
			t.Errorf("of a server with -Verify 1 %s: %+v; want that nothing is known", flag, got)
		}
	}
}
