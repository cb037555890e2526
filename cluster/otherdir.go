package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// storeFile returns the name of a file of a store in dir; empty: there is none.
func storeFile(dir string) (string, error) {
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	for _, e := range list {
		name := e.Name()
		digits, _, _ := strings.Cut(name, ".")
		ext := strings.TrimPrefix(name, digits)
		if len(digits) == 20 && strings.Trim(digits, "0123456789") == "" && (strings.HasPrefix(ext, ".log") || strings.HasPrefix(ext, ".snap")) {
			return name, nil
		}
	}
	return "", nil
}

// checkDir refuses a directory that no node can be in: that of a store, whose state the
// cluster would not have, and one in which an import was interrupted.
func checkDir(dir string) error {
	name, err := storeFile(dir)
	if err != nil {
		return err
	}
	if name != "" {
		return fmt.Errorf("%w: %s is the directory of a store, which has %s, and a cluster that began there would not have what is in the store: make a Backup of the store, and call Import with it, for a directory of the node's own", ErrIdentity, dir, name)
	}
	unfinished, err := exists(filepath.Join(dir, importFile))
	if err == nil && unfinished {
		err = fmt.Errorf("%w: in %s: call Import again, which begins anew; or remove the directory", ErrUnfinished, dir)
	}
	return err
}
