package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

const attribute, attributeValue = "user.stateio.test", "kept"

// setAttribute sets an extended attribute, where the file system has them.
func setAttribute(t *testing.T, path string) {
	if err := unix.Setxattr(path, attribute, []byte(attributeValue), 0); err != nil {
		t.Log("no extended attributes here: ", err)
	}
}

// checkAttribute fails the test if the attribute is missing where there can be one.
func checkAttribute(t *testing.T, path string) {
	var b [20]byte
	n, err := unix.Getxattr(path, attribute, b[:])
	if unix.Setxattr(path, attribute, nil, 0) == nil && (err != nil || string(b[:n]) != attributeValue) {
		t.Errorf("%s: the attribute is %q, %v", path, b[:max(n, 0)], err)
	}
}
