package fastcache_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"

	"github.com/sessioncache/sessioncache/fastcache"
)

// replaceFile writes a file in place of the one that is there. Whatever happens meanwhile, a power failure included, the file
// holds what it held, or all that is written.
func replaceFile(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*.tmp") // mode 0600: the sessions are in clear
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // in vain once it is renamed
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(write(w), w.Flush()); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil { // before the rename, which must not come first
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// syncDir makes a rename in a directory last. Windows has no such call, nor needs it.
func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

func encodeText(dst []byte, _ fastcache.Key, value string) ([]byte, error) {
	return append(dst, value...), nil
}

func decodeText(_ fastcache.Key, data []byte) (string, error) { return string(data), nil }

// A cache begins warm: at the end its sessions go to a file, and the next process reads them before it serves.
func ExampleCache_WriteSnapshot() {
	dir, err := os.MkdirTemp("", "sessions")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "sessions")

	before, err := fastcache.New(fastcache.Config[string]{})
	if err != nil {
		log.Fatal(err)
	}
	before.Update(fastcache.Key{Partial: "example.net:443", ID: "1"}, "the older one")
	before.Update(fastcache.Key{Partial: "example.net:443", ID: "2"}, "the newer one")
	err = replaceFile(name, func(w io.Writer) error {
		_, err := before.WriteSnapshot(w, encodeText)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	before.Close() // once the snapshot is written

	after, err := fastcache.New(fastcache.Config[string]{})
	if err != nil {
		log.Fatal(err)
	}
	defer after.Close()
	f, err := os.Open(name)
	if err != nil {
		log.Fatal(err) // or, if there is none, begin cold
	}
	defer f.Close()
	restored, err := after.ReadSnapshot(f, decodeText)
	if err != nil {
		log.Print("begin cold: ", err)
	}
	fmt.Println(restored.Stored, "sessions")
	for _, session := range after.SelectSession("example.net:443") {
		fmt.Println(session)
	}
	// Output:
	// 2 sessions
	// the newer one
	// the older one
}
