package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

const (
	maxProbeDials = 100

	// defaultProbeDials tells a saving of time from chance, see savings.
	defaultProbeDials = 6

	// maxProbeAddresses bounds the addresses of one name that are tried.
	maxProbeAddresses = 8

	minTimeout = 100 * time.Millisecond
	maxTimeout = 10 * time.Minute
)

// Exit codes of probe, besides those of every command.
const (
	exitNoResumption = 3
	exitUnknown      = 4
)

// probeExits says what the exit codes of probe mean, for help; docs/tls.md has the same table.
var probeExits = []struct {
	code    int
	meaning string
}{
	{exitOK, "the server resumes, in the newest version of TLS that it speaks"},
	{exitFailed, "no handshake: not reached, no TLS, or a certificate that is not trusted"},
	{exitUsage, "wrong call"},
	{exitNoResumption, "the server does not resume in that version"},
	{exitUnknown, "not known: the server requires a client certificate, stops answering, or resumes by session id at most; or probe was interrupted"},
}

// exitCode returns that of a probe that got a handshake or word of a client certificate.
func (r *probeReport) exitCode() int {
	switch r.Verdict {
	case verdictYes:
		return exitOK
	case verdictNo:
		return exitNoResumption
	}
	return exitUnknown
}

// probeConfig is what the flags and the argument of probe say.
type probeConfig struct {
	target   string // host:port
	addr     string // host:port to connect to instead; empty: the target
	sni      string
	dials    int           // of each kind and version
	timeout  time.Duration // of a connection with its handshake; 0: defaultTimeout
	json     bool
	insecure bool
	alpn     []string // protocols to offer; none: no extension

	certFile, keyFile string
	certificate       *tls.Certificate // of the client; nil: none
}

// A prober dials one server in one goroutine.
type prober struct {
	ctx      context.Context
	cfg      probeConfig
	roots    *x509.CertPool // nil: the system's
	progress *progress      // nil: show none
}

// show says what is going on, on a terminal.
func (p *prober) show(format string, args ...any) {
	if p.progress != nil && p.progress.terminal {
		text := []rune("probe: " + fmt.Sprintf(format, args...))
		columns, _ := sizeOf(p.progress.w)
		p.progress.rewrite(string(text[:min(len(text), maxColumns, columns-1)]))
	}
}

// probeCommand probes one server.
func probeCommand() *cobra.Command {
	var cfg probeConfig
	cmd := &cobra.Command{
		Use:   "probe host[:port]",
		Short: "connect to a TLS server and tell whether and how it resumes sessions",
		Long:  probeHelp,
		Example: `  sessioncache probe example.com
  sessioncache probe -n 20 -json https://example.com:8443
  sessioncache probe -cert client.pem -key client.key example.com
  sessioncache probe -addr 192.0.2.7:443 example.com   one server behind a name`,
		Annotations:       map[string]string{epilogue: exitTable()},
		Args:              oneServer,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := cfg.complete(args[0])
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
			stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
			return statusOf(probe(&prober{ctx: ctx, cfg: cfg, progress: newProgress(stderr)}, stdout, stderr))
		},
	}
	declare(cmd, cfg.flags)
	return cmd
}

// flags declares the flags of probe.
func (cfg *probeConfig) flags(fs *flag.FlagSet) {
	fs.StringVar(&cfg.sni, "sni", "", "server `name` to ask for and to verify; the host of the argument if not given")
	fs.StringVar(&cfg.sni, "servername", "", "the same `name` as -sni, by the word of openssl s_client")
	fs.StringVar(&cfg.addr, "addr", "", "`host:port` to connect to, in place of the argument")
	fs.Func("timeout", fmt.Sprintf("`time` that a connection with its handshake may take, as in 500ms or 5s: %v to %v (default %v)", minTimeout, maxTimeout, defaultTimeout), cfg.setTimeout)
	intVar(fs, &cfg.dials, "n", defaultProbeDials, fmt.Sprintf("from 1 to %d", maxProbeDials),
		fmt.Sprintf("`number` of full and of resumed handshakes per version: 1 to %d", maxProbeDials))
	boolVar(fs, &cfg.json, "json", "print the result as one JSON object")
	fs.Func("alpn", "`protocols` to offer, as in h2,http/1.1; none if not given", cfg.setALPN)
	fs.StringVar(&cfg.certFile, "cert", "", "`file` with the client certificate to show, and its chain, in PEM")
	fs.StringVar(&cfg.keyFile, "key", "", "`file` with the key of -cert in PEM; the same file if not given")
	boolVar(fs, &cfg.insecure, "insecure", "do not verify the server's certificate")
}

