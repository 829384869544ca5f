package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// epilogue is the annotation of a command with what comes last in its help.
const epilogue = "epilogue"

// helpColumns is what help is written for: the narrowest terminal that people have by default.
const helpColumns = 80

// writeHelp writes what a command does, its commands, its flags and an example.
func writeHelp(w io.Writer, cmd *cobra.Command) {
	if f := cmd.Flags().Lookup("help"); f != nil {
		f.Hidden = true // it says nothing to who has just found it
	}
	var b strings.Builder
	section := func(title, text string) {
		if text = strings.Trim(text, "\n"); text == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		if title != "" {
			b.WriteString(title + ":\n")
		}
		b.WriteString(text + "\n")
	}
	if cmd.HasParent() {
		section("", "usage: "+useLine(cmd))
		section("", firstNonEmpty(cmd.Long, cmd.Short))
	} else {
		section("", cmd.Long)
		section("", "usage: "+cmd.Name()+" <command> [flags]")
	}
	section("commands", commandTable(cmd))
	section("flags", flagTable(cmd))
	section("examples", cmd.Example)
	section("", cmd.Annotations[epilogue])
	io.WriteString(w, b.String()) // a terminal that is gone needs no help
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// useLine is how a command is called. Cobra puts the flags last; here they come first, as everywhere else in our pages.
func useLine(cmd *cobra.Command) string {
	_, args, _ := strings.Cut(cmd.Use, " ")
	line := cmd.CommandPath()
	if cmd.HasAvailableSubCommands() {
		return line + " <command>"
	}
	if cmd.HasAvailableFlags() && cmd.Name() != "help" {
		line += " [flags]"
	}
	return strings.TrimSpace(line + " " + args)
}

func commandTable(cmd *cobra.Command) string {
	var b strings.Builder
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			fmt.Fprintf(&b, "  %-11s %s\n", c.Name(),
				strings.ReplaceAll(wrap(c.Short, helpColumns-14, ""), "\n", "\n"+strings.Repeat(" ", 14)))
		}
	}
	return b.String()
}

// flagPrefix is how pflag begins the line of a flag; the short form is always the name itself.
var flagPrefix = regexp.MustCompile(`^  (    |-., )--`)

// flagTable is pflag's, with the one dash of our pages.
func flagTable(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return "" // -h and -version, which their commands say better
	}
	var b strings.Builder
	for line := range strings.Lines(cmd.LocalFlags().FlagUsagesWrapped(helpColumns + 5)) {
		if loc := flagPrefix.FindStringIndex(line); loc != nil {
			line = "  -" + line[loc[1]:]
		} else {
			line = strings.TrimPrefix(line, "     ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// longFlag is a flag of several letters behind one dash. What begins with a digit is a negative number.
var longFlag = regexp.MustCompile(`^-[A-Za-z][A-Za-z0-9-]+(=.*)?$`)

// twoDashes gives flags of several letters their second dash: pflag would take -hosts for five flags of one letter.
func twoDashes(args []string) []string {
	args = append([]string{}, args...) // never nil: cobra would take those of the process
	for i, arg := range args {
		if arg == "--" {
			break // what follows are arguments
		}
		if longFlag.MatchString(arg) {
			args[i] = "-" + arg
		}
	}
	return args
}

// didYouMean names what is near to a word that is none of those known; empty where nothing is.
func didYouMean(word string, known []string, prefix string) string {
	best, nearest := "", 3 // two letters wrong are a slip, three another word
	for _, k := range known {
		d := distance(word, k)
		if len(word) >= 3 && strings.HasPrefix(k, word) {
			d = 1
		}
		if d < nearest && d < len(k) {
			best, nearest = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s%s?", prefix, best)
}

// distance is that of Levenshtein: how many letters to insert, delete or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
