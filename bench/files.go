package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stateio/stateio/bench/engine"
)

// eachFile calls do with the path of each file below dir.
func eachFile(dir string, do func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return do(path, info)
	})
}

// diskUse returns how many bytes of the disk the files below dir take.
func diskUse(dir string) (bytes int64, err error) {
	err = eachFile(dir, func(_ string, info fs.FileInfo) error {
		bytes += allocated(info)
		return nil
	})
	return bytes, err
}

// dropCaches makes the kernel forget the files below dir, where it can be told to.
func dropCaches(dir string) error {
	return eachFile(dir, func(path string, _ fs.FileInfo) error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		err = f.Sync()
		if err == nil {
			if err = engine.DropCache(f); errors.Is(err, errors.ErrUnsupported) {
				err = nil
			}
		}
		return errors.Join(err, f.Close())
	})
}