// oneServer wants the server to probe and nothing else.
func oneServer(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%d servers given; want one, as host, host:port, [IPv6]:port or an https:// URL; 'sessioncache probe -h' says more", len(args))
	}
	return nil
}

// probe dials, prints, and returns the exit code.
func probe(p *prober, stdout, stderr io.Writer) int {
	rep, err := p.run()
	if p.progress != nil {
		p.progress.clear()
	}
	if err != nil {
		fmt.Fprintf(stderr, "sessioncache probe: %v\n", err)
		return exitFailed
	}
	write := rep.writeTable
	if p.cfg.json {
		write = rep.writeJSON
	}
	if err := write(stdout); err != nil {
		fmt.Fprintf(stderr, "sessioncache probe: cannot write the report: %v\n", err)
		return exitFailed
	}
	return rep.exitCode()
}

// setTimeout takes the value of -timeout.
func (cfg *probeConfig) setTimeout(value string) error {
	d, err := time.ParseDuration(value)
	if err != nil {
		return errors.New("want a number with a unit, as in 500ms or 5s")
	}
	if d < minTimeout || d > maxTimeout {
		return fmt.Errorf("want %v to %v", minTimeout, maxTimeout)
	}
	cfg.timeout = d
	return nil
}

// maxALPN is the longest protocol name that fits its extension (RFC 7301 section 3.1).
const maxALPN = 255

// setALPN takes the value of -alpn.
func (cfg *probeConfig) setALPN(value string) error {
	cfg.alpn = strings.Split(value, ",")
	for _, name := range cfg.alpn {
		if name == "" || len(name) > maxALPN {
			return fmt.Errorf("want protocols of 1 to %d bytes each with commas between, as in h2,http/1.1", maxALPN)
		}
	}
	return nil
}

// loadCertificate reads what -cert and -key name. Its errors do not repeat what is in the files.
func (cfg *probeConfig) loadCertificate() error {
	if cfg.certFile == "" {
		if cfg.keyFile != "" {
			return errors.New("-key is given without -cert; want both, or -cert alone where its file has the key")
		}
		return nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.certFile, cmp.Or(cfg.keyFile, cfg.certFile))
	if err != nil {
		return fmt.Errorf("-cert and -key: %w", err)
	}
	cfg.certificate = &pair
	return nil
}

// complete validates and fills in what follows from the target.
func (cfg probeConfig) complete(target string) (probeConfig, error) {
	host, port, err := parseTarget(target)
	if err != nil {
		return cfg, err
	}
	if port == "" {
		port = "443"
	}
	if cfg.dials < 1 || cfg.dials > maxProbeDials {
		return cfg, fmt.Errorf("-n is %d; want 1 to %d", cfg.dials, maxProbeDials)
	}
	if cfg.addr != "" {
		if _, _, err := net.SplitHostPort(cfg.addr); err != nil {
			return cfg, fmt.Errorf("-addr: %w", err)
		}
		host, port, err := parseTarget(cfg.addr)
		if err != nil {
			return cfg, fmt.Errorf("-addr: %w", err)
		}
		cfg.addr = net.JoinHostPort(host, port)
	}
	cfg.target = net.JoinHostPort(host, port)
	if cfg.sni == "" {
		cfg.sni = host
	} else if err := checkHost(cfg.sni); err != nil {
		return cfg, fmt.Errorf("-sni %q %w; want a host name", cfg.sni, err)
	}
	cfg.sni = serverNameOf(cfg.sni)
	return cfg, cfg.loadCertificate()
}

const probeHelp = `probe connects to a TLS server several times, with TLS 1.3 and with TLS 1.2, and
says whether and how the server lets clients resume sessions, what that saves,
and if it does not, why. It sends handshakes only, no request, and shows a
client certificate only if -cert names one. The server is given as host,
host:port, [IPv6]:port or an https:// URL; the port is 443 if none is given.
Ctrl-C ends it with a report of what is known so far.`

