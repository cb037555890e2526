package main

import (
	"bytes"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// copyExtended gives file the extended attributes of the one at path, among them
// its access control list, and returns the names of those that it could not.
func copyExtended(file *os.File, path string) (lost []string) {
	for _, name := range extended(path) {
		want, err := getExtended(func(b []byte) (int, error) { return unix.Lgetxattr(path, name, b) })
		if err != nil {
			lost = append(lost, "attribute "+name)
			continue
		}
		fd := int(file.Fd())
		have, err := getExtended(func(b []byte) (int, error) { return unix.Fgetxattr(fd, name, b) })
		if err == nil && bytes.Equal(have, want) {
			continue // a security module has set it
		}
		if err := unix.Fsetxattr(fd, name, want, 0); err != nil {
			lost = append(lost, "attribute "+name)
		}
	}
	return lost
}

// extended returns the names of the extended attributes of the file at path; none
// where there is no such thing.
func extended(path string) []string {
	b, err := getExtended(func(b []byte) (int, error) { return unix.Llistxattr(path, b) })
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// getExtended returns what get gives, whose size is not known before.
func getExtended(get func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := get(nil)
		if n == 0 || err != nil {
			return nil, err
		}
		b := make([]byte, n)
		n, err = get(b)
		if errors.Is(err, unix.ERANGE) {
			continue // it has grown
		}
		return b[:max(n, 0)], err
	}
}
