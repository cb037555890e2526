package inspect_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

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
