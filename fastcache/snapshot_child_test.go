//go:build unix

package fastcache_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sessioncache/sessioncache/fastcache"
)

// A process that is killed while it writes a snapshot, in the way that docs/snapshots.md shows, leaves the old one whole.
func TestAProcessThatIsKilledLeavesTheOldSnapshot(t *testing.T) {
	fastcache.SkipUnderRace(t)
	for _, stop := range []string{"first", "middle", "last"} {
		name := filepath.Join(t.TempDir(), "sessions")
		cmd := exec.Command(os.Args[0], "-test.run=^TestSnapshotChild$")
		cmd.Env = append(os.Environ(), "SNAPSHOT_CHILD="+name, "SNAPSHOT_STOP="+stop)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said, err := bufio.NewReader(out).ReadString('\n')
		if killed := cmd.Process.Kill(); killed != nil || err != nil {
			t.Fatalf("Kill: %v; the child said %q, %v", killed, said, err)
		}
		cmd.Wait()
		if said != "child: writes\n" {
			t.Fatalf("the child said %q; want that it writes", said)
		}
		left, err := filepath.Glob(name + ".*.tmp")
		if err != nil || len(left) == 0 {
			t.Fatalf("%s: no file was being written (%v): the test shows nothing", stop, err)
		}
		c, err := fastcache.New(fastcache.Config[string]{MaxSessions: childSessions})
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.ReadSnapshot(f, decodeText)
		f.Close()
		if v, _ := c.Lookup(key("p", 7)); err != nil || got.Stored != childSessions || v != "old" {
			t.Errorf("%s: the file has %+v, %v, and session 7 is %q; want all %d sessions of the old snapshot", stop, got, err, v, childSessions)
		}
		half, err := os.ReadFile(left[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ReadSnapshot(bytes.NewReader(half), decodeText); err == nil {
			t.Errorf("%s: the half-written file of %d bytes is read without an error", stop, len(half))
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file's mode is %v, %v; want 0600", info.Mode().Perm(), err)
		}
		c.Close()
	}
}

const childSessions = 50_000

// TestSnapshotChild writes a snapshot, and a second one in which it stops for good.
func TestSnapshotChild(t *testing.T) {
	name := os.Getenv("SNAPSHOT_CHILD")
	if name == "" {
		t.Skip("TestAProcessThatIsKilledLeavesTheOldSnapshot runs it")
	}
	c, err := fastcache.New(fastcache.Config[string]{MaxSessions: childSessions})
	if err != nil {
		t.Fatal(err)
	}
	for id := range childSessions {
		put(t, c, key("p", id), "old")
	}
	write := func(stop int) error {
		return replaceFile(name, func(w io.Writer) error {
			n := 0
			_, err := c.WriteSnapshot(w, func(dst []byte, k fastcache.Key, v string) ([]byte, error) {
				if n == stop {
					fmt.Println("child: writes")
					<-time.After(time.Hour) // for ever: it is killed
				}
				n++
				return encodeText(dst, k, v)
			})
			return err
		})
	}
	if err := write(-1); err != nil {
		t.Fatal(err)
	}
	for id := range childSessions {
		put(t, c, key("p", id), "new")
	}
	stop := map[string]int{"first": 0, "middle": childSessions / 2, "last": childSessions - 1}[os.Getenv("SNAPSHOT_STOP")]
	t.Fatalf("it was not killed: %v", write(stop))
}
