package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The help of every command is what its golden file says, and fits a terminal.
func TestHelpOfEveryCommand(t *testing.T) {
	for _, path := range []string{"", "demo", "probe", "secret", "secret new", "secret show", "secret rotate", "otp-port", "version", "completion", "completion bash"} {
		var stdout, stderr bytes.Buffer
		args := append([]string{"help"}, strings.Fields(path)...)
		if code := run(args, &stdout, &stderr); code != exitOK || stderr.Len() > 0 {
			t.Errorf("help %s: exit status %d, stderr %q; want 0 and nothing", path, code, &stderr)
		}
		for line := range strings.Lines(stdout.String()) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > helpColumns+1 && !strings.HasPrefix(path, "completion ") {
				t.Errorf("help %s: line of %d columns: %s", path, n, line)
			}
		}
		if path == "completion bash" {
			continue // cobra's words
		}
		checkHelp(t, filepath.Join("testdata", "help", strings.ReplaceAll("help "+path, " ", "-")+".txt"), stdout.String())

		var flagged bytes.Buffer
		if run(append(strings.Fields(path), "-h"), &flagged, &stderr); flagged.String() != stdout.String() {
			t.Errorf("%s -h differs from help %s:\n%s", path, path, &flagged)
		}
	}
}

func checkHelp(t *testing.T, name, got string) {
	t.Helper()
	name = strings.Replace(name, "help-.txt", "help.txt", 1)
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("%s differs; got\n%s", name, got)
	}
}

// Each row is a call that is wrong, or right in an unusual way.
func TestWordsOnTheCommandLine(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want string // in the output that the exit code names
	}{
		{"demo -host 3", exitUsage, "sessioncache demo: no flag -host; did you mean -hosts?; 'sessioncache demo -h' lists the flags\n"},
		{"demo --host=3", exitUsage, "did you mean -hosts?"},
		{"demo -clients", exitUsage, "-clients has no value"},
		{"demo -zebra", exitUsage, "no flag -zebra; 'sessioncache demo -h'"},
		{"prob x", exitUsage, `unknown command "prob"; did you mean probe?`},
		{"dmeo", exitUsage, `unknown command "dmeo"; did you mean demo?`},
		{"secret rotat x", exitUsage, `"rotat" is no action; want new, show or rotate; did you mean rotate?`},
		{"completion bsh", exitUsage, `unknown command "bsh"; did you mean bash?; 'sessioncache help completion' lists the commands`},
		{"completion", exitUsage, "usage: sessioncache completion <command>"},
		{"version -json", exitOK, `"platform": `},
		{"version --json=true", exitOK, `"go": "go`},
		{"version x", exitUsage, "want flags only"},
		{"help secret rotate", exitOK, "usage: sessioncache secret rotate"},
		{"--help", exitOK, "exit status:"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(tt.args), &stdout, &stderr)
		said, other := &stderr, &stdout
		if code == exitOK {
			said, other = &stdout, &stderr
		}
		if code != tt.code || !strings.Contains(said.String(), tt.want) || other.Len() > 0 {
			t.Errorf("%s: exit status %d, stdout %q, stderr %q; want %d and %q", tt.args, code, &stdout, &stderr, tt.code, tt.want)
		}
	}
}

func TestFlagsOfSeveralLettersTakeOneDashOrTwo(t *testing.T) {
	got := twoDashes([]string{"-hosts", "-1", "-hosts=3", "--json", "-n", "-n=2", "-ttl", "-1s", "x", "-", "--", "-hosts"})
	want := []string{"--hosts", "-1", "--hosts=3", "--json", "-n", "-n=2", "--ttl", "-1s", "x", "-", "--", "-hosts"}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// A shell that is here reads its script without a complaint.
func TestCompletionScriptsParse(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var stdout, stderr bytes.Buffer
		if code := run([]string{"completion", shell}, &stdout, &stderr); code != exitOK || stderr.Len() > 0 || stdout.Len() == 0 {
			t.Errorf("completion %s: exit status %d, %d bytes, stderr %q", shell, code, stdout.Len(), &stderr)
			continue
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not here to parse its script", shell)
			continue
		}
		cmd := exec.Command(path, "-n", "/dev/stdin")
		cmd.Stdin = &stdout
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v\n%s", shell, err, out)
		}
	}
}

// What the scripts ask for names commands and flags.
func TestCompletionOffersCommandsAndFlags(t *testing.T) {
	for _, tt := range []struct{ typed, want string }{
		{"", "probe\t"}, {"secret ", "rotate\t"}, {"demo --", "--hosts\t"}, {"help ", "demo\t"}, {"help secret ", "new\t"},
	} {
		args := append([]string{"__complete"}, strings.Split(tt.typed, " ")...)
		var stdout, stderr bytes.Buffer
		if code := run(args, &stdout, &stderr); code != exitOK || !strings.Contains(stdout.String(), tt.want) {
			t.Errorf("completion of %q: exit status %d and %q; want 0 and %q in it", tt.typed, code, &stdout, tt.want)
		}
	}
}

func TestNoEscapeCodesWhereThereIsNoTerminal(t *testing.T) {
	for _, args := range []string{"help", "demo -h", "probe 127.0.0.1:1", "version", "demo -hosts 0", "demo -duration 1s"} {
		var stdout, stderr bytes.Buffer
		run(strings.Fields(args), &stdout, &stderr)
		if all := stdout.String() + stderr.String(); strings.ContainsAny(all, "\x1b\r") {
			t.Errorf("%s: wrote an escape code or a carriage return: %q", args, all)
		}
	}
}
