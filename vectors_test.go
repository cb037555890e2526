package stateio_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stateio/stateio"
)

// A vector is a state file made by an independent implementation of the format.
type vector struct {
	Name    string
	SHA256  string
	Size    int64
	Epoch   uint64
	Entries []struct {
		Op     string
		Len    int
		Seed   int
		Offset int64
	}
	file []byte
}

// payload is what entry i holds: SHA-256 in counter mode.
func (v *vector) payload(i int) []byte {
	p := []byte{}
	for n := 0; len(p) < v.Entries[i].Len; n++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", v.Entries[i].Seed, n))
		p = append(p, sum[:]...)
	}
	return p[:v.Entries[i].Len]
}

// vectors returns the files in testdata/vectors.
func vectors(t testing.TB) []vector {
	t.Helper()
	index, err := os.ReadFile("testdata/vectors/index.json")
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(index, &vs); err != nil {
		t.Fatal(err)
	}
	if len(vs) != 18 {
		t.Fatalf("index.json lists %d files, want 18", len(vs))
	}
	for i := range vs {
		v := &vs[i]
		if v.file, err = os.ReadFile(filepath.Join("testdata/vectors", v.Name+".state")); err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(v.file); hex.EncodeToString(sum[:]) != v.SHA256 {
			t.Fatalf("%s.state is not the file that index.json lists", v.Name)
		}
	}
	return vs
}

func TestWritingTheVectorsGivesTheirBytes(t *testing.T) {
	for _, v := range vectors(t) {
		var buf bytes.Buffer
		w := stateio.NewWriter(&buf, 0, 0)
		for i, e := range v.Entries {
			write := w.Update
			if e.Op == "snapshot" {
				write = w.Snapshot
			}
			if err := write(v.payload(i)); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(buf.Bytes(), v.file) {
			t.Errorf("%s: wrote %d bytes that differ from the file's %d", v.Name, buf.Len(), len(v.file))
		}
	}
}

func TestRestoringTheVectorsGivesTheirContent(t *testing.T) {
	for _, v := range vectors(t) {
		var state []byte
		var updates [][]byte
		for i, e := range v.Entries {
			if e.Op == "snapshot" {
				state, updates = v.payload(i), nil
			} else {
				updates = append(updates, v.payload(i))
			}
		}
		got, epoch, r, err := stateio.Restore(bytes.NewReader(v.file), v.Size)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if epoch != v.Epoch || !bytes.Equal(got, state) || (got == nil) != (state == nil) {
			t.Errorf("%s: got %d bytes of state in epoch %d, want %d in epoch %d", v.Name, len(got), epoch, len(state), v.Epoch)
		}
		for i, want := range updates {
			if got, err := r.Read(); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: update %d: got %d bytes, %v; want %d", v.Name, i, len(got), err, len(want))
			}
		}
		if _, err := r.Read(); err != io.EOF {
			t.Errorf("%s: after the last update: %v, want io.EOF", v.Name, err)
		}
	}
}

func TestEpochsOfTheVectors(t *testing.T) {
	for _, v := range vectors(t) {
		var want []stateio.Epoch
		next := stateio.Epoch{StateSize: -1}
		for i, e := range v.Entries {
			if e.Op == "snapshot" {
				if i > 0 {
					next.End = e.Offset
					want = append([]stateio.Epoch{next}, want...)
				}
				next = stateio.Epoch{Offset: uint64(e.Offset), Previous: next.Offset, StateSize: int64(e.Len)}
			}
		}
		next.End = v.Size
		want = append([]stateio.Epoch{next}, want...)
		i := 0
		for e, err := range stateio.Epochs(bytes.NewReader(v.file), v.Size) {
			if err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			if i == len(want) || e.Offset != want[i].Offset || e.Previous != want[i].Previous || e.StateSize != want[i].StateSize || e.End != want[i].End {
				t.Fatalf("%s: epoch %d: got %+v, want %+v", v.Name, i, e, want)
			}
			i++
		}
		if i != len(want) {
			t.Errorf("%s: got %d epochs, want %d", v.Name, i, len(want))
		}
	}
}
