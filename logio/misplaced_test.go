package logio_test

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/stateio/stateio/logio"
)

// Whatever blocks of a log are missing, doubled or in another's place: what Rewind
// returns is a whole entry, which Read gives. (That it is the one written there, no
// block of the format tells.)
func TestRewindFindsWhatCanBeReadOverMisplacedBlocks(t *testing.T) {
	m := &model{}
	for i := range 2 { // entries whose records begin and end where their blocks do
		m.add(bytesOf(uint64(i), 3*(block-15)))
	}
	m.add(bytesOf(9, 100), bytesOf(10, 2*block), bytesOf(11, 2*block))
	n := len(m.file) / block
	for i := range n {
		for j := range n {
			at := func(k int) []byte { return m.file[k*block : (k+1)*block] }
			swapped := bytes.Clone(m.file)
			copy(swapped[i*block:], at(j))
			copy(swapped[j*block:], at(i))
			replaced := bytes.Clone(m.file)
			copy(replaced[i*block:], at(j))
			for what, file := range map[string][]byte{
				"swapped":  swapped,
				"replaced": replaced,
				"missing":  slices.Delete(bytes.Clone(m.file), i*block, (i+1)*block),
				"doubled":  slices.Insert(bytes.Clone(m.file), i*block, at(j)...),
			} {
				for limit := int64(len(file)); ; {
					off, err := logio.Rewind(bytes.NewReader(file), limit)
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					if _, err := logio.NewReader(bytes.NewReader(file[off:]), off).Read(); err != nil {
						t.Fatalf("blocks %d and %d %s: Rewind gives offset %d, and Read %v", i, j, what, off, err)
					}
					limit = off
				}
			}
		}
	}
}
