package main

import "golang.org/x/sys/unix"

// renameExclusive is renameNew where the file system has it.
func renameExclusive(from, to string) error { return unix.RenamexNp(from, to, unix.RENAME_EXCL) }
