package faultfs

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Kind is the kind of an operation, or a set of kinds.
type Kind uint32

// The kinds of operations: each is a method of fsys.FS, fsys.Held or fsys.File, but for Open, which
// is OpOpen or OpCreate, RemoveDir, which is an OpRemove, and SyncName, which is an OpSyncDir of
// the parent. To ask whether a fsys.Held was moved is an OpStat, to close it an OpUnlock.
const (
	OpOpen Kind = 1 << iota
	OpCreate
	OpLock
	OpUnlock
	OpMkdir
	OpRename
	OpRemove
	OpStat
	OpList
	OpSyncDir
	OpRead
	OpWrite
	OpSync
	OpDatasync
	OpPreallocate
	OpTruncate
	OpDropCache
	OpClose
	OpFree
	OpHold    // fsys.FS.Hold
	OpLockDir // fsys.Held.LockDir
	OpFlock   // fsys.File.Lock
	opEnd
)

const (
	// AnyOp is every operation.
	AnyOp = opEnd - 1
	// Changes are the operations after which a crash can find something else
	// than before.
	Changes = OpCreate | OpLock | OpMkdir | OpRename | OpRemove | OpSyncDir |
		OpWrite | OpSync | OpDatasync | OpPreallocate | OpTruncate
	// Syncs make something durable.
	Syncs = OpSync | OpDatasync | OpSyncDir
)

var kindNames = [...]string{
	"open", "create", "lock", "unlock", "mkdir", "rename", "remove", "stat", "list", "syncdir",
	"read", "write", "sync", "datasync", "preallocate", "truncate", "dropcache", "close", "free",
	"hold", "lockdir", "flock",
}

// String names the kinds in k, with a | between them.
func (k Kind) String() string {
	var names []string
	for i, name := range kindNames {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, "|")
}

// Op is one operation on an FS.
type Op struct {
	N       int64  // counts all operations of the FS, from 1
	Kind    Kind   // one kind
	Path    string // as given to Open, for operations on a fsys.File
	NewPath string // of a rename
	Off     int64  // of a read, write or preallocation; the size of a truncation
	Len     int64  // bytes of a read, write or preallocation
}

// String describes the operation without its number and with slashes, as in "write a/log 512+20".
func (op Op) String() string {
	s := op.Kind.String() + " " + filepath.ToSlash(op.Path)
	switch op.Kind {
	case OpRename:
		return s + " -> " + filepath.ToSlash(op.NewPath)
	case OpRead, OpWrite, OpPreallocate:
		return fmt.Sprintf("%s %d+%d", s, op.Off, op.Len)
	case OpTruncate:
		return fmt.Sprintf("%s %d", s, op.Off)
	}
	return s
}
