package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/sessioncache/sessioncache/internal/secretdir"
)

const secretHelp = `usage: sessioncache secret new DIR
       sessioncache secret show DIR
       sessioncache secret rotate [-keep duration] DIR

secret keeps the secrets under which a fleet seals its TLS sessions, a file for each
in a directory that tlscache.FileSecrets reads. It prints their ids and nothing else
of them.

  new     make a directory, of mode 0700, with two secrets: the active one and the next
  show    check a directory and show which secret is which
  rotate  make the next secret active, add another, and remove former ones of no use

Rotate daily, on one machine, and bring the directory to all processes before the
next time: they need to know a secret before it is active.

`

// runSecret is the command: the secrets of a fleet in a directory.
func runSecret(args []string, stdout, stderr io.Writer) int {
	verb, dir, keep, err := parseSecret(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "sessioncache secret: %v\n", err)
		return exitUsage
	}
	var secrets []secretdir.Secret
	removed := 0
	switch verb {
	case "new":
		secrets, err = secretdir.New(dir, time.Now())
	case "show":
		secrets, err = secretdir.Read(dir)
	case "rotate":
		secrets, removed, err = secretdir.Rotate(dir, time.Now(), keep)
	}
	if err != nil {
		fmt.Fprintf(stderr, "sessioncache secret %s: the directory: %v\n", verb, err)
		return exitFailed
	}
	active := secretdir.Active(secrets)
	for i, s := range secrets {
		role := "former"
		if i == active {
			role = "active"
		} else if i > active {
			role = "next"
		}
		fmt.Fprintf(stdout, "%d %s\n", s.ID, role)
	}
	if removed > 0 {
		fmt.Fprintf(stdout, "%d removed\n", removed)
	}
	return exitOK
}

// parseSecret returns what args say, or flag.ErrHelp after it printed the help to stdout.
func parseSecret(args []string, stdout io.Writer) (verb, dir string, keep time.Duration, err error) {
	if len(args) > 0 {
		verb = args[0]
	}
	fs := flag.NewFlagSet("secret", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints errors, on one line
	switch verb {
	case "-h", "-help", "--help", "new", "show":
	case "rotate":
		durationVar(fs, &keep, "keep", secretdir.DefaultKeep, "from 0 up",
			"`duration` that a secret is kept after it was active: as long as sessions live")
	default:
		return "", "", 0, fmt.Errorf("%q is no action; want new, show or rotate: 'sessioncache secret -h' tells more", verb)
	}
	if verb[0] == '-' {
		fmt.Fprint(stdout, secretHelp)
		return "", "", 0, flag.ErrHelp
	}
	err = fs.Parse(args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, secretHelp)
		fs.SetOutput(stdout)
		fs.PrintDefaults()
	case err != nil:
		err = fmt.Errorf("%w; 'sessioncache secret %s -h' lists the flags", err, verb)
	case keep < 0:
		err = fmt.Errorf("-keep is %v; want at least 0s", keep)
	case fs.NArg() != 1 || fs.Arg(0) == "":
		err = fmt.Errorf("%s has %d directories; want one, after the flags", verb, fs.NArg())
	}
	return verb, fs.Arg(0), keep, err
}
