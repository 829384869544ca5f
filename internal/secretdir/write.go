package secretdir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"time"
)

// DefaultKeep is how long a former secret is of use: no session lives for longer than 7 days, and clocks
// differ by 5 minutes at most, either way.
const DefaultKeep = 7*24*time.Hour + 10*time.Minute

// New makes a directory with two secrets, the active one and the next, and returns them. The directory may exist, but has no
// secrets then. Both files are whole when they appear; a crash between the two leaves the active one alone, and Rotate
// adds the next.
func New(dir string, now time.Time) (secrets []Secret, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, bare(err)
	}
	root, err := openOwn(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if ids, err := list(root); len(ids) > 0 {
		return nil, fmt.Errorf("has %d secrets already; want none, or rotate", len(ids))
	} else if !errors.Is(err, errNone) {
		return nil, err
	}
	for highest := int64(-1); len(secrets) < 2; {
		s, err := add(root, highest, now)
		if err != nil {
			return nil, err
		}
		secrets, highest = append(secrets, s), int64(s.ID)
	}
	return secrets, nil
}

// Rotate makes the next secret of a directory active, by adding another, and removes the former ones that have not
// been active for longer than keep. It returns the secrets that the directory has then, and how many were removed.
// After an error the directory is whole: as it was, or without some of those.
//
// Other processes have from one Rotate to the following to read the directory, so they must read it more often.
func Rotate(dir string, now time.Time, keep time.Duration) (secrets []Secret, removed int, err error) {
	entries, err := readAgain(dir)
	if err != nil {
		return nil, 0, err
	}
	root, err := openOwn(dir)
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	// A secret was active until the one after the next was made. The three last are always of use.
	for removed+2 < len(entries) && now.Sub(entries[removed+2].made) > keep {
		if err := root.Remove(nameOf(entries[removed].ID)); err != nil {
			return nil, removed, fmt.Errorf("secret %d: %w", entries[removed].ID, bare(err))
		}
		removed++
	}
	entries = entries[removed:]
	if len(entries) == MaxSecrets {
		return nil, removed, fmt.Errorf("has %d secrets, and the oldest was active %v ago or later; want fewer: rotate less often, or keep them for less", MaxSecrets, keep)
	}
	for _, e := range entries {
		secrets = append(secrets, e.Secret)
	}
	fresh, err := add(root, int64(secrets[len(secrets)-1].ID), now)
	if err != nil {
		return nil, removed, err
	}
	return append(secrets, fresh), removed, nil
}

// openOwn opens a directory to write to.
func openOwn(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, bare(err)
	}
	info, err := root.Stat(".")
	if err == nil {
		err = checkOwn(info)
	}
	if err == nil && mounted(root) {
		err = errors.New("is a mount of Kubernetes; want its Secret changed instead")
	}
	if err != nil {
		root.Close()
		return nil, bare(err)
	}
	return root, nil
}

// add makes a secret of a higher id than all, and returns it once it would outlast a crash.
func add(root *os.Root, highest int64, now time.Time) (Secret, error) {
	id := max(highest+1, min(now.Unix(), math.MaxUint32))
	if id > math.MaxUint32 {
		return Secret{}, fmt.Errorf("has a secret of the id %d, which is the last; want a new directory", highest)
	}
	s := Secret{ID: uint32(id)}
	rand.Read(s.Bytes[:]) // never fails
	if err := write(root, s); err != nil {
		return Secret{}, fmt.Errorf("secret %d: %w", s.ID, bare(err))
	}
	return s, nil
}

// write lets the file of a secret appear, whole.
func write(root *os.Root, s Secret) (err error) {
	// The name is the same for all who make a secret of this id, so there is one of them at a time.
	temporary := "." + nameOf(s.ID) + ".tmp"
	f, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there; another process makes the same, or did not end it: try again", temporary)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(temporary) // the first error tells more
		}
	}()
	_, err = f.Write(s.Bytes[:])
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return bare(err)
	}
	// A rename would replace what another process made before it let go of the temporary name.
	if _, missing := root.Lstat(nameOf(s.ID)); missing == nil {
		return fs.ErrExist // which the deferred function sees as err
	}
	if err = root.Rename(temporary, nameOf(s.ID)); err != nil {
		return err
	}
	return syncDir(root)
}
