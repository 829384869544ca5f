// Package kubelet mounts Secrets of Kubernetes as the kubelet does, for tests of what reads them.
package kubelet

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// A Mount is a directory in which a Secret lies: its files in a directory of their own, the link ..data to that,
// and a link for each file through ..data. It is not safe for concurrent use, but for readers of the directory.
type Mount struct {
	Dir  string
	Mode fs.FileMode // of files: defaultMode of the volume

	swaps int
	names []string
}

// New mounts a Secret that has files.
func New(t testing.TB, files map[string][]byte) *Mount {
	t.Helper()
	m := &Mount{Dir: t.TempDir(), Mode: 0o400}
	if err := os.Chmod(m.Dir, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	m.Swap(t, files)
	return m
}

// Swap replaces all files at once, step by step as the kubelet's AtomicWriter does it.
func (m *Mount) Swap(t testing.TB, files map[string][]byte) {
	t.Helper()
	for _, step := range m.Steps(files) {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

// Steps returns the steps of a Swap, for tests that look in between.
func (m *Mount) Steps(files map[string][]byte) []func() error {
	m.swaps++
	in := func(name string) string { return filepath.Join(m.Dir, name) }
	data, fresh := in("..data"), fmt.Sprintf("..2026_11_30_12_00_00.%09d", m.swaps)
	former, _ := os.Readlink(data) // none the first time
	return []func() error{
		func() error { return os.Mkdir(in(fresh), 0o755) },
		func() error {
			for name, content := range files {
				if err := os.WriteFile(filepath.Join(in(fresh), name), content, m.Mode); err != nil {
					return err
				}
				if err := os.Chmod(filepath.Join(in(fresh), name), m.Mode); err != nil {
					return err
				}
			}
			return nil
		},
		func() error { return os.Symlink(fresh, in("..data_tmp")) },
		func() error { return os.Rename(in("..data_tmp"), data) },
		func() error { return m.relink(files) },
		func() error {
			if former == "" {
				return nil
			}
			return os.RemoveAll(in(former))
		},
	}
}

// relink makes the links that users of the mount see.
func (m *Mount) relink(files map[string][]byte) error {
	for _, name := range m.names {
		if _, still := files[name]; !still {
			if err := os.Remove(filepath.Join(m.Dir, name)); err != nil {
				return err
			}
		}
	}
	m.names = m.names[:0]
	for name := range files {
		m.names = append(m.names, name)
		link := filepath.Join(m.Dir, name)
		if _, err := os.Lstat(link); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join("..data", name), link); err != nil {
			return err
		}
	}
	return nil
}
