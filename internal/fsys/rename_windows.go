package fsys

import (
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

// renameInfo is the head of a FILE_RENAME_INFO, before the new name.
type renameInfo struct {
	flags  uint32
	_      windows.Handle // of a directory that the name begins in: none
	length uint32         // of the name, in bytes
}

// renameOver renames a file in the way of Unix, which replaces one that is open, as
// MoveFileEx does not. Windows has it since version 10, on NTFS.
func renameOver(from *uint16, to string) error {
	to, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	name, err := windows.UTF16FromString(to)
	if err != nil {
		return err
	}
	h, err := windows.CreateFile(from, windows.DELETE|windows.SYNCHRONIZE, shareAll, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_OPEN_REPARSE_POINT|windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		return err
	}
	defer func() { _ = windows.CloseHandle(h) }() // nothing was written to it
	// The name begins where the length ends, and not after the padding of the head.
	const at = unsafe.Offsetof(renameInfo{}.length) + unsafe.Sizeof(renameInfo{}.length)
	words := make([]uint64, (max(at+2*uintptr(len(name)), unsafe.Sizeof(renameInfo{}))+7)/8) // aligned
	head := (*renameInfo)(unsafe.Pointer(&words[0]))
	head.flags = windows.FILE_RENAME_REPLACE_IF_EXISTS | windows.FILE_RENAME_POSIX_SEMANTICS
	head.length = uint32(2 * (len(name) - 1)) // without the zero at its end
	copy(unsafe.Slice((*uint16)(unsafe.Add(unsafe.Pointer(&words[0]), at)), len(name)), name)
	return windows.SetFileInformationByHandle(h, windows.FileRenameInfoEx, (*byte)(unsafe.Pointer(&words[0])), uint32(8*len(words)))
}
