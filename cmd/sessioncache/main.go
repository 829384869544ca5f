// Command sessioncache shows what the session cache does for TLS.
//
//	sessioncache demo              TLS servers and clients on loopback, over the cache
//	sessioncache probe host:port   whether and how a server resumes sessions
//	sessioncache secret rotate DIR the secrets of a fleet, in a directory
//	sessioncache otp-port          the sessions of Erlang/OTP, which starts this itself
//	sessioncache completion bash   completion for a shell
//	sessioncache version           what this was built from
//	sessioncache help [command]    the commands, or the flags of one
//
// It exits with 0 when all went well, 1 when something failed, and 2 on a wrong call; probe
// with 3 when the server does not resume, and 4 when that cannot be told. docs/cli.md has more.
package main

import (
	"io"
	"os"
)

// Exit codes of every command. probe has two more.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run runs the command that args name and returns an exit code.
func run(args []string, stdout, stderr io.Writer) int {
	return runWith(args, os.Stdin, stdout, stderr)
}
