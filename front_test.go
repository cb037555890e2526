package stateio_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stateio/stateio"
)

// Without its first block, a file of the first epoch begins in the middle of an
// entry. That is damage, whatever the payload looks like there, and not a log
// that begins with the entry after it.
func TestACutFrontOfTheFirstEpochIsRefused(t *testing.T) {
	for fill := range 256 {
		m := (&model{}).update(bytes.Repeat([]byte{byte(fill)}, block+5000)).update([]byte("two"))
		front := m.file[block:]
		_, _, updates, err := stateio.Restore(bytes.NewReader(front), int64(len(front)))
		if err == nil {
			_, err = updates.Read()
		}
		if !errors.Is(err, stateio.ErrCorrupt) {
			t.Errorf("payload of %#x: Restore says %v", fill, err)
		}
		if _, err := stateio.NewFileWriter(tempFile(t, front)); !errors.Is(err, stateio.ErrCorrupt) {
			t.Errorf("payload of %#x: NewFileWriter says %v", fill, err)
		}
	}
}
