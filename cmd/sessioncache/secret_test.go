package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/internal/secretdir"
)

// secret runs the command.
func secret(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(append([]string{"secret"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestSecretMakesShowsAndRotatesADirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	code, made, stderr := secret("new", dir)
	if !regexp.MustCompile(`^\d+ active\n\d+ next\n$`).MatchString(made) || code != exitOK || stderr != "" {
		t.Fatalf("new: exit status %d, %q, %q", code, made, stderr)
	}
	if _, shown, _ := secret("show", dir); shown != made {
		t.Errorf("show: %q; want what new said, %q", shown, made)
	}
	code, rotated, stderr := secret("rotate", dir)
	if !regexp.MustCompile(`^\d+ former\n\d+ active\n\d+ next\n$`).MatchString(rotated) || code != exitOK || stderr != "" {
		t.Fatalf("rotate: exit status %d, %q, %q", code, rotated, stderr)
	}
	was := strings.Fields(made)
	if is := strings.Fields(rotated); is[0] != was[0] || is[2] != was[2] {
		t.Errorf("rotate: %q; want the next of %q active", rotated, made)
	}
	// Another, and the first is of no use.
	if err := os.Chtimes(filepath.Join(dir, strings.Fields(rotated)[4]+".secret"), time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, again, _ := secret("rotate", "-keep", "1h", dir); !strings.HasSuffix(again, " next\n1 removed\n") || strings.Contains(again, was[0]) {
		t.Errorf("rotate -keep 1h: %q; want %s removed", again, was[0])
	}
	secrets, err := secretdir.Read(dir)
	if err != nil || len(secrets) != 3 {
		t.Fatalf("Read: %v, %v; want three", secrets, err)
	}
	said := made + rotated
	for _, s := range secrets {
		if strings.Contains(said, string(s.Bytes[:4])) || strings.Contains(said, fmt.Sprintf("%x", s.Bytes[:4])) {
			t.Errorf("a secret is in the output %q", said)
		}
	}
}

func TestSecretTellsWhatIsWrong(t *testing.T) {
	made := filepath.Join(t.TempDir(), "made")
	if code, _, stderr := secret("new", made); code != exitOK {
		t.Fatal(stderr)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string // on stderr
	}{
		{"no action", nil, exitUsage, `sessioncache secret: "" is no action; want new, show or rotate`},
		{"another action", []string{"revoke", made}, exitUsage, `"revoke" is no action`},
		{"no directory", []string{"new"}, exitUsage, "new has 0 directories; want one"},
		{"an empty directory", []string{"new", ""}, exitUsage, "want one"},
		{"two", []string{"show", made, made}, exitUsage, "show has 2 directories"},
		{"a flag of another", []string{"show", "-keep", "1h", made}, exitUsage, "'sessioncache secret show -h' lists the flags"},
		{"no duration", []string{"rotate", "-keep=soon", made}, exitUsage, "want a duration from 0 up"},
		{"a negative one", []string{"rotate", "-keep=-1s", made}, exitUsage, "-keep is -1s; want at least 0s"},
		{"new where secrets are", []string{"new", made}, exitFailed, "sessioncache secret new: the directory: has 2 secrets already"},
		{"show of nothing", []string{"show", missing}, exitFailed, "sessioncache secret show: the directory: "},
		{"rotate of nothing", []string{"rotate", missing}, exitFailed, "sessioncache secret rotate: the directory: "},
		{"new below nothing", []string{"new", filepath.Join(missing, "x")}, exitFailed, "sessioncache secret new: the directory: "},
	} {
		code, stdout, stderr := secret(tt.args...)
		if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit status %d, stdout %q, stderr %q; want %d and %q", tt.name, code, stdout, stderr, tt.code, tt.want)
		}
		if slices.Contains(tt.args, missing) && strings.Contains(stderr, missing) {
			t.Errorf("%s: stderr names the path: %q", tt.name, stderr)
		}
	}
	if runtime.GOOS != "windows" && runtime.GOOS != "plan9" {
		if err := os.Chmod(made, 0o755); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := secret("rotate", made); code != exitFailed || !strings.Contains(stderr, "has mode 0755; want 0700") {
			t.Errorf("rotate of an open directory: exit status %d, %q", code, stderr)
		}
	}
}

func TestSecretHelps(t *testing.T) {
	for want, args := range map[string][]string{
		"usage: sessioncache secret <command>\n":          {"-h"},
		"usage: sessioncache secret rotate [flags] DIR\n": {"rotate", "-h"},
		"usage: sessioncache secret new DIR\n":            {"new", "--help"},
	} {
		if code, stdout, stderr := secret(args...); code != exitOK || !strings.HasPrefix(stdout, want) || stderr != "" {
			t.Errorf("%v: exit status %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
	if _, stdout, _ := secret("rotate", "-h"); !strings.Contains(stdout, "(default 168h10m0s)") {
		t.Errorf("rotate -h lacks the default: %s", stdout)
	}
}
