package logio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/stateio/stateio/logio"
)

// twoEntries is a log.
func twoEntries() []byte {
	var file bytes.Buffer
	w := logio.NewWriter(&file, 0)
	for _, entry := range []string{"first", "second"} {
		if err := w.Append([]byte(entry)); err != nil {
			log.Fatal(err)
		}
	}
	return file.Bytes()
}

func Example() {
	var file bytes.Buffer // or an *os.File
	w := logio.NewWriter(&file, 0)
	for _, entry := range []string{"one", "two", "three"} {
		if err := w.Append([]byte(entry)); err != nil {
			log.Fatal(err)
		}
	}
	r := logio.NewReader(&file, 0)
	for {
		entry, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: %s\n", r.Offset(), entry)
	}
	// Output:
	// 0: one
	// 18: two
	// 36: three
}

func ExampleAppend() {
	var file bytes.Buffer
	var off int64
	scratch := make([]byte, 0, 2*logio.Blocksz)
	for _, entry := range []string{"one", "two"} {
		n, err := logio.Append(&file, off, []byte(entry), scratch)
		if err != nil {
			log.Fatal(err)
		}
		off += int64(n)
	}
	fmt.Println(off, "bytes")
	// Output: 36 bytes
}

func ExampleAligned() {
	fmt.Println(logio.Aligned(100), logio.Aligned(logio.Blocksz-15), logio.Aligned(logio.Blocksz-16))
	// Output: 100 32768 32752
}

// Reading a log backwards.
func ExampleRewind() {
	file := bytes.NewReader(twoEntries())
	off := file.Size()
	for {
		var err error
		off, err = logio.Rewind(file, off) // also seeks
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		entry, err := logio.NewReader(file, off).Read()
		fmt.Printf("%s %v\n", entry, err)
	}
	// Output:
	// second <nil>
	// first <nil>
}

func ExampleNewReader() {
	const off = 20 // where the second entry starts
	r := logio.NewReader(bytes.NewReader(twoEntries()[off:]), off)
	entry, err := r.Read()
	fmt.Printf("%s %v\n", entry, err)
	// Output: second <nil>
}

// Damage is reported, and what is after it in later blocks is read.
func ExampleReader_Read() {
	var file bytes.Buffer
	w := logio.NewWriter(&file, 0)
	for range 3 {
		if err := w.Append(make([]byte, 20_000)); err != nil {
			log.Fatal(err)
		}
	}
	file.Bytes()[1] ^= 1
	r := logio.NewReader(&file, 0)
	for {
		entry, err := r.Read()
		if err == io.EOF {
			break
		}
		fmt.Println(r.Offset(), len(entry), err)
	}
	// Output:
	// 0 0 logio: corrupted log entry
	// 40045 20000 <nil>
}

func ExampleReader_Reset() {
	r := logio.NewReader(bytes.NewReader(nil), 0)
	r.Reset(bytes.NewReader(twoEntries()), 0)
	entry, err := r.Read()
	fmt.Printf("%s %v\n", entry, err)
	// Output: first <nil>
}

func ExampleReader_Offset() {
	r := logio.NewReader(bytes.NewReader(twoEntries()), 0)
	for range 2 {
		_, err := r.Read()
		fmt.Println(r.Offset(), err)
	}
	// Output:
	// 0 <nil>
	// 20 <nil>
}

func ExampleReader_SetMaxEntry() {
	r := logio.NewReader(bytes.NewReader(twoEntries()), 0)
	r.SetMaxEntry(5)
	for range 2 {
		entry, err := r.Read()
		fmt.Printf("%q %v\n", entry, err)
	}
	// Output:
	// "first" <nil>
	// "" logio: entry longer than the reader's limit
}

func ExampleNewWriter() {
	file := bytes.NewBuffer(twoEntries())
	w := logio.NewWriter(file, int64(file.Len()))
	fmt.Println(w.Append([]byte("third")), file.Len())
	// Output: <nil> 61
}

func ExampleWriter_Append() {
	w := logio.NewWriter(io.Discard, 0)
	fmt.Println(w.Append([]byte("entry")), w.Tell())
	// Output: <nil> 20
}

func ExampleWriter_Tell() {
	w := logio.NewWriter(io.Discard, logio.Blocksz-3)
	fmt.Println(w.Tell())
	// Output: 32768
}

// Writing an entry that need not fit in memory, and reading it back.
func ExampleWriter_AppendFrom() {
	var file bytes.Buffer
	n, err := logio.NewWriter(&file, 0).AppendFrom(strings.NewReader("a very long entry"))
	fmt.Println(n, err)
	// Output: 17 <nil>
}

func ExampleReader_Stream() {
	r := logio.NewReader(bytes.NewReader(twoEntries()), 0)
	for {
		entry, err := r.Stream()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		n, err := io.Copy(io.Discard, entry)
		fmt.Println(n, err)
	}
	// Output:
	// 5 <nil>
	// 6 <nil>
}
