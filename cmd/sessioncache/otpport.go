package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/sessioncache/sessioncache/internal/otpport"
)

const otpPortHelp = `usage: sessioncache otp-port [flags]

otp-port keeps TLS sessions for the Erlang process that started it, and ends with
it: it answers the frames on its standard input on its standard output. Erlang/OTP
starts it through the session_cb of interop/otp; docs/otp.md says how.

`

// runOTPPort is the command: a session cache on the standard streams of a port of Erlang.
func runOTPPort(args []string, stdout, stderr io.Writer) int {
	return otpPort(args, os.Stdin, stdout, stderr)
}

func otpPort(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cfg, err := parseOTPPort(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	var srv *otpport.Server
	if err == nil {
		srv, err = otpport.New(cfg, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "sessioncache otp-port: %v\n", err)
		return exitUsage
	}
	signal.Ignore(os.Interrupt) // Ctrl-C in an Erlang shell is for the shell; this ends with its owner
	if err := srv.Serve(stdin); err != nil {
		fmt.Fprintf(stderr, "sessioncache otp-port: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// parseOTPPort returns what args say, or flag.ErrHelp after it printed the help to stdout.
func parseOTPPort(args []string, stdout io.Writer) (otpport.Config, error) {
	cfg := otpport.Config{Stall: 500 * time.Millisecond} // a frame comes in one write, in microseconds
	fs := flag.NewFlagSet("otp-port", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints errors, on one line
	intVar(fs, &cfg.MaxSessions, "max-sessions", 2000, "from 1 up",
		"the largest `number` of sessions; above that of OTP, which is 1000")
	int64Var(fs, &cfg.MaxBytes, "max-bytes", 128<<20, "from 1 up",
		"the largest number of `bytes` that they take with their keys")
	durationVar(fs, &cfg.TTL, "ttl", 25*time.Hour, "above 0",
		"`duration` that a session lives after it was stored; above OTP's session_lifetime, which is 24h")
	intVar(fs, &cfg.MaxFrame, "max-frame", 1<<20, fmt.Sprintf("from %d to %d", otpport.MinFrame, otpport.MaxFrame),
		fmt.Sprintf("the largest request in `bytes`: %d to %d", otpport.MinFrame, otpport.MaxFrame))
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, otpPortHelp)
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return cfg, err
	}
	if err != nil {
		return cfg, fmt.Errorf("%w; 'sessioncache otp-port -h' lists the flags", err)
	}
	if fs.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q; want flags only", fs.Arg(0))
	}
	return cfg, nil
}
