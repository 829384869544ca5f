package main

import (
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
)

const (
	maxProbeDials = 100

	// exitNoResumption is the exit code of a probe that reached a server which does not
	// resume in the newest version of TLS that it speaks.
	exitNoResumption = 3

	// maxProbeAddresses bounds the addresses of one name that are tried.
	maxProbeAddresses = 8
)

// probeConfig is what the flags and the argument of probe say.
type probeConfig struct {
	target   string // host:port, as it was given
	addr     string // what to connect to instead; empty: the target
	sni      string
	dials    int
	json     bool
	insecure bool
}

// A prober dials one server in one goroutine.
type prober struct {
	ctx   context.Context
	cfg   probeConfig
	roots *x509.CertPool // nil: the system's
}

// runProbe is the command.
func runProbe(args []string, stdout, stderr io.Writer) int {
	cfg, err := parseProbe(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "sessioncache probe: %v\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return probe(&prober{ctx: ctx, cfg: cfg}, stdout, stderr)
}

// probe dials, prints, and returns the exit code.
func probe(p *prober, stdout, stderr io.Writer) int {
	rep, err := p.run()
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
	if !rep.Resumes {
		return exitNoResumption
	}
	return exitOK
}

// parseProbe returns what args say, or flag.ErrHelp after it printed the help to stdout.
func parseProbe(args []string, stdout io.Writer) (probeConfig, error) {
	var cfg probeConfig
	fs := flag.NewFlagSet("probe", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints errors, on one line
	fs.StringVar(&cfg.sni, "sni", "", "server `name` to ask for and to verify; the host of the argument if not given")
	fs.StringVar(&cfg.addr, "addr", "", "`host:port` to connect to, in place of the argument")
	fs.IntVar(&cfg.dials, "n", 4, fmt.Sprintf("`number` of full and of resumed handshakes per version: 1 to %d", maxProbeDials))
	fs.BoolVar(&cfg.json, "json", false, "print the result as one JSON object")
	fs.BoolVar(&cfg.insecure, "insecure", false, "do not verify the server's certificate")
	var targets []string
	for rest := args; ; { // flags may come after the argument, too
		err := fs.Parse(rest)
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stdout, probeHelp)
			fs.SetOutput(stdout)
			fs.PrintDefaults()
			fmt.Fprint(stdout, probeExits)
			return cfg, err
		}
		if err != nil {
			return cfg, fmt.Errorf("%w; 'sessioncache probe -h' lists the flags", err)
		}
		if fs.NArg() == 0 {
			break
		}
		targets = append(targets, fs.Arg(0))
		rest = fs.Args()[1:]
	}
	if len(targets) != 1 {
		return cfg, fmt.Errorf("%d servers given; want one, as host:port; 'sessioncache probe -h' says more", len(targets))
	}
	return cfg.complete(targets[0])
}

// complete validates and fills in what follows from the target.
func (cfg probeConfig) complete(target string) (probeConfig, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		host, port = strings.Trim(target, "[]"), "443"
	}
	if host == "" {
		return cfg, fmt.Errorf("%q has no host; want host:port", target)
	}
	if cfg.dials < 1 || cfg.dials > maxProbeDials {
		return cfg, fmt.Errorf("-n is %d; want 1 to %d", cfg.dials, maxProbeDials)
	}
	if cfg.addr != "" {
		if _, _, err := net.SplitHostPort(cfg.addr); err != nil {
			return cfg, fmt.Errorf("-addr: %w", err)
		}
	}
	cfg.target = net.JoinHostPort(host, port)
	if cfg.sni == "" {
		cfg.sni = host
	}
	return cfg, nil
}

const probeHelp = `usage: sessioncache probe [flags] host[:port]

probe connects to a TLS server several times, with TLS 1.3 and with TLS 1.2, and
says whether and how the server lets clients resume sessions, what that saves,
and if it does not, why. It sends handshakes only, no request. The port is 443
if none is given.

`

const probeExits = `
The exit status is 0 if the server resumes in the newest version that it speaks,
3 if it does not, 1 if it cannot be reached or verified, and 2 on a wrong call.
`

// addresses returns what to connect to, the first of them most.
func (p *prober) addresses() ([]string, error) {
	target := p.cfg.target
	if p.cfg.addr != "" {
		target = p.cfg.addr
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(p.ctx, dialTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	var addrs []string
	for _, ip := range ips[:min(len(ips), maxProbeAddresses)] {
		addrs = append(addrs, net.JoinHostPort(ip, port))
	}
	return addrs, nil
}

// run does all dials. An error says that there is nothing to report.
func (p *prober) run() (*probeReport, error) {
	addrs, err := p.addresses()
	if err != nil {
		return nil, err
	}
	rep := &probeReport{Target: p.cfg.target, ServerName: p.cfg.sni, Insecure: p.cfg.insecure}
	addr, first, err := p.reach(addrs)
	if err != nil {
		return nil, err
	}
	rep.Address = addr
	rep.describe(first.state)
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		v := p.probeVersion(addr, version)
		if v == nil {
			continue
		}
		if len(rep.Versions) == 0 {
			rep.Resumes = v.Resumed > 0
			p.probeOthers(rep, v, addrs, version)
		}
		rep.Versions = append(rep.Versions, v)
	}
	if p.ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	if len(rep.Versions) == 0 {
		return nil, errors.New("the server answered once and then no more")
	}
	return rep, nil
}

// reach returns the first address that answers, and what it showed.
func (p *prober) reach(addrs []string) (string, *probeDial, error) {
	var errs []error
	for _, addr := range addrs {
		for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
			d, err := p.dialOnce(addr, version, nil, 0)
			if err == nil {
				return addr, d, nil
			}
			errs = append(errs, fmt.Errorf("%s, %s: %w", addr, tls.VersionName(version), err))
			var unverified *tls.CertificateVerificationError
			if errors.As(err, &unverified) {
				return "", nil, fmt.Errorf("%w; -sni names another server name, -insecure goes on all the same", errs[0])
			}
			if d == nil { // no connection: another version is no better
				break
			}
		}
	}
	return "", nil, errors.Join(errs...)
}
