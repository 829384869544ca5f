package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessioncache/sessioncache/internal/otpport"
)

const otpPortHelp = `otp-port keeps TLS sessions for the Erlang process that started it, and ends
with it: it answers the frames on its standard input on its standard output.
Erlang/OTP starts it through the session_cb of interop/otp; docs/otp.md says how.`

// otpPortCommand is a session cache on the standard streams of a port of Erlang.
func otpPortCommand() *cobra.Command {
	cfg := otpport.Config{Stall: 500 * time.Millisecond} // a frame comes in one write, in microseconds
	cmd := &cobra.Command{
		Use:               "otp-port",
		Short:             "keep the sessions of Erlang/OTP's ssl application, which starts this itself",
		Long:              otpPortHelp,
		Example:           "  sessioncache otp-port -max-sessions 20000 -ttl 25h",
		Args:              onlyFlags,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			srv, err := otpport.New(cfg, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			signal.Ignore(os.Interrupt) // Ctrl-C in an Erlang shell is for the shell; this ends with its owner
			if err := srv.Serve(cmd.InOrStdin()); err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "sessioncache otp-port: %v\n", err)
				return status(exitFailed)
			}
			return nil
		},
	}
	declare(cmd, func(fs *flag.FlagSet) { otpPortFlags(fs, &cfg) })
	return cmd
}

func otpPortFlags(fs *flag.FlagSet, cfg *otpport.Config) {
	intVar(fs, &cfg.MaxSessions, "max-sessions", 2000, "from 1 up",
		"the largest `number` of sessions; above that of OTP, which is 1000")
	int64Var(fs, &cfg.MaxBytes, "max-bytes", 128<<20, "from 1 up",
		"the largest number of `bytes` that they take with their keys")
	durationVar(fs, &cfg.TTL, "ttl", 25*time.Hour, "above 0",
		"`duration` that a session lives after it was stored; above OTP's session_lifetime, which is 24h")
	intVar(fs, &cfg.MaxFrame, "max-frame", 1<<20, fmt.Sprintf("from %d to %d", otpport.MinFrame, otpport.MaxFrame),
		fmt.Sprintf("the largest request in `bytes`: %d to %d", otpport.MinFrame, otpport.MaxFrame))
}
