//go:build unix

package secretdir

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/kubelet"
)

// An info is a file of some user and group.
type info struct {
	fs.FileInfo
	mode     fs.FileMode
	uid, gid int
}

func (i info) Mode() fs.FileMode { return i.mode }
func (i info) Sys() any          { return &syscall.Stat_t{Uid: uint32(i.uid), Gid: uint32(i.gid)} }

func TestASecretThatOthersMayReadIsRefused(t *testing.T) {
	own, other := os.Geteuid(), os.Geteuid()+4711
	group, foreign := os.Getegid(), os.Getegid()+4711
	for _, tt := range []struct {
		name     string
		mode     fs.FileMode
		uid, gid int
		want     string
	}{
		{"one's own", 0o600, own, foreign, ""},
		{"one's own, not to be written", 0o400, own, foreign, ""},
		{"root's", 0o400, 0, foreign, ""},
		{"a Pod's with an fsGroup", 0o440, 0, group, ""},
		{"a Pod's with an fsGroup, defaultMode 0600", 0o640, 0, group, ""},
		{"root's, of a foreign group", 0o440, 0, foreign, "has mode 0440, so its group may use it"},
		{"root's, written by a group", 0o660, 0, group, "has mode 0660, so its group may use it"},
		{"defaultMode as Kubernetes has it", 0o644, 0, group, "has mode 0644, so every user may use it; want 0600 or 0400"},
		{"to be run by all", 0o601, own, group, "every user"},
		{"to be written by all", 0o602, own, group, "every user"},
		{"another user's", 0o600, other, group, "belongs to user"},
		{"another user's, for a group", 0o440, other, group, "belongs to user"},
	} {
		err := checkFile(info{mode: tt.mode, uid: tt.uid, gid: tt.gid})
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.want)
		}
	}
	if own != 0 {
		if err := checkFile(info{mode: 0o640, uid: own, gid: group}); err == nil {
			t.Error("one's own, to be read by a group: accepted; a Pod's are root's")
		}
	}
}

func TestModesAreCheckedWhereTheFilesLie(t *testing.T) {
	dir := dirOf(t, 1, 2)
	must(t, os.Chmod(filepath.Join(dir, nameOf(1)), 0o644))
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "secret 1: has mode 0644") {
		t.Errorf("a former secret of mode 0644: %v", err)
	}
	must(t, os.Chmod(filepath.Join(dir, nameOf(1)), 0o400))
	wantSecrets(t, dir, 1, 2)
	must(t, os.Chmod(dir, 0o777))
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "has mode 0777, so others than its owner may change it") {
		t.Errorf("a directory of mode 0777: %v", err)
	}
	must(t, os.Chmod(dir, 0o777|fs.ModeSticky))
	wantSecrets(t, dir, 1, 2)

	m := kubelet.New(t, files(1, 2))
	m.Mode = 0o644
	m.Swap(t, files(1, 2, 3))
	if _, err := Read(m.Dir); err == nil || !strings.Contains(err.Error(), "has mode 0644") {
		t.Errorf("a mount without defaultMode: %v", err)
	}
}

// The opening of a pipe would wait for its writer for ever.
func TestAPipeDoesNotHangTheReader(t *testing.T) {
	dir := dirOf(t, 1)
	if err := syscall.Mkfifo(filepath.Join(dir, nameOf(2)), 0o600); err != nil {
		t.Skip(err)
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "secret 2: is no regular file") {
		t.Errorf("Read: %v; want an error of the pipe", err)
	}
}

func TestWhatIsWrittenIsForItsOwnerAlone(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "secrets")
	secrets, err := New(dir, noon)
	must(t, err)
	_, _, err = Rotate(dir, noon, 0)
	must(t, err)
	for name, want := range map[string]fs.FileMode{".": 0o700, nameOf(secrets[0].ID): 0o600, nameOf(secrets[1].ID): 0o600, nameOf(secrets[1].ID + 1): 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %o", name, info, err, want)
		}
	}
	must(t, os.Chmod(dir, 0o750))
	if _, _, err := Rotate(dir, noon, 0); err == nil || !strings.Contains(err.Error(), "has mode 0750; want 0700") {
		t.Errorf("Rotate in a directory that a group may enter: %v", err)
	}
	if os.Geteuid() == 0 {
		must(t, os.Chmod(dir, 0o700))
		must(t, os.Chown(dir, 4711, -1))
		if _, _, err := Rotate(dir, noon, 0); err == nil || !strings.Contains(err.Error(), "belongs to user 4711 and this process runs as 0") {
			t.Errorf("Rotate in a directory of another user: %v", err)
		}
	}
}
