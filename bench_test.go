package stateio_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/sidebyside"
	"github.com/stateio/stateio/logio"
)

// Each benchmark runs beside its bound; see package sidebyside.

// BenchmarkRestore restores a file of updates and reads all of them. Its bound
// reads the file in pieces of 1 MiB and hashes each block.
func BenchmarkRestore(b *testing.B) {
	for _, size := range []int{16, 128, 1 << 10, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("update=%d", size), func(b *testing.B) {
			file, n := makeFile(b, size)
			buf := make([]byte, 1<<20)
			b.ReportAllocs()
			sidebyside.Run(b, n, func() {
				_, _, updates, err := stateio.Restore(file, n)
				for err == nil {
					_, err = updates.Read()
				}
				if err != io.EOF {
					b.Fatal(err)
				}
			}, func() { hashBlocks(b, io.NewSectionReader(file, 0, n), buf) })
		})
	}
}

// makeFile returns a state file with 64 MiB of updates of the given size.
func makeFile(b *testing.B, size int) (file *os.File, n int64) {
	b.Helper()
	file = createFile(b)
	var buf bytes.Buffer
	w := stateio.NewWriter(&buf, 0, 0)
	update := bytes.Repeat([]byte("payload!"), size/8)
	for buf.Len() < 64<<20 {
		if err := w.Update(update); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := file.Write(buf.Bytes()); err != nil {
		b.Fatal(err)
	}
	return file, int64(buf.Len())
}

// hashBlocks reads r in pieces of len(buf) and hashes each block.
func hashBlocks(b *testing.B, r io.Reader, buf []byte) {
	for {
		n, err := io.ReadFull(r, buf)
		for p := buf[:n]; len(p) > 0; p = p[min(len(p), logio.Blocksz):] {
			xxhash.Sum64(p[:min(len(p), logio.Blocksz)])
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return
		default:
			b.Fatal(err)
		}
	}
}

// BenchmarkUpdate appends updates to a file, each fsynced. Its bound writes and
// fsyncs as many bytes, 32 updates each in turn.
func BenchmarkUpdate(b *testing.B) {
	const updates = 32
	for _, size := range []int{128, 16 << 10} {
		b.Run(fmt.Sprintf("update=%d", size), func(b *testing.B) {
			w, err := stateio.NewFileWriter(createFile(b))
			if err != nil {
				b.Fatal(err)
			}
			update := make([]byte, size)
			file := createFile(b)
			rec := make([]byte, record.EntrySize(0, int64(size)+9))
			b.ReportAllocs()
			sidebyside.Run(b, updates*int64(size), func() {
				for range updates {
					if err := w.Update(update); err != nil {
						b.Fatal(err)
					}
				}
			}, func() {
				for range updates {
					if _, err := file.Write(rec); err != nil {
						b.Fatal(err)
					}
					if err := file.Sync(); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

// createFile returns a new file in a directory of its own.
func createFile(b *testing.B) *os.File {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "state"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { file.Close() })
	return file
}
