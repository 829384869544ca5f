package lint

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// A page is one Markdown file.
type page struct {
	name   string // its path in the module
	lines  []string
	blocks []block
}

// A block is the code between two fences of a page.
type block struct {
	line     int    // of the opening fence, from 1
	language string // what stands behind it
	text     string
	hints    map[string]string // of the comments directly above it: see hintLine
}

// hintLine matches a comment above a block, which readers do not see:
//
//	<!-- with: store session.Indexed -->   the block uses a variable that the page has spoken of
//	<!-- module: interop -->               it imports what only that nested module requires
//	<!-- file: traffic/traffic_test.go --> it is this file, for the commands of the page
//	<!-- copy: benchmarks/x.go -->         it is this file of the repository, whose module compiles it
//	<!-- run: root -->                     its commands run at the root of the module
var hintLine = regexp.MustCompile(`^<!-- (with|module|file|copy|run): (.+) -->$`)

// pages reads every Markdown file below fsys but those that git ignores.
func pages(fsys fs.FS, skip []string) (all []page, err error) {
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata"):
			return fs.SkipDir
		case path.Ext(name) != ".md" || !d.Type().IsRegular() || slices.Contains(skip, name):
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		all = append(all, parsePage(name, string(text)))
		return nil
	})
	return all, err
}

func parsePage(name, text string) page {
	p := page{name: name, lines: strings.Split(text, "\n")}
	hints := map[string]string{}
	var open *block
	for i, line := range p.lines {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case open != nil && isFence:
			p.blocks = append(p.blocks, *open)
			open, hints = nil, map[string]string{}
		case open != nil:
			open.text += line + "\n"
		case isFence:
			open = &block{line: i + 1, language: fence, hints: hints}
		default:
			if hint := hintLine.FindStringSubmatch(line); hint != nil {
				hints[hint[1]] = hint[2]
			} else {
				hints = map[string]string{}
			}
		}
	}
	return p
}

// prose yields the lines outside of blocks, with their numbers.
func (p page) prose(yield func(int, string) bool) {
	fenced := false
	for i, line := range p.lines {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		if !fenced && !yield(i+1, line) {
			return
		}
	}
}

// anchors returns the names by which links reach the headings of the page, as GitHub makes them.
func (p page) anchors() map[string]bool {
	all := map[string]bool{}
	for _, line := range p.prose {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || line[0] != '#' {
			continue
		}
		all[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, title)] = true
	}
	return all
}

var (
	link     = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	codeSpan = regexp.MustCompile("`[^`]*`")
)

// brokenLinks reports links to files of the module that are not there, and to headings that a page
// does not have. Links to other hosts are not followed.
func brokenLinks(fsys fs.FS, all []page) (faults []string) {
	byName := map[string]page{}
	for _, p := range all {
		byName[p.name] = p
	}
	for _, p := range all {
		for number, line := range p.prose {
			for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
				if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
					continue
				}
				file, anchor, _ := strings.Cut(m[1], "#")
				target := p.name
				if file != "" {
					target = path.Join(path.Dir(p.name), file)
				}
				if _, err := fs.Stat(fsys, target); err != nil {
					faults = append(faults, fmt.Sprintf("%s:%d: links to %s, which is not there", p.name, number, m[1]))
				} else if to, ok := byName[target]; anchor != "" && (!ok || !to.anchors()[anchor]) {
					faults = append(faults, fmt.Sprintf("%s:%d: links to %s, which has no such heading", p.name, number, m[1]))
				}
			}
		}
	}
	return faults
}

// modulePages returns the pages of this module.
func modulePages(t *testing.T) []page {
	t.Helper()
	const root = "../../.."
	all, err := pages(os.DirFS(root), ignored(root))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("found %d pages; want README, docs and more", len(all))
	}
	return all
}

func TestLinksBetweenPagesLead(t *testing.T) {
	for _, fault := range brokenLinks(os.DirFS("../../.."), modulePages(t)) {
		t.Error(fault)
	}
}

func TestBrokenLinksAreReported(t *testing.T) {
	fsys := mapFS(map[string]string{
		"README.md": "[a](docs/a.md) [b](docs/b.md) [c](docs/a.md#what-is-it) [d](docs/a.md#else)\n" +
			"[e](https://example.com/x) `[f](g)`\n```\n[h](i)\n```\n[j](#no)",
		"docs/a.md": "# What *is* it?\n[up](../README.md) [k](z.go)",
		"docs/z.go": "",
	})
	all, err := pages(fsys, nil)
	got := brokenLinks(fsys, all)
	want := []string{
		"README.md:1: links to docs/b.md, which is not there",
		"README.md:1: links to docs/a.md#else, which has no such heading",
		"README.md:6: links to #no, which has no such heading",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
