// Package memfs is a file system in memory that crashes. It knows, for every file and
// directory, what has reached the disk and what is only cached, and draws the states that
// a machine may be found in after a power cut: see [FS.Crash]. What may be lost, and what
// must not, is in the documentation of package fsys.
package memfs
