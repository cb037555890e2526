package logio_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/stateio/stateio/internal/record"
	"github.com/stateio/stateio/internal/sidebyside"
	"github.com/stateio/stateio/logio"
)

// Each benchmark runs beside its bound: the least that any program with such
// checksums has to do for the same bytes. See package sidebyside.

// benchSizes are entry sizes in bytes.
var benchSizes = []int{16, 128, 1 << 10, 16 << 10, 1 << 20}

// benchLog is the size in bytes of the logs, several times that of a cache.
const benchLog = 32 << 20

// BenchmarkRead reads a log in memory. Its bound copies the log in pieces of
// 1 MiB and hashes each block.
func BenchmarkRead(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("entry=%d", size), func(b *testing.B) {
			log := makeLog(size)
			r := logio.NewReader(nil, 0)
			buf := make([]byte, 1<<20)
			b.ReportAllocs()
			sidebyside.Run(b, int64(len(log)), func() {
				r.Reset(bytes.NewReader(log), 0)
				for {
					if _, err := r.Read(); err == io.EOF {
						return
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}, func() { hashBlocks(bytes.NewReader(log), buf) })
		})
	}
}

// makeLog returns a log of about benchLog bytes of entries of the given size.
func makeLog(size int) []byte {
	var buf bytes.Buffer
	w := logio.NewWriter(&buf, 0)
	entry := bytes.Repeat([]byte("payload!"), size/8)
	for buf.Len() < benchLog {
		if err := w.Append(entry); err != nil {
			panic(err)
		}
	}
	return buf.Bytes()
}

// hashBlocks reads r in pieces of len(buf) and hashes each block.
func hashBlocks(r io.Reader, buf []byte) {
	for {
		n, err := io.ReadFull(r, buf)
		for b := buf[:n]; len(b) > 0; b = b[min(len(b), logio.Blocksz):] {
			xxhash.Sum64(b[:min(len(b), logio.Blocksz)])
		}
		if err != nil {
			return
		}
	}
}

// BenchmarkAppend appends entries to memory, a bytes.Buffer. Its bound copies as
// many bytes as the records take up, and hashes as many as their checksums
// cover.
func BenchmarkAppend(b *testing.B) {
	benchmarkAppend(b, func(buf *bytes.Buffer) io.Writer { return buf })
}

// BenchmarkAppendPlain is BenchmarkAppend to a writer of which nothing is known:
// each entry is copied once more.
func BenchmarkAppendPlain(b *testing.B) {
	benchmarkAppend(b, func(buf *bytes.Buffer) io.Writer { return struct{ io.Writer }{buf} })
}

func benchmarkAppend(b *testing.B, writer func(*bytes.Buffer) io.Writer) {
	var buf bytes.Buffer
	buf.Grow(benchLog)
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("entry=%d", size), func(b *testing.B) {
			entry := bytes.Repeat([]byte("payload!"), size/8)
			rec := make([]byte, record.EntrySize(0, int64(size)))
			n := benchLog / size / 4
			w := logio.NewWriter(writer(&buf), 0)
			b.ReportAllocs()
			sidebyside.Run(b, int64(n*size), func() {
				buf.Reset()
				for range n {
					if err := w.Append(entry); err != nil {
						b.Fatal(err)
					}
				}
			}, func() {
				buf.Reset()
				for range n {
					if _, err := buf.Write(rec); err != nil {
						b.Fatal(err)
					}
					xxhash.Sum64(rec[4:])
				}
			})
		})
	}
}