// exitTable says what the exit codes mean.
func exitTable() string {
	var b strings.Builder
	b.WriteString("exit status:\n")
	for _, e := range probeExits {
		text := wrap(fmt.Sprintf("%d  %s", e.code, e.meaning), maxColumns-2, "   ")
		fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(text, "\n", "\n  "))
	}
	return b.String()
}

// addresses returns what to connect to, the first of them most.
func (p *prober) addresses() ([]string, error) {
	host, port, err := net.SplitHostPort(cmp.Or(p.cfg.addr, p.cfg.target))
	if err != nil {
		return nil, err
	}
	p.show("looking up %s", host)
	ctx, cancel := context.WithTimeout(p.ctx, p.timeout())
	defer cancel()
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, errors.New(p.diagnoseLookup(host, err).says)
	}
	var addrs []string
	for _, ip := range ips[:min(len(ips), maxProbeAddresses)] {
		addrs = append(addrs, net.JoinHostPort(ip, port))
	}
	return addrs, nil
}

// bothVersions are what probe speaks, the newest first.
var bothVersions = []uint16{tls.VersionTLS13, tls.VersionTLS12}

// run does all dials. An error says that there is nothing to report.
func (p *prober) run() (*probeReport, error) {
	addrs, err := p.addresses()
	if err != nil {
		return nil, err
	}
	addr, first, err := p.reach(addrs)
	if err != nil {
		return nil, err
	}
	rep := &probeReport{Target: p.cfg.target, ServerName: p.cfg.sni, Address: addr, Insecure: p.cfg.insecure,
		Versions: []*versionReport{}, NotProbed: []notProbed{}} // lists in JSON, also where they are empty
	rep.describe(first.state)
	for _, version := range bothVersions {
		v := p.probeVersion(addr, version)
		if len(v.full) == 0 {
			why := v.fault.says
			if version == first.version && first.fault == nil && v.fault.passing() {
				why = "the server answered once, and then no more: " + why
			}
			rep.NotProbed = append(rep.NotProbed, notProbed{v.Version, v.fault.kind, why})
			if rep.Verdict == "" && (v.fault.kind == faultClientCert || version == first.version) {
				rep.Verdict = verdictUnknown // it speaks this version, and no more is known of it
			}
			continue
		}
		if rep.Verdict == "" {
			rep.Verdict = v.verdict()
			p.probeOthers(rep, v, addrs, version)
		}
		rep.Versions = append(rep.Versions, v)
	}
	rep.Interrupted = p.ctx.Err() != nil
	rep.Verdict = cmp.Or(rep.Verdict, verdictUnknown)
	rep.Resumes = rep.Verdict == verdictYes
	return rep, nil
}

// reach returns the first address that answers, and what it showed.
func (p *prober) reach(addrs []string) (string, *probeDial, error) {
	var failures []string
	for _, addr := range addrs {
		var faults []*fault
		for _, version := range bothVersions {
			p.show("connecting to %s with %s, %v at most", addr, tls.VersionName(version), p.timeout())
			d := p.dialOnce(addr, version, nil, 0)
			if d.fault == nil || d.fault.kind == faultClientCert {
				return addr, d, nil
			}
			if d.fault.kind == faultInterrupted || d.fault.kind == faultUntrusted {
				return "", nil, fmt.Errorf("%s: %s", addr, d.fault.says)
			}
			faults = append(faults, d.fault)
			if !d.connected || d.fault.everyVersion() {
				break
			}
		}
		failures = append(failures, addr+": "+inEveryVersion(faults))
	}
	return "", nil, errors.New(strings.Join(failures, "\n"))
}

// inEveryVersion says why no version of TLS worked, in as few words as that takes.
func inEveryVersion(faults []*fault) string {
	if len(faults) == 1 || faults[0].says == faults[1].says {
		return faults[0].says
	}
	if faults[0].kind == faultVersion && faults[1].kind == faultVersion {
		return "the server speaks neither TLS 1.3 nor TLS 1.2"
	}
	var texts []string
	for i, f := range faults {
		texts = append(texts, tls.VersionName(bothVersions[i])+": "+f.says)
	}
	return strings.Join(texts, "\n")
}
