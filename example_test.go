package stateio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/stateio/stateio"
)

// exampleFile opens a state file with two epochs, to be removed by remove.
func exampleFile() (file *os.File, remove func()) {
	dir, err := os.MkdirTemp("", "stateio")
	if err != nil {
		log.Fatal(err)
	}
	file, err = os.OpenFile(filepath.Join(dir, "app.state"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	w, err := stateio.NewFileWriter(file)
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(
		w.Update([]byte("1")), w.Update([]byte("2")),
		w.Snapshot([]byte("3")), // the sum so far
		w.Update([]byte("4")),
	); err != nil {
		log.Fatal(err)
	}
	return file, func() {
		file.Close()
		os.RemoveAll(dir)
	}
}

// A program's start and its work.
func Example() {
	file, remove := exampleFile()
	defer remove()

	w, err := stateio.NewFileWriter(file) // first: nobody else writes from here on
	if err != nil {
		log.Fatal(err)
	}
	state, _, updates, err := stateio.RestoreFile(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("state: %s\n", state)
	for update, err := range updates.All() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("update: %s\n", update)
	}

	if err := w.Update([]byte("5")); err != nil {
		log.Fatal(err)
	}
	fmt.Println("5 is on disk")
	// Output:
	// state: 3
	// update: 4
	// 5 is on disk
}

func ExampleRestore() {
	var file bytes.Buffer
	w := stateio.NewWriter(&file, 0, 0)
	if err := errors.Join(w.Snapshot([]byte("state")), w.Update([]byte("update"))); err != nil {
		log.Fatal(err)
	}
	state, epoch, updates, err := stateio.Restore(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		log.Fatal(err)
	}
	update, err := updates.Read()
	fmt.Printf("%s %d %s %v\n", state, epoch, update, err)
	// Output: state 0 update <nil>
}

func ExampleRestoreFile() {
	file, remove := exampleFile()
	defer remove()
	state, epoch, _, err := stateio.RestoreFile(file)
	fmt.Printf("%s %d %v\n", state, epoch, err)
	// Output: 3 50 <nil>
}

// The older state is still there.
func ExampleRestoreEpoch() {
	file, remove := exampleFile()
	defer remove()
	info, err := file.Stat()
	if err != nil {
		log.Fatal(err)
	}
	state, updates, err := stateio.RestoreEpoch(file, info.Size(), 0)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("no state:", state == nil)
	for update, err := range updates.All() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", update)
	}
	// Output:
	// no state: true
	// 1
	// 2
}

func ExampleEpochs() {
	file, remove := exampleFile()
	defer remove()
	info, err := file.Stat()
	if err != nil {
		log.Fatal(err)
	}
	for epoch, err := range stateio.Epochs(file, info.Size()) {
		fmt.Println(epoch.Offset, epoch.StateSize, epoch.End, err)
	}
	// Output:
	// 50 1 100 <nil>
	// 0 -1 50 <nil>
}

func ExampleNewFileWriter() {
	file, remove := exampleFile()
	defer remove()
	if _, err := file.WriteAt([]byte("what a crash left"), 100); err != nil {
		log.Fatal(err)
	}
	w, err := stateio.NewFileWriter(file) // cuts it off
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Update([]byte("5")))
	// Output: <nil>
}

func ExampleNewWriter() {
	var file bytes.Buffer
	w := stateio.NewWriter(&file, 0, 0)
	fmt.Println(w.Update([]byte("update")), file.Len())
	// Output: <nil> 30
}

func ExampleWriter_Update() {
	file, remove := exampleFile()
	defer remove()
	w, err := stateio.NewFileWriter(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Update([]byte("5")))
	// Output: <nil>
}

// One sync for all of them.
func ExampleWriter_Updates() {
	file, remove := exampleFile()
	defer remove()
	w, err := stateio.NewFileWriter(file)
	if err != nil {
		log.Fatal(err)
	}
	err = w.Updates([]byte("5"), []byte("6"), []byte("7"))
	var failed *stateio.AppendError
	if errors.As(err, &failed) && !failed.Unknown {
		fmt.Println("the file is as it was")
	}
	fmt.Println(err)
	// Output: <nil>
}

