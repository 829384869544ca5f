package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessioncache/sessioncache/internal/faults"
)

const (
	maxHosts    = 100_000
	maxClients  = 1000
	minDuration = time.Second
	maxDuration = time.Hour

	// revokedHosts is how many of the most popular hosts lose their sessions half-way.
	revokedHosts = 10
)

// demoConfig is what the flags of demo say.
type demoConfig struct {
	hosts    int
	clients  int
	duration time.Duration
	json     bool
}

// validate reports every flag that is out of range.
func (cfg demoConfig) validate() error {
	var wrong faults.List
	if cfg.hosts < 1 || cfg.hosts > maxHosts {
		wrong.Add("-hosts is %d; want 1 to %d", cfg.hosts, maxHosts)
	}
	if cfg.clients < 1 || cfg.clients > maxClients {
		wrong.Add("-clients is %d; want 1 to %d", cfg.clients, maxClients)
	}
	if cfg.duration < minDuration || cfg.duration > maxDuration {
		wrong.Add("-duration is %v; want %v to %v", cfg.duration, minDuration, maxDuration)
	}
	return wrong.Err("")
}

// demoCommand parses the flags, runs the demo and reports.
func demoCommand() *cobra.Command {
	var cfg demoConfig
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "run TLS servers and clients on loopback and show how many handshakes resume",
		Long:  demoHelp,
		Example: `  sessioncache demo                            twenty seconds, to be looked at
  sessioncache demo -clients 100 -duration 1m  more of it
  sessioncache demo -duration 5s -json         the figures, for a script`,
		Args:              onlyFlags,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.validate(); err != nil {
				return err
			}
			return statusOf(runDemo(cfg, cmd.OutOrStdout(), cmd.ErrOrStderr()))
		},
	}
	declare(cmd, cfg.flags)
	return cmd
}

// flags declares the flags of demo.
func (cfg *demoConfig) flags(fs *flag.FlagSet) {
	intVar(fs, &cfg.hosts, "hosts", 300, fmt.Sprintf("from 1 to %d", maxHosts),
		fmt.Sprintf("`number` of host names, some popular and many rare: 1 to %d", maxHosts))
	intVar(fs, &cfg.clients, "clients", 16, fmt.Sprintf("from 1 to %d", maxClients),
		fmt.Sprintf("`number` of concurrent clients, every fourth of TLS 1.2: 1 to %d", maxClients))
	durationVar(fs, &cfg.duration, "duration", 20*time.Second, fmt.Sprintf("from %v to %v", minDuration, maxDuration),
		"`duration` of the run, as in 20s or 1m: 1s to 1h")
	boolVar(fs, &cfg.json, "json", "print the result as one JSON object; progress goes to stderr")
}

// runDemo runs the demo until it is over or Ctrl-C ends it, and reports.
func runDemo(cfg demoConfig, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once

	progressTo := stdout
	if cfg.json {
		progressTo = stderr
	}
	rep, err := demo(ctx, cfg, progressTo)
	if err != nil {
		fmt.Fprintf(stderr, "sessioncache demo: %v\n", err)
		return exitFailed
	}
	return finish(rep, cfg.json, stdout, stderr)
}

// finish prints the report and what is wrong with it, and returns the exit code.
func finish(rep *report, asJSON bool, stdout, stderr io.Writer) int {
	write := rep.writeTable
	if asJSON {
		write = rep.writeJSON
	}
	if err := write(stdout); err != nil {
		fmt.Fprintf(stderr, "sessioncache demo: cannot write the report: %v\n", err)
		return exitFailed
	}
	for _, p := range rep.Problems {
		fmt.Fprintf(stderr, "sessioncache demo: %s\n", p)
	}
	if len(rep.Problems) > 0 {
		return exitFailed
	}
	return exitOK
}

