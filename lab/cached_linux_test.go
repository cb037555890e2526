//go:build amd64 || arm64

package lab

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/lab/kernel"
)

// A block of a batch that is in the page cache and not on the disk, as a sync that failed
// leaves it, keeps a writer from the file: ext4 and XFS show it until it is dropped from the
// cache.
func TestABlockOfABatchThatOnlyTheCacheHolds(t *testing.T) {
	for _, k := range []kernel.FileSystem{kernel.Ext4, kernel.XFS} {
		t.Run(k.Name, func(t *testing.T) {
			image, dir := needMounts(t, k), t.TempDir()
			m, err := k.Mount(image, dir, "")
			must(t, err)
			t.Cleanup(func() { must(t, m.Unmount()) })
			name, inBatch := filepath.Join(dir, "file"), make([]byte, 8<<10)
			for i := range inBatch {
				inBatch[i] = byte(rand.Uint32())
			}
			must(t, appendBatch(name, inBatch))
			must(t, m.Sync())
			losesBlock(t, image, inBatch)
			if b, err := os.ReadFile(name); err != nil || !bytes.Contains(b, inBatch) {
				t.Skipf("the cache does not hold the file any more, %v", err)
			}
			if err := appendTo(name); !errors.Is(err, stateio.ErrCorrupt) {
				t.Errorf("appending to it: %v", err)
			}
		})
	}
}

// appendBatch makes a state file with a batch in it, and an update in the middle of that.
func appendBatch(name string, middle []byte) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := stateio.NewFileWriter(f)
	if err != nil {
		return err
	}
	var batch [][]byte
	for i := range 20 {
		batch = append(batch, bytes.Repeat([]byte{byte(i)}, 8<<10))
	}
	batch[10] = middle
	return w.Updates(batch...)
}

// losesBlock has a disk image lose what is in it once.
func losesBlock(t *testing.T, image string, lost []byte) {
	t.Helper()
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	b, err := os.ReadFile(image)
	must(t, err)
	at := bytes.Index(b, lost)
	if at < 0 || bytes.Count(b, lost) != 1 {
		t.Fatalf("the image holds the block at %d, and %d times", at, bytes.Count(b, lost))
	}
	_, err = f.WriteAt(make([]byte, len(lost)), int64(at))
	must(t, err)
	must(t, f.Sync())
}
