package secretdir

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/internal/testing/kubelet"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// aged sets when the file of a secret was written.
func aged(t testing.TB, dir string, id uint32, at time.Time) {
	t.Helper()
	must(t, os.Chtimes(filepath.Join(dir, nameOf(id)), at, at))
}

func TestANewDirectoryHasAnActiveSecretAndTheNext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	made, err := New(dir, noon)
	must(t, err)
	read, err := Read(dir)
	must(t, err)
	first := uint32(noon.Unix())
	if !slices.Equal(read, made) || !slices.Equal(idsOf(read), []uint32{first, first + 1}) || Active(read) != 0 {
		t.Errorf("New: %v; read: %v; want the ids %d and %d", made, read, first, first+1)
	}
	if made[0].Bytes == made[1].Bytes {
		t.Error("both secrets have the same bytes")
	}
	if _, err := New(dir, noon); err == nil || !strings.Contains(err.Error(), "has 2 secrets already") {
		t.Errorf("New again: %v; want an error", err)
	}
	if after, _ := Read(dir); !slices.Equal(after, read) {
		t.Errorf("New again left %v; want %v", after, read)
	}
}

func TestARotationMakesTheNextSecretActiveAndKeepsTheOthers(t *testing.T) {
	dir := dirOf(t, 3, 7)
	before, err := Read(dir)
	must(t, err)
	after, removed, err := Rotate(dir, noon, time.Hour)
	must(t, err)
	read, err := Read(dir)
	must(t, err)
	if removed != 0 || !slices.Equal(read, after) || len(read) != 3 || !slices.Equal(read[:2], before) {
		t.Errorf("Rotate: %v, %d removed; read: %v; want those before, and another", after, removed, read)
	}
	if active := read[Active(read)].ID; active != 7 || read[2].ID != uint32(noon.Unix()) {
		t.Errorf("%d is active and %d next; want 7 and the time", active, read[2].ID)
	}
}

// A secret is of use for as long as sessions live that were sealed under it: from when another became active.
func TestARotationRemovesSecretsThatAreOfNoUse(t *testing.T) {
	const keep = time.Hour
	for _, tt := range []struct {
		name string
		age  time.Duration // of 3, with which 1 stopped being active
		want []uint32
	}{
		{"its sessions may live", keep, []uint32{1, 2, 3, 4}},
		{"they do not", keep + time.Second, []uint32{2, 3, 4}},
	} {
		dir := dirOf(t, 1, 2, 3)
		aged(t, dir, 1, noon.Add(-100*keep))
		aged(t, dir, 2, noon.Add(-100*keep))
		aged(t, dir, 3, noon.Add(-tt.age))
		secrets, removed, err := Rotate(dir, noon, keep)
		must(t, err)
		if ids := idsOf(secrets); !slices.Equal(ids[:len(ids)-1], tt.want[:len(tt.want)-1]) || removed != 4-len(tt.want) {
			t.Errorf("%s: %v, %d removed; want %d secrets", tt.name, ids, removed, len(tt.want))
		}
	}
}

func TestARotationNeverRemovesTheActiveSecretOrTheOneBefore(t *testing.T) {
	dir := dirOf(t, 1, 2)
	aged(t, dir, 1, time.Unix(0, 0))
	aged(t, dir, 2, time.Unix(0, 0))
	secrets, removed, err := Rotate(dir, noon, 0)
	must(t, err)
	if removed != 0 || len(secrets) != 3 {
		t.Errorf("Rotate: %v, %d removed; want 1 and 2 still there", secrets, removed)
	}
}

func TestAFullDirectoryIsToldAndNotRotated(t *testing.T) {
	var ids []uint32
	for id := range uint32(MaxSecrets) {
		ids = append(ids, id)
	}
	dir := dirOf(t, ids...)
	if _, _, err := Rotate(dir, time.Now(), time.Hour); err == nil || !strings.Contains(err.Error(), "has 64 secrets") {
		t.Errorf("Rotate: %v; want an error", err)
	}
	wantSecrets(t, dir, ids...)
	aged(t, dir, 2, noon.Add(-2*time.Hour))
	if secrets, removed, err := Rotate(dir, noon, time.Hour); err != nil || removed != 1 || len(secrets) != MaxSecrets {
		t.Errorf("Rotate where the oldest is of no use: %d secrets, %d removed, %v", len(secrets), removed, err)
	}
}

func TestIDsGrowWhateverTheClockSays(t *testing.T) {
	for _, tt := range []struct {
		what    string
		highest uint32
		now     time.Time
		want    uint32
	}{
		{"the clock behind", uint32(noon.Unix()) + 9, noon, uint32(noon.Unix()) + 10},
		{"the clock before 1970", 5, time.Unix(-9, 0), 6},
		{"the clock beyond 2106", 5, time.Unix(1<<40, 0), math.MaxUint32},
	} {
		secrets, _, err := Rotate(dirOf(t, tt.highest), tt.now, time.Hour)
		if err != nil || secrets[1].ID != tt.want {
			t.Errorf("%s: %v, %v; want %d", tt.what, secrets, err, tt.want)
		}
	}
	if _, _, err := Rotate(dirOf(t, math.MaxUint32), noon, time.Hour); err == nil || !strings.Contains(err.Error(), "which is the last") {
		t.Errorf("after the last id: %v; want an error", err)
	}
}

func TestARotationThatFailsLeavesTheDirectoryWhole(t *testing.T) {
	dir := dirOf(t, 1, 2)
	id := uint32(noon.Unix())
	temporary := "." + nameOf(id) + ".tmp" // of a rotation under way in this second, or one that was killed
	put(t, dir, temporary, bytesOf(9)[:7])
	if _, _, err := Rotate(dir, noon, time.Hour); err == nil || !strings.Contains(err.Error(), temporary+" is there") {
		t.Errorf("Rotate during another: %v; want an error", err)
	}
	wantSecrets(t, dir, 1, 2)
	if _, err := os.Stat(filepath.Join(dir, temporary)); err != nil {
		t.Errorf("Rotate removed what is another's: %v", err)
	}
	if _, _, err := Rotate(dir, noon.Add(time.Second), time.Hour); err != nil {
		t.Errorf("Rotate a second later: %v", err)
	}

	put(t, dir, "5.secret", bytesOf(5)[:16])
	if _, _, err := Rotate(dir, noon.Add(time.Minute), 0); err == nil || !strings.Contains(err.Error(), "secret 5: has 16 bytes") {
		t.Errorf("Rotate of a directory with half a secret: %v; want an error", err)
	}
}

// Of those that make a secret of one id at a time one succeeds, and its bytes stay.
func TestASecretIsNeverReplaced(t *testing.T) {
	dir := dirOf(t, 1)
	root, err := openOwn(dir)
	must(t, err)
	defer root.Close()
	if err := write(root, Secret{ID: 1, Bytes: [Size]byte(bytesOf(2))}); err == nil {
		t.Error("a second secret of the id 1 was written")
	}
	wantSecrets(t, dir, 1)
	names, err := os.ReadDir(dir)
	must(t, err)
	if len(names) != 1 {
		t.Errorf("the directory has %v; want no temporary file", names)
	}
}

func TestAMountOfKubernetesIsNotWrittenTo(t *testing.T) {
	needsLinks(t)
	m := kubelet.New(t, files(1, 2))
	must(t, os.Chmod(m.Dir, 0o700))
	if _, _, err := Rotate(m.Dir, noon, 0); err == nil || !strings.Contains(err.Error(), "mount of Kubernetes") {
		t.Errorf("Rotate: %v; want an error", err)
	}
	wantSecrets(t, m.Dir, 1, 2)
}