const demoHelp = `demo runs a TLS server and a fleet of clients on loopback. The server keeps its
sessions in one store, the clients keep theirs in another, and the report shows
how many handshakes resume and what that saves. Sessions expire during the run,
and half-way those of the most popular hosts are revoked. The same load runs on
stock crypto/tls beside it: its own tickets, and an LRU cache with room for all
hosts in the clients.`

// demo runs two fleets, one over the cache and one on stock crypto/tls, until cfg.duration has passed or ctx ends.
func demo(ctx context.Context, cfg demoConfig, progressTo io.Writer) (*report, error) {
	id, err := newIdentity()
	if err != nil {
		return nil, err
	}
	hosts := newHosts(cfg.hosts, cfg.duration)
	srv, err := startServer(id.leaf, hosts, sessionTTL(cfg.duration))
	if err != nil {
		return nil, err
	}
	defer srv.close()
	stock, err := startStock(id.leaf)
	if err != nil {
		return nil, err
	}
	defer stock.close()
	fl, err := newFleet(cfg.clients, hosts, srv.addr(), id.roots)
	if err != nil {
		return nil, err
	}
	defer fl.sessions.Close()
	stockFleet := newStockFleet(cfg.clients, hosts, stock.addr(), id.roots)

	running, cancel := context.WithTimeout(ctx, cfg.duration)
	defer cancel()
	begin := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var both sync.WaitGroup
		both.Go(func() { fl.run(running) })
		both.Go(func() { stockFleet.run(running) })
		both.Wait()
	}()
	s := newStory(progressTo, intro(cfg), cfg.duration, begin, func() moment {
		return moment{time.Now(), fl.count(), stockFleet.count(), srv.sessions.Stats()}
	})
	revokedOf := watch(done, s, srv, fl)
	elapsed := time.Since(begin)
	srv.stop()
	stock.stop()

	rep := newReport(cfg, elapsed, srv, fl)
	rep.addStock(stock, stockFleet)
	rep.RevokedHosts = revokedOf
	rep.Interrupted = ctx.Err() != nil
	return rep, nil
}

// intro describes the run, so that the numbers can be read.
func intro(cfg demoConfig) string {
	return fmt.Sprintf("%s (%d of TLS 1.2) for %v, %s on loopback; the same load on stock crypto/tls beside it. Sessions live %v, "+
		"on every tenth host %v.", plural(cfg.clients, "client"), cfg.clients/tls12Every, cfg.duration, plural(cfg.hosts, "host"),
		sessionTTL(cfg.duration), shortTTL(cfg.duration))
}

// plural returns "1 host" or "2 hosts".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// watch tells the story and revokes half-way, until done is closed. It returns how many hosts it revoked.
func watch(done <-chan struct{}, s *story, srv *server, fl *fleet) int {
	defer s.end()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	halfWay := time.NewTimer(time.Until(s.begin.Add(s.duration / 2)))
	defer halfWay.Stop()
	var revoked int
	var aftermath <-chan time.Time // when to say what became of the revoked sessions
	for {
		select {
		case <-done:
			return revoked
		case <-halfWay.C:
			popular := fl.hosts[:min(revokedHosts, len(fl.hosts))]
			sessions, err := srv.revoke(popular)
			if err != nil {
				s.say("Cannot revoke: %v", err)
				continue
			}
			revoked = len(popular)
			s.say("Revoked the %d sessions of %s, at once. Stock tickets end only all together, with their keys.", sessions, plural(revoked, "host"))
			aftermath = time.After(min(time.Second, s.duration/4))
		case <-aftermath:
			m := s.now()
			s.say("Since then clients offered revoked sessions %d times: %d resumed here, %d of %d on stock crypto/tls.",
				m.ours.revokedFull+m.ours.revokedResumed, m.ours.revokedResumed,
				m.stock.revokedResumed, m.stock.revokedFull+m.stock.revokedResumed)
		case <-tick.C:
			s.tick()
		}
	}
}
