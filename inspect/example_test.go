package inspect_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
)

// example returns a state file, in which one byte of the first update is wrong.
func example() []byte {
	var b bytes.Buffer
	w := stateio.NewWriter(&b, 0, 0)
	for _, update := range []string{"lost", "kept"} {
		if err := w.Update([]byte(update)); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Snapshot([]byte("state")); err != nil {
		log.Fatal(err)
	}
	b.Bytes()[24] ^= 1
	return b.Bytes()
}

func ExampleVerify() {
	file := example()
	report, err := inspect.Verify(context.Background(), bytes.NewReader(file), int64(len(file)), nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range report.Damage {
		fmt.Printf("%d bytes at offset %d (%v): %s\n", d.Length, d.Offset, d.Place, d.Reason)
	}
	fmt.Println("current state intact:", report.Err() == nil)
	// Output:
	// 28 bytes at offset 0 (obsolete): the checksum of a record is wrong
	// current state intact: true
}

func ExampleEntries() {
	file := example()
	for e, err := range inspect.Entries(bytes.NewReader(file), int64(len(file))) {
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%v at %d, epoch %d: %q\n", e.Kind, e.Offset, e.Epoch, e.Prefix)
	}
	// Output:
	// inspect: the state file is damaged at offset 0, 28 bytes: the checksum of a record is wrong
	// update at 28, epoch 0: "kept"
	// snapshot at 56, epoch 56: "state"
}

func ExampleOpenMap() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "app.state")
	if err := os.WriteFile(path, example(), 0o600); err != nil {
		log.Fatal(err)
	}
	m, err := inspect.OpenMap(path)
	if err != nil {
		log.Fatal(err)
	}
	for i, f := range m.Files {
		fmt.Printf("%v of %d bytes\n", f.Kind, f.Size)
		for p, err := range m.Parts(i, inspect.Mark{}) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Printf("%d to %d: %v: %s%s\n", p.Offset, p.End, p.Content, p.Prefix, p.Reason)
		}
	}
	// Output:
	// state file of 85 bytes
	// 0 to 28: damage: the checksum of a record is wrong
	// 28 to 56: update: kept
	// 56 to 85: state: state
}

func ExampleMap_Records() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "app.state")
	if err := os.WriteFile(path, example(), 0o600); err != nil {
		log.Fatal(err)
	}
	m, err := inspect.OpenMap(path)
	if err != nil {
		log.Fatal(err)
	}
	records, err := m.Records(0, 0) // of the first block of the first file
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range records {
		fmt.Printf("%d to %d: %s%s\n", r.Offset, r.End, r.Type, r.Reason)
	}
	// Output:
	// 0 to 28: the checksum of a record is wrong
	// 28 to 56: FULL
	// 56 to 85: FULL
}

func ExampleHasEntry() {
	file := example()
	fmt.Println(inspect.HasEntry(bytes.NewReader(file), int64(len(file))))
	fmt.Println(inspect.HasEntry(bytes.NewReader(file), 20)) // cut within the first
	// Output:
	// true <nil>
	// false <nil>
}

func ExampleReport_Incomplete() {
	file := example()
	for _, size := range []int{0, 20, len(file)} { // of what was copied
		report, err := inspect.Verify(context.Background(), bytes.NewReader(file[:size]), int64(size), nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(report.Incomplete())
	}
	// Output:
	// false
	// true
	// false
}
