//go:build !unix

package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"github.com/stateio/stateio/store"
)

// lockFile opens the file at path. The log has a lock of its own on these systems.
func lockFile(path string) (io.Closer, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
}

// lockMeta makes sure that no node has the database of the log open: bbolt would wait for it
// without end.
func lockMeta(f *os.File) error {
	db, err := bbolt.Open(f.Name(), 0o600, &bbolt.Options{ReadOnly: true, Timeout: 100 * time.Millisecond})
	if errors.Is(err, bbolt.ErrTimeout) {
		return fmt.Errorf("%w: another process, or another node of this one, has %s open: close that first", store.ErrLocked, f.Name())
	}
	if err != nil {
		return nil // it is damaged, and is looked at next
	}
	return db.Close()
}

func unlockFile(*os.File) {}
