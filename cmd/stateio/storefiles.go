package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A snapFile is a snapshot file of a store.
type snapFile struct {
	index uint64 // of the last update in it
	size  int64  // of the file in bytes
	name  string
}

// storeFiles lists the files of the store in a directory, by index: the base
// indexes of the logs, of which there is at least one, and the snapshots.
func storeFiles(dir string) (logs []uint64, snaps []snapFile, err error) {
	entries, err := os.ReadDir(dir) // sorted, as the names are by index
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		suffix := filepath.Ext(e.Name())
		index, err := strconv.ParseUint(strings.TrimSuffix(e.Name(), suffix), 10, 64)
		if err != nil || len(e.Name()) != 20+len(suffix) {
			continue
		}
		switch suffix {
		case ".log":
			logs = append(logs, index)
		case ".snap":
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // dropped just now
			}
			if err != nil {
				return nil, nil, err
			}
			snaps = append(snaps, snapFile{index, info.Size(), e.Name()})
		}
	}
	if len(logs) == 0 {
		return nil, nil, fmt.Errorf("there is no store in %s", dir)
	}
	return logs, snaps, nil
}
