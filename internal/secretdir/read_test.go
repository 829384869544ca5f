package secretdir

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sessioncache/sessioncache/internal/testing/kubelet"
)

// bytesOf returns the bytes of the secret that tests make for an id.
func bytesOf(id uint32) []byte {
	b := make([]byte, Size)
	for i := range b {
		b[i] = byte(id) + byte(i) + 1
	}
	return b
}

// files returns the files of some secrets.
func files(ids ...uint32) map[string][]byte {
	m := map[string][]byte{}
	for _, id := range ids {
		m[nameOf(id)] = bytesOf(id)
	}
	return m
}

// dirOf returns a directory with some secrets.
func dirOf(t testing.TB, ids ...uint32) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "secrets")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range files(ids...) {
		put(t, dir, name, content)
	}
	return dir
}

func put(t testing.TB, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func idsOf(secrets []Secret) (ids []uint32) {
	for _, s := range secrets {
		ids = append(ids, s.ID)
	}
	return ids
}

func wantSecrets(t *testing.T, dir string, ids ...uint32) {
	t.Helper()
	secrets, err := Read(dir)
	if err != nil || !slices.Equal(idsOf(secrets), ids) {
		t.Fatalf("Read: %v, %v; want %v", idsOf(secrets), err, ids)
	}
	for _, s := range secrets {
		if string(s.Bytes[:]) != string(bytesOf(s.ID)) {
			t.Errorf("%v has another's bytes", s)
		}
	}
}

func TestTheSecondHighestIDIsActive(t *testing.T) {
	for _, tt := range []struct {
		ids    []uint32
		active uint32
	}{
		{[]uint32{7}, 7}, {[]uint32{7, 8}, 7}, {[]uint32{9, 10, 2}, 9}, {[]uint32{0, 1<<32 - 1, 99, 100}, 100},
	} {
		secrets, err := Read(dirOf(t, tt.ids...))
		if err != nil {
			t.Fatal(err)
		}
		if got := secrets[Active(secrets)].ID; got != tt.active {
			t.Errorf("of %v %d is active; want %d", tt.ids, got, tt.active)
		}
	}
}

func TestWhatIsNoSecretIsNotLookedAt(t *testing.T) {
	dir := dirOf(t, 1, 2)
	for _, name := range []string{"README", "tls.crt", ".9.secret", ".3.secret.tmp", "4.secret~", "5"} {
		put(t, dir, name, []byte("x"))
	}
	wantSecrets(t, dir, 1, 2)
}

// A directory that is not whole is no directory: the caller goes on with what it had.
func TestADirectoryIsReadAsAWholeOrNotAtAll(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string
	}{
		{"missing", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, "no such file"},
		{"a file", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)); put(t, filepath.Dir(dir), "secrets", nil) }, "not a directory"},
		{"empty", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "1.secret"))) }, "has no secrets"},
		{"an empty file", func(t *testing.T, dir string) { put(t, dir, "2.secret", nil) }, "secret 2: has 0 bytes; want 32"},
		{"half a file", func(t *testing.T, dir string) { put(t, dir, "2.secret", bytesOf(2)[:16]) }, "secret 2: has 16 bytes"},
		{"a byte too many", func(t *testing.T, dir string) { put(t, dir, "2.secret", append(bytesOf(2), '\n')) }, "secret 2: has 33 bytes"},
		{"zeros", func(t *testing.T, dir string) { put(t, dir, "2.secret", make([]byte, Size)) }, "secret 2: is all zero"},
		{"a directory", func(t *testing.T, dir string) { must(t, os.Mkdir(filepath.Join(dir, "2.secret"), 0o700)) }, "secret 2: is no regular file"},
		{"no id", func(t *testing.T, dir string) { put(t, dir, "hunter2.secret", bytesOf(2)) }, "is no id"},
		{"an id too large", func(t *testing.T, dir string) { put(t, dir, "4294967296.secret", bytesOf(2)) }, "is no id"},
		{"one id in two ways", func(t *testing.T, dir string) { put(t, dir, "01.secret", bytesOf(1)) }, "is no id"},
		{"too many", func(t *testing.T, dir string) {
			for id := range uint32(MaxSecrets) {
				put(t, dir, nameOf(id+2), bytesOf(id+2))
			}
		}, "has 65 secrets; want at most 64"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := dirOf(t, 1)
			tt.spoil(t, dir)
			secrets, err := Read(dir)
			if err == nil || !strings.Contains(err.Error(), tt.want) && runtime.GOOS != "windows" {
				t.Fatalf("Read: %v; want %q", err, tt.want)
			}
			if len(secrets) > 0 {
				t.Errorf("Read returned %v beside the error", secrets)
			}
			for _, leak := range []string{dir, filepath.Base(filepath.Dir(dir)), "hunter2"} {
				if strings.Contains(err.Error(), leak) {
					t.Errorf("the error has %q in it: %v", leak, err)
				}
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAMountOfKubernetesIsReadInEachStepOfItsSwap(t *testing.T) {
	needsLinks(t)
	m := kubelet.New(t, files(1, 2))
	wantSecrets(t, m.Dir, 1, 2)
	want := []uint32{1, 2}
	for i, step := range m.Steps(files(2, 3)) {
		must(t, step())
		if i == 3 { // ..data leads to the new files
			want = []uint32{2, 3}
		}
		wantSecrets(t, m.Dir, want...)
	}
}

func TestALinkThatLeadsNowhereIsAnError(t *testing.T) {
	needsLinks(t)
	dir := dirOf(t, 1)
	must(t, os.Symlink("..gone", filepath.Join(dir, "..data")))
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "its link ..data: ") {
		t.Errorf("Read: %v; want an error of ..data, though there is a secret beside it", err)
	}
	must(t, os.Symlink("3.gone", filepath.Join(dir, "3.secret")))
	must(t, os.Remove(filepath.Join(dir, "..data")))
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "secret 3: ") {
		t.Errorf("Read: %v; want an error of secret 3, which is a link to nothing", err)
	}
}

// Readers see one set or the following one, never some of either, though the old files are removed while they read.
func TestReadersDuringSwapsSeeWholeSets(t *testing.T) {
	needsLinks(t)
	m := kubelet.New(t, files(0, 1, 2))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	faults := make(chan string, 2)
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				secrets, err := Read(m.Dir)
				if ids := idsOf(secrets); err != nil || len(ids) != 3 || ids[2] != ids[0]+2 {
					faults <- fmt.Sprintf("Read during swaps: %v, %v; want three in a row", ids, err)
					return
				}
			}
		})
	}
	for id := range uint32(200) {
		m.Swap(t, files(id+1, id+2, id+3))
	}
	close(stop)
	readers.Wait()
	close(faults)
	for fault := range faults {
		t.Error(fault)
	}
}

func needsLinks(t testing.TB) {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		t.Skip("links need a privilege here, or do not exist")
	}
}

func TestSecretsPrintAsTheirIDAlone(t *testing.T) {
	s := Secret{ID: 7, Bytes: [Size]byte(bytesOf(7))}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
		if got := fmt.Sprintf(verb, []any{s, &s, entry{Secret: s}, []Secret{s}}); strings.Contains(got, "9") || !strings.Contains(got, "secret 7") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
