package store_test

import (
	"os"
	"testing"
)

// createFile makes a file that is closed at the end of the test.
func createFile(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