func ExampleWriter_Snapshot() {
	file, remove := exampleFile()
	defer remove()
	w, err := stateio.NewFileWriter(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Snapshot([]byte("7")))
	state, _, _, err := stateio.RestoreFile(file)
	fmt.Printf("%s %v\n", state, err)
	// Output:
	// <nil>
	// 7 <nil>
}

func ExampleReader_Read() {
	file, remove := exampleFile()
	defer remove()
	_, _, updates, err := stateio.RestoreFile(file)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		update, err := updates.Read()
		fmt.Printf("%q %v\n", update, err)
	}
	// Output:
	// "4" <nil>
	// "" EOF
}

func ExampleReader_All() {
	file, remove := exampleFile()
	defer remove()
	_, _, updates, err := stateio.RestoreFile(file)
	if err != nil {
		log.Fatal(err)
	}
	for update, err := range updates.All() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", update)
	}
	// Output: 4
}

func ExampleReader_Offset() {
	file, remove := exampleFile()
	defer remove()
	_, _, updates, err := stateio.RestoreFile(file)
	if err != nil {
		log.Fatal(err)
	}
	_, err = updates.Read()
	fmt.Println(updates.Offset(), err)
	// Output: 75 <nil>
}

func ExampleReader_Progress() {
	file, remove := exampleFile()
	defer remove()
	_, _, updates, err := stateio.RestoreFile(file)
	if err != nil {
		log.Fatal(err)
	}
	done, total := updates.Progress()
	fmt.Println(done, "of", total)
	for range updates.All() {
		done, total = updates.Progress()
		fmt.Println(done, "of", total)
	}
	// Output:
	// 25 of 50
	// 50 of 50
}

// A tool that moves a file makes sure that nobody writes to it.
func ExampleLock() {
	file, remove := exampleFile()
	defer remove()
	other, err := os.OpenFile(file.Name(), os.O_RDWR, 0)
	if err != nil {
		log.Fatal(err)
	}
	defer other.Close()
	if err := stateio.Lock(other); err != nil {
		fmt.Println("a program may have it open")
	}
	// Output: a program may have it open
}

// Keeping the last epoch only, in a file of its own.
func ExampleCompact() {
	file, remove := exampleFile()
	defer remove()
	info, err := file.Stat()
	if err != nil {
		log.Fatal(err)
	}
	var smaller bytes.Buffer
	n, err := stateio.Compact(&smaller, file, info.Size())
	fmt.Println(info.Size(), "to", n, err)
	// Output: 100 to 50 <nil>
}

// Replacing a file by its current epoch alone, while nobody writes to it.
func ExampleCompactFile() {
	file, remove := exampleFile()
	defer remove()
	if err := stateio.Lock(file); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		log.Fatal(err)
	}
	smaller, err := os.CreateTemp(filepath.Dir(file.Name()), "app.state-*.tmp")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.Remove(smaller.Name()) }() // unless it got another name
	defer smaller.Close()
	n, err := stateio.CompactFile(context.Background(), smaller, file, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "bytes") // to be renamed now, and then the directory synced
	// Output: 50 bytes
}

func ExampleTruncate() {
	file, remove := exampleFile()
	defer remove()
	freed, err := stateio.Truncate(context.Background(), file, nil)
	if errors.Is(err, errors.ErrUnsupported) {
		fmt.Println("Compact works everywhere")
	}
	fmt.Println(freed, err)
	// Output: 0 <nil>
}

func ExampleCorruptError() {
	file := []byte("certainly no state file")
	_, _, _, err := stateio.Restore(bytes.NewReader(file), int64(len(file)))
	var corrupt *stateio.CorruptError
	fmt.Println(errors.Is(err, stateio.ErrCorrupt), errors.As(err, &corrupt), corrupt.Offset)
	// Output: true true 0
}
