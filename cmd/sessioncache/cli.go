package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A status is the exit code of a command that has said everything already.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// statusOf returns what a command returns for an exit code.
func statusOf(code int) error {
	if code == exitOK {
		return nil
	}
	return status(code)
}

// runWith builds the commands, runs the one that args name and returns an exit code. Whatever comes back from cobra
// and is no status is a wrong call.
func runWith(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot(stdin, stdout, stderr)
	root.SetArgs(twoDashes(args))
	cmd, err := root.ExecuteC()
	var code status
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(stderr, "%s: %v\n", cmd.CommandPath(), err)
	return exitUsage
}

const rootHelp = `sessioncache shows what the session cache does for TLS.`

const rootExamples = `  sessioncache demo                 see sessions resume, expire and be revoked
  sessioncache probe example.com    does that server resume, and what is saved?
  source <(sessioncache completion bash)`

const rootEpilogue = `Flags may stand before or after arguments, and -flag is the same as --flag.

exit status:
  0  all went well
  1  something failed
  2  wrong call
  3  probe: the server does not resume
  4  probe: whether it resumes is not known`

// newRoot returns the tool with all its commands.
func newRoot(stdin io.Reader, stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "sessioncache",
		Long:          rootHelp,
		Example:       rootExamples,
		Annotations:   map[string]string{epilogue: rootEpilogue},
		SilenceErrors: true, // runWith prints them, on one line
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			writeHelp(stderr, cmd)
			return status(exitUsage)
		},
	}
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(flagError)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(cmd.OutOrStdout(), cmd) })
	root.AddCommand(demoCommand(), probeCommand(), secretCommand(), otpPortCommand(), versionCommand())
	help := helpCommand()
	root.SetHelpCommand(help)
	root.InitDefaultCompletionCmd("completion") // the argument makes cobra add it although none is asked for yet
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			describeCompletion(cmd)
		}
	}
	return root
}

// describeCompletion says in our words what cobra's own command does.
func describeCompletion(cmd *cobra.Command) {
	cmd.Short = "print the completion of commands and flags for a shell"
	cmd.Long = `completion prints a script that makes a shell complete the commands and flags of
sessioncache. The help of each shell says how to load it for good.`
	cmd.Example = `  source <(sessioncache completion bash)                  for this shell
  sessioncache completion zsh > "${fpath[1]}/_sessioncache"
  sessioncache completion fish | source`
	for _, shell := range cmd.Commands() {
		shell.Short = "print the script for " + shell.Name()
	}
	cmd.Args = noSuchCommand
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		writeHelp(cmd.ErrOrStderr(), cmd)
		return status(exitUsage)
	}
}

// declare adds the flags that fill declares, so that the values of package flag, whose errors say what is wanted,
// serve here too.
func declare(cmd *cobra.Command, fill func(*flag.FlagSet)) {
	fs := flag.NewFlagSet(cmd.Name(), flag.ContinueOnError)
	fill(fs)
	cmd.Flags().AddGoFlagSet(fs)
}

// helpCommand prints the commands, or what the command that its arguments name says about itself.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "show this, or the flags of a command: sessioncache help demo",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if of, _, err := cmd.Root().Find(args); err == nil {
				for _, c := range of.Commands() {
					if c.IsAvailableCommand() {
						names = append(names, c.Name()+"\t"+c.Short)
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			of, rest, err := root.Find(args)
			switch {
			case err != nil:
				return err
			case of == root && len(rest) > 0:
				return noSuchCommand(root, rest)
			case len(rest) > 0:
				return fmt.Errorf("%d arguments; want at most one command", len(args))
			}
			of.InitDefaultHelpFlag()
			writeHelp(cmd.OutOrStdout(), of)
			return nil
		},
	}
}

// noSuchCommand refuses arguments where only the name of a command may stand.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	path := strings.TrimPrefix(cmd.CommandPath()+" ", "sessioncache ")
	return fmt.Errorf("unknown command %q%s; 'sessioncache help%s' lists the commands",
		args[0], didYouMean(args[0], names, ""), strings.TrimSuffix(" "+path, " "))
}

// onlyFlags refuses arguments.
func onlyFlags(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q; want flags only", args[0])
	}
	return nil
}

// flagError says what is wrong with a flag in one line that names the flag, what stands there, and what may.
func flagError(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		wrong   *pflag.InvalidValueError
		missing *pflag.ValueRequiredError
	)
	switch {
	case errors.As(err, &unknown):
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		name := unknown.GetSpecifiedName()
		err = fmt.Errorf("no flag -%s%s", name, didYouMean(name, names, "-"))
	case errors.As(err, &wrong):
		err = fmt.Errorf("-%s is %q: %w", wrong.GetFlag().Name, wrong.GetValue(), wrong.Unwrap())
	case errors.As(err, &missing):
		err = fmt.Errorf("-%s has no value", missing.GetFlag().Name)
	}
	return fmt.Errorf("%w; '%s -h' lists the flags", err, cmd.CommandPath())
}
