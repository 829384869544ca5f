//go:build unix

package secretdir

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// checkFile refuses a secret that anybody but root and this process's user may read or has written. One exception
// is made: a Pod with an fsGroup gets the files of a Secret as root's, to be read by that group, which is the
// only way for a process of another user to read them. So a group of this process may read, but not write, what is root's.
func checkFile(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	perm := info.Mode().Perm()
	if stat.Uid != 0 && int64(stat.Uid) != int64(os.Geteuid()) {
		return fmt.Errorf("belongs to user %d; want this process's user, %d, or root", stat.Uid, os.Geteuid())
	}
	if perm&0o007 != 0 {
		return fmt.Errorf("has mode %04o, so every user may use it; want 0600 or 0400", perm)
	}
	if perm&0o070 != 0 && !(perm&0o070 == 0o040 && stat.Uid == 0 && inGroup(stat.Gid)) {
		return fmt.Errorf("has mode %04o, so its group may use it; want 0600 or 0400 (or 0440, where it is root's and its group, %d, is one of this process)", perm, stat.Gid)
	}
	return nil
}

func inGroup(gid uint32) bool {
	groups, err := os.Getgroups()
	return int64(gid) == int64(os.Getegid()) || err == nil && slices.Contains(groups, int(gid))
}

// checkDir refuses a directory in which others may rename secrets or take them away. In one with the sticky bit, as
// the mount of a Secret has it, they may not, and what they add is refused as theirs.
func checkDir(info fs.FileInfo) error {
	if perm := info.Mode().Perm(); perm&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("has mode %04o, so others than its owner may change it; want 0700", perm)
	}
	return nil
}

// checkOwn refuses a directory, to write to, that anybody but its owner may enter, or whose owner is not this process's user:
// what root wrote there, the owner could not read.
func checkOwn(info fs.FileInfo) error {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int64(stat.Uid) != int64(os.Geteuid()) {
		return fmt.Errorf("belongs to user %d and this process runs as %d; want the same", stat.Uid, os.Geteuid())
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("has mode %04o; want 0700", perm)
	}
	return nil
}

// syncDir makes the names in a directory outlast a crash.
func syncDir(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
