// Command sessioncache shows what the session cache does for TLS.
//
//	sessioncache demo              TLS servers and clients on loopback, over the cache
//	sessioncache probe host:port   whether and how a server resumes sessions
//	sessioncache secret rotate DIR the secrets of a fleet, in a directory
//	sessioncache otp-port          the sessions of Erlang/OTP, which starts this itself
//	sessioncache help [command]    the commands, or the flags of one
//
// It exits with 0 when all went well, 1 when something failed, and 2 on a wrong call; probe
// with 3 when the server does not resume, and 4 when that cannot be told.
package main

import (
	"fmt"
	"io"
	"os"
)

// Exit codes of every command.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

// A command is one row of the command table. run gets the arguments after the command's
// name and returns an exit code.
type command struct {
	name    string
	summary string
	run     func(args []string, stdout, stderr io.Writer) int
}

var commands = []command{
	{"demo", "run TLS servers and clients on loopback and show how many handshakes resume", runDemo},
	{"probe", "connect to a TLS server and tell whether and how it resumes sessions", runProbe},
	{"secret", "make, show and rotate the secrets of a fleet, in a directory", runSecret},
	{"otp-port", "keep the sessions of Erlang/OTP's ssl application, which starts this itself", runOTPPort},
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run finds the command that args name and runs it.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		printUsage(stderr)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "-h", "-help", "--help":
		printUsage(stdout)
		return exitOK
	case "help":
		return runHelp(rest, stdout, stderr)
	}
	if c := find(name); c != nil {
		return c.run(rest, stdout, stderr)
	}
	return unknownCommand(name, stderr)
}

// runHelp prints the commands, or what the command that args name says about itself.
func runHelp(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		printUsage(stdout)
		return exitOK
	}
	if len(args) > 1 {
		fmt.Fprintf(stderr, "sessioncache help: %d arguments; want at most one command\n", len(args))
		return exitUsage
	}
	if c := find(args[0]); c != nil {
		return c.run([]string{"-h"}, stdout, stderr)
	}
	return unknownCommand(args[0], stderr)
}

func find(name string) *command {
	for i := range commands {
		if commands[i].name == name {
			return &commands[i]
		}
	}
	return nil
}

func unknownCommand(name string, stderr io.Writer) int {
	fmt.Fprintf(stderr, "sessioncache: unknown command %q; 'sessioncache help' lists the commands\n", name)
	return exitUsage
}

func printUsage(w io.Writer) {
	fmt.Fprint(w, "sessioncache shows what the session cache does for TLS.\n\n"+
		"usage: sessioncache <command> [flags]\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.summary)
	}
	fmt.Fprintf(w, "  %-8s %s\n", "help", "show this, or the flags of a command: sessioncache help demo")
}
