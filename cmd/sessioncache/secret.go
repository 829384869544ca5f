package main

import (
	"flag"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sessioncache/sessioncache/internal/secretdir"
)

const secretHelp = `secret keeps the secrets under which a fleet seals its TLS sessions, a file for
each in a directory that tlscache.FileSecrets reads. It prints their ids and
nothing else of them.

Rotate daily, on one machine, and bring the directory to all processes before
the next time: they need to know a secret before it is active.`

// secretCommand has a command for each action on the directory of a fleet's secrets.
func secretCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "make, show and rotate the secrets of a fleet, in a directory",
		Long:  secretHelp,
		Example: `  sessioncache secret new /etc/sessioncache/secrets
  sessioncache secret rotate -keep 24h /etc/sessioncache/secrets`,
		RunE: func(_ *cobra.Command, args []string) error {
			action := ""
			if len(args) > 0 {
				action = args[0]
			}
			return fmt.Errorf("%q is no action; want new, show or rotate%s: 'sessioncache secret -h' tells more",
				action, didYouMean(action, []string{"new", "show", "rotate"}, ""))
		},
		Args: cobra.ArbitraryArgs,
	}
	var keep time.Duration
	rotate := secretAction("rotate", "make the next secret active, add another, and remove former ones of no use",
		func(dir string) ([]secretdir.Secret, int, error) { return secretdir.Rotate(dir, time.Now(), keep) })
	declare(rotate, func(fs *flag.FlagSet) {
		durationVar(fs, &keep, "keep", secretdir.DefaultKeep, "from 0 up",
			"`duration` that a secret is kept after it was active: as long as sessions live")
	})
	rotate.PreRunE = func(*cobra.Command, []string) error {
		if keep < 0 {
			return fmt.Errorf("-keep is %v; want at least 0s", keep)
		}
		return nil
	}
	cmd.AddCommand(
		secretAction("new", "make a directory, of mode 0700, with two secrets: the active one and the next",
			func(dir string) ([]secretdir.Secret, int, error) {
				secrets, err := secretdir.New(dir, time.Now())
				return secrets, 0, err
			}),
		secretAction("show", "check a directory and show which secret is which",
			func(dir string) ([]secretdir.Secret, int, error) {
				secrets, err := secretdir.Read(dir)
				return secrets, 0, err
			}),
		rotate)
	return cmd
}

// secretAction is one action on a directory. It prints the secrets that are there afterwards.
func secretAction(verb, short string, act func(dir string) ([]secretdir.Secret, int, error)) *cobra.Command {
	return &cobra.Command{
		Use:     verb + " DIR",
		Short:   short,
		Example: "  sessioncache secret " + verb + " /etc/sessioncache/secrets",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return fmt.Errorf("%s has %d directories; want one", verb, len(args))
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			secrets, removed, err := act(args[0])
			if err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "sessioncache secret %s: the directory: %v\n", verb, err)
				return status(exitFailed)
			}
			printSecrets(cmd, secrets, removed)
			return nil
		},
	}
}

// printSecrets prints the ids and what each is for.
func printSecrets(cmd *cobra.Command, secrets []secretdir.Secret, removed int) {
	active := secretdir.Active(secrets)
	for i, s := range secrets {
		role := "former"
		if i == active {
			role = "active"
		} else if i > active {
			role = "next"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d %s\n", s.ID, role)
	}
	if removed > 0 {
		fmt.Fprintf(cmd.OutOrStdout(), "%d removed\n", removed)
	}
}
