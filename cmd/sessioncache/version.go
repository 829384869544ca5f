package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// A build says what the tool was made from. Its JSON form is the output of version -json; names in it stay.
type build struct {
	Version  string `json:"version"`            // of the module; (devel) where it was built from a work tree
	Revision string `json:"revision,omitempty"` // of the repository
	Time     string `json:"time,omitempty"`     // of that revision
	Modified bool   `json:"modified"`           // the work tree differed from it
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "version",
		Short:             "say what this tool was built from",
		Example:           "  sessioncache version -json",
		Args:              onlyFlags,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo()
			if err := buildOf(info).write(cmd.OutOrStdout(), asJSON); err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "sessioncache version: cannot write: %v\n", err)
				return status(exitFailed)
			}
			return nil
		},
	}
	declare(cmd, func(fs *flag.FlagSet) { boolVar(fs, &asJSON, "json", "print one JSON object") })
	return cmd
}

// buildOf reads what the go command left in the program; nil is a program built without it.
func buildOf(info *debug.BuildInfo) build {
	b := build{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (b build) write(w io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(b)
	}
	text := fmt.Sprintf("sessioncache %s, %s, %s\n", b.Version, b.Go, b.Platform)
	if b.Revision != "" {
		text += fmt.Sprintf("revision %s of %s", b.Revision, b.Time)
		if b.Modified {
			text += ", modified"
		}
		text += "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}
