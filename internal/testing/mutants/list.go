package main

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// A mutant is one fault: a text of one file and what stands there instead.
type mutant struct {
	name     string
	file     string // by its path in the module, with slashes
	breaks   string // the promise that the fault breaks
	tests    string // names of tests of the file's package that are tried first, by |
	race     bool   // only the race detector is sure to find it
	old, new string
}

// dir returns the directory of the package that the fault is in.
func (m mutant) dir() string { return m.file[:strings.LastIndex(m.file, "/")] }

// hinted returns where the tests are that a mutant names: in its package or, for a room of tlscache, also in that.
func (m mutant) hinted() []string {
	if house, _, isRoom := strings.Cut(m.dir(), "/internal/"); isRoom {
		return []string{m.dir(), house}
	}
	return []string{m.dir()}
}

var (
	nameFormat = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	fileFormat = regexp.MustCompile(`^(fastcache(/loading)?|timerwheel|index|internal/buckets|internal/eviction|internal/secretdir|session|session/sessiontest|tlscache(/internal/\w+)?)/\w+\.go$`)
)

//go:embed faults/*.txt
var lists embed.FS

// readAll reads every list of mutants.
func readAll() ([]mutant, error) {
	files, err := fs.Glob(lists, "faults/*.txt")
	if err != nil {
		return nil, err
	}
	var all []mutant
	names := map[string]bool{}
	for _, file := range files {
		text, err := fs.ReadFile(lists, file)
		if err != nil {
			return nil, err
		}
		some, err := parse(path.Base(file), string(text), names)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// parse reads a list of mutants; faults/README describes its form. It adds their names to those
// of the lists read before, of which none may be used again.
func parse(file, text string, names map[string]bool) ([]mutant, error) {
	var all []mutant
	for block := range paragraphs(text) {
		m, err := parseBlock(block.lines)
		if err == nil {
			err = m.validate()
		}
		if err == nil && names[m.name] {
			err = fmt.Errorf("a second mutant is named %s", m.name)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, block.line, err)
		}
		names[m.name] = true
		all = append(all, m)
	}
	return all, nil
}

type block struct {
	line  int // of the first, counted from 1
	lines []string
}

// paragraphs yields the runs of lines that are not empty, without the comments.
func paragraphs(text string) func(yield func(block) bool) {
	return func(yield func(block) bool) {
		var b block
		for i, line := range append(strings.Split(text, "\n"), "") {
			switch {
			case strings.HasPrefix(line, "#"):
			case line != "":
				if len(b.lines) == 0 {
					b.line = i + 1
				}
				b.lines = append(b.lines, line)
			case len(b.lines) > 0:
				if !yield(b) {
					return
				}
				b = block{}
			}
		}
	}
}

func parseBlock(lines []string) (m mutant, err error) {
	var old, new []string
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "-":
			old = append(old, rest)
		case "+":
			new = append(new, rest)
		case "mutant":
			m.name = strings.TrimSpace(rest)
		case "file":
			m.file = strings.TrimSpace(rest)
		case "breaks":
			m.breaks = strings.TrimSpace(rest)
		case "tests":
			m.tests = strings.TrimSpace(rest)
		case "race":
			m.race = true
		default:
			return m, fmt.Errorf("line begins with %q; want mutant, file, breaks, tests, race, - or +", word)
		}
	}
	m.old, m.new = strings.Join(old, "\n"), strings.Join(new, "\n")
	return m, nil
}

func (m mutant) validate() error {
	switch {
	case !nameFormat.MatchString(m.name):
		return fmt.Errorf("name is %q; want words-with-dashes after mutant", m.name)
	case !fileFormat.MatchString(m.file):
		return fmt.Errorf("%s: file is %q; want one of a package that has a list here", m.name, m.file)
	case m.breaks == "":
		return fmt.Errorf("%s: want the promise that it breaks, after breaks", m.name)
	case m.old == "":
		return fmt.Errorf("%s: want the text that it replaces, after -", m.name)
	case m.old == m.new:
		return fmt.Errorf("%s: the new text is the old one", m.name)
	}
	return nil
}

// apply returns the text of the mutant's file with the fault in it.
func (m mutant) apply(text string) (string, error) {
	if n := strings.Count(text, m.old); n != 1 {
		return "", fmt.Errorf("%s: its old text occurs %d times in %s; want once", m.name, n, m.file)
	}
	return strings.Replace(text, m.old, m.new, 1), nil
}

// mutated returns the file of a module with the fault in it.
func (m mutant) mutated(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.file)))
	if err != nil {
		return "", err
	}
	return m.apply(string(text))
}
