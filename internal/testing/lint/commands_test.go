package lint

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// shortForms make a command of a page quick. They come last, so that they win over what the page says.
var shortForms = []struct {
	has  *regexp.Regexp
	more string
}{
	{regexp.MustCompile(`^go test .*-bench\b`), " -benchtime=1x -count=1"},
	{regexp.MustCompile(`^go test .*-fuzz\b`), " -fuzztime=1x"},
}

// shortForm returns the short form of a command, with what stands behind the arrow left there.
func shortForm(command string) string {
	command, to, redirected := strings.Cut(command, " > ")
	for _, form := range shortForms {
		if form.has.MatchString(command) {
			command += form.more
		}
	}
	if redirected {
		command += " > " + to
	}
	return command
}

// shadowOf returns a directory in which everything of the module is linked, so that commands may write there.
func shadowOf(t *testing.T, root string) string {
	t.Helper()
	shadow := t.TempDir()
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == ".git" {
			continue
		}
		if err := os.Symlink(filepath.Join(root, e.Name()), filepath.Join(shadow, e.Name())); err != nil {
			t.Skip("this system makes no links: ", err)
		}
	}
	return shadow
}

// commandFaults writes the files of a page below a directory, and runs its commands there, one after the other. It
// returns those that failed, with what they printed, and how many there were.
func commandFaults(ctx context.Context, p page, dir string) (faults []string, ran int) {
	for _, b := range p.blocks {
		if name := b.hints["file"]; name != "" {
			name = filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				return append(faults, err.Error()), ran
			}
			if err := os.WriteFile(name, []byte(b.text), 0o600); err != nil {
				return append(faults, err.Error()), ran
			}
		}
		if b.language != "console" || b.hints["run"] == "" {
			continue
		}
		for line := range strings.Lines(b.text) {
			command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ ")
			if !ok {
				continue
			}
			ran++
			cmd := exec.CommandContext(ctx, "sh", "-c", shortForm(command))
			cmd.Dir = dir
			// Without -trimpath, each new directory would have everything built anew.
			cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS="+os.Getenv("GOFLAGS")+" -trimpath", "PWD="+dir)
			cmd.WaitDelay = time.Second
			if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("no tests to run")) {
				faults = append(faults, fmt.Sprintf("%s:%d: %s: %v\n%s", p.name, b.line, command, err, out))
			}
		}
	}
	return faults, ran
}

// What a page has the reader type works, in a form that takes no time.
func TestCommandsOfPagesRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the programs of pages")
	}
	root, ran := "../../..", 0
	for _, p := range modulePages(t) {
		hasCommands := false
		for _, b := range p.blocks {
			hasCommands = hasCommands || b.hints["run"] != ""
		}
		if !hasCommands {
			continue
		}
		faults, n := commandFaults(t.Context(), p, shadowOf(t, root))
		ran += n
		for _, fault := range faults {
			t.Error(fault)
		}
	}
	if ran == 0 {
		t.Error("no page has commands; want those of docs/profiling.md at least")
	}
}

func TestCommandsThatFailAreReported(t *testing.T) {
	p := parsePage("p.md", "<!-- file: a/b.txt -->\n```text\nhello\n```\n\n<!-- run: root -->\n```console\n$ cat a/b.txt\nhello\n$ cat a/c.txt\n```\n\n```console\n$ false\n```\n")
	faults, ran := commandFaults(t.Context(), p, t.TempDir())
	if len(faults) != 1 || !strings.HasPrefix(faults[0], "p.md:7: cat a/c.txt: exit status") || ran != 2 {
		t.Errorf("got %q of %d; want one of 2, of a/c.txt", faults, ran)
	}
}

func TestShortFormsEndSoon(t *testing.T) {
	for command, want := range map[string]string{
		"go test -bench X -count 10 . > old.txt": "go test -bench X -count 10 . -benchtime=1x -count=1 > old.txt",
		"go test -run '^$' -fuzz F -fuzztime 1m": "go test -run '^$' -fuzz F -fuzztime 1m -fuzztime=1x",
		"go tool pprof -top cpu.out":             "go tool pprof -top cpu.out",
	} {
		if got := shortForm(command); got != want {
			t.Errorf("shortForm(%q) = %q; want %q", command, got, want)
		}
	}
}
