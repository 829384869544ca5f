package secretdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// Size is the length of a secret, and of its file, in bytes.
	Size = 32

	// MaxSecrets bounds the secrets of a directory: each ticket is compared with their ids one by one, and each
	// revocation is written under the names of all.
	MaxSecrets = 64

	suffix = ".secret"

	// data is the link of a mount of Kubernetes.
	data = "..data"

	// readAttempts: a directory that loses files while it is read is read again. The kubelet removes what ..data led
	// to, and a rotation removes the oldest; neither happens eight times in a row.
	readAttempts = 8
)

var errSwapped = fmt.Errorf("its link %s was changed while it was read: %w", data, fs.ErrNotExist)

var errNone = fmt.Errorf("has no secrets; want files NUMBER%s of %d bytes", suffix, Size)

// A Secret is 32 bytes and their id. It prints as its id alone.
type Secret struct {
	ID    uint32
	Bytes [Size]byte
}

// Format prints the id, with every verb: a secret must not end in a log.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "secret %d", s.ID) }

// An entry is a secret as it lies in a directory.
type entry struct {
	Secret
	made time.Time // its file was last written
}

// Read returns the secrets of a directory in the order of their ids, at least one. It fails if any one of them
// cannot be read, is not whole, or may be read by others: see the package.
func Read(dir string) ([]Secret, error) {
	entries, err := readAgain(dir)
	var secrets []Secret
	for _, e := range entries {
		secrets = append(secrets, e.Secret)
	}
	return secrets, err
}

// Active returns the index of the active one of the secrets that Read returned.
func Active(secrets []Secret) int { return max(0, len(secrets)-2) }

func readAgain(dir string) (entries []entry, err error) {
	for range readAttempts {
		if entries, err = readOnce(dir); !errors.Is(err, fs.ErrNotExist) {
			return entries, err
		}
	}
	return nil, err
}

func readOnce(dir string) ([]entry, error) {
	root, err := open(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	ids, err := list(root)
	if swapped := stillMounted(dir, root); swapped != nil { // also if there were none, for then all were missing
		return nil, swapped
	}
	if err != nil {
		return nil, err
	}
	entries := make([]entry, 0, len(ids))
	for _, id := range ids {
		e, err := readFile(root, id)
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", id, bare(err))
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// open opens the directory that has the files.
func open(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, bare(err)
	}
	if mounted(root) {
		defer root.Close()
		if root, err = root.OpenRoot(data); err != nil {
			return nil, fmt.Errorf("its link %s: %w", data, bare(err))
		}
	}
	info, err := root.Stat(".")
	if err == nil {
		err = checkDir(info)
	}
	if err != nil {
		root.Close()
		return nil, bare(err)
	}
	return root, nil
}

// stillMounted returns an error if a mount has another directory by now. The kubelet changes the link before it removes the
// files that it led to: so if the link is the same after they were listed, none was missing. One that is removed later
// cannot be read.
func stillMounted(dir string, root *os.Root) error {
	top, err := os.OpenRoot(dir)
	if err != nil {
		return bare(err)
	}
	defer top.Close()
	if !mounted(top) {
		return nil
	}
	was, err := root.Stat(".")
	if err != nil {
		return bare(err)
	}
	if is, err := top.Stat(data); err != nil || !os.SameFile(was, is) {
		return errSwapped
	}
	return nil
}

// mounted reports whether a directory is a mount of Kubernetes. A link that leads nowhere is one, too.
func mounted(root *os.Root) bool {
	_, err := root.Lstat(data)
	return err == nil
}

// list returns the ids of all secrets, in order.
func list(root *os.Root) ([]uint32, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, bare(err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, bare(err)
	}
	var ids []uint32
	for _, name := range names {
		stem, ok := strings.CutSuffix(name, suffix)
		if !ok || strings.HasPrefix(name, ".") {
			continue
		}
		id, err := strconv.ParseUint(stem, 10, 32)
		if err != nil || nameOf(uint32(id)) != name {
			return nil, fmt.Errorf("the name of a file that ends in %s is no id; want a number from 0 to %d, without leading zeros", suffix, uint32(1<<32-1))
		}
		ids = append(ids, uint32(id))
	}
	if len(ids) == 0 {
		return nil, errNone
	}
	if len(ids) > MaxSecrets {
		return nil, fmt.Errorf("has %d secrets; want at most %d", len(ids), MaxSecrets)
	}
	slices.Sort(ids)
	return ids, nil
}

func nameOf(id uint32) string { return strconv.FormatUint(uint64(id), 10) + suffix }

func readFile(root *os.Root, id uint32) (entry, error) {
	e := entry{Secret: Secret{ID: id}}
	// Asked before it is opened: the opening of a pipe waits for a writer.
	info, err := root.Stat(nameOf(id))
	if err != nil {
		return e, err
	}
	if !info.Mode().IsRegular() {
		return e, errors.New("is no regular file")
	}
	f, err := root.Open(nameOf(id))
	if err != nil {
		return e, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return e, err
	}
	if err := checkFile(info); err != nil {
		return e, err
	}
	content, err := io.ReadAll(io.LimitReader(f, Size+1))
	if err != nil {
		return e, err
	}
	if len(content) != Size || info.Size() > Size {
		return e, fmt.Errorf("has %d bytes; want %d", max(int64(len(content)), info.Size()), Size)
	}
	e.made = info.ModTime()
	copy(e.Bytes[:], content)
	if e.Bytes == [Size]byte{} {
		return e, fmt.Errorf("is all zero; want %d random bytes", Size)
	}
	return e, nil
}

// bare returns an error of package os without the path in it. It is still a fs.ErrNotExist or such if it was one.
func bare(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	if l := (*os.LinkError)(nil); errors.As(err, &l) {
		return l.Err
	}
	return err
}
