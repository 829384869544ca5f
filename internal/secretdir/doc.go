// Package secretdir is a directory in which the secrets of a fleet lie: how it is read, and how it is written.
//
// Each secret is a file of 32 random bytes, named for its id. The ids order them, so no file says which is which:
//
//	1796047200.secret   former   what was sealed under it opens
//	1796133600.secret   active   seals; the second highest, or the only one
//	1796220000.secret   next     the highest: active once another follows
//
// So a rotation is one more file. It appears by one rename, and whoever reads before, during or after it sees a whole
// set. The next secret is there from one rotation to the following, which is the time that all processes have to learn
// it before anything is sealed under it: no clock is compared. Files that end otherwise are not looked at.
//
// Ids are the time at which the secret was made, in Unix seconds, or one more than the highest: a directory that is
// made anew has ids of its own. Other ids do as well, if later ones are higher.
//
// Kubernetes mounts a Secret as a directory in which ..data is a link to the directory that has the files, and changes
// all of them at once by a rename of that link. Read resolves it once and reads what it led to. It reads again where
// that was removed meanwhile.
//
// No error names a path or has content of a file in it; a file appears by its id.
package secretdir
