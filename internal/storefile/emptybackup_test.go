package storefile

import (
	"bytes"
	"io"
	"testing"
)

func TestAnEmptyBackupHasItsIndexAndNoState(t *testing.T) {
	h := Header{Kind: BackupKind, Store: [16]byte{1}, Base: 7, Salt: 3, Time: 5}
	b, err := EmptyBackup(h)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenBackup(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.WriteTo(io.Discard); n != 0 || err != nil || r.Header != h {
		t.Errorf("it has %d bytes and the header %+v: %v", n, r.Header, err)
	}
}
