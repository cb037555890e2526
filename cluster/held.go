package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"

	"github.com/stateio/stateio/internal/fsys"
)

// Files that are open can be written when their directory was removed, or moved away, and
// then what is acknowledged is not there when the node is opened again. So a node looks after
// each write to its log, before that counts, whether the files are where they were.

// errLost reports files that are not where they were.
var errLost = errors.New("cluster: files were removed or replaced while the node was running")

// A heldLog knows the database of a log, and the file that entries are written to.
type heldLog struct {
	mu     sync.Mutex
	meta   heldFile
	newest heldFile
}

// A heldFile is a file as it was when it was opened.
type heldFile struct {
	path string // empty: it was not opened yet
	id   fsys.FileID
}

// hold notes the file at path as it is.
func (h *heldFile) hold(path string) error {
	was, err := fsys.OS{}.Stat(path)
	if err == nil {
		*h = heldFile{path, was.ID}
	}
	return err
}

// check returns an error that is errLost unless the file is there. It does not look at the times
// of the file, which would make the sync of the next entry longer; see package fsys. Where files have
// no numbers, as on Windows, it sees whether one is there: none that is open can be replaced there.
func (h *heldFile) check() error {
	if h.path == "" {
		return nil
	}
	now, err := fsys.OS{}.Stat(h.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: %s is gone", errLost, h.path)
	case err != nil:
		return err
	case now.ID != h.id:
		return fmt.Errorf("%w: another file is in the place of %s", errLost, h.path)
	}
	return nil
}

// holdMeta notes the database of the log in dir.
func (h *heldLog) holdMeta(dir string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.meta.hold(filepath.Join(dir, metadb.FileName))
}

// checkMeta returns an error that is errLost unless the database is there, or was not opened yet.
func (h *heldLog) checkMeta() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.meta.check()
}

// check returns an error that is errLost unless both files are there.
func (h *heldLog) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return errors.Join(h.meta.check(), h.newest.check())
}

// A heldFiles is raft-wal's file system, but the file that is opened for writing is noted, and none is
// once the database is not where it was: the directory may be that of another node by now.
type heldFiles struct {
	types.VFS
	held *heldLog
}

// Create implements types.VFS.
func (v heldFiles) Create(dir, name string, size uint64) (types.WritableFile, error) {
	if err := v.held.checkMeta(); err != nil {
		return nil, err
	}
	f, err := v.VFS.Create(dir, name, size)
	return v.hold(dir, name, f, err)
}

// OpenWriter implements types.VFS.
func (v heldFiles) OpenWriter(dir, name string) (types.WritableFile, error) {
	if err := v.held.checkMeta(); err != nil {
		return nil, err
	}
	f, err := v.VFS.OpenWriter(dir, name)
	return v.hold(dir, name, f, err)
}

func (v heldFiles) hold(dir, name string, f types.WritableFile, err error) (types.WritableFile, error) {
	if err != nil {
		return nil, err
	}
	v.held.mu.Lock()
	defer v.held.mu.Unlock()
	if err := v.held.newest.hold(filepath.Join(dir, name)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
