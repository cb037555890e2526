package move

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// What has its name is on the disk, with all that is in it.
func TestAllIsOnTheDiskBeforeItHasItsName(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "new")
	var synced []string
	failing := errors.New("failing")
	fails := ""
	syncFile = func(f *os.File) error {
		if _, err := os.Lstat(dir); err != nil {
			synced = append(synced, f.Name())
		}
		if f.Name() == fails {
			return failing
		}
		return f.Sync()
	}
	defer func() { syncFile = (*os.File).Sync }()
	fill := func(dir string) error {
		within := filepath.Join(dir, "within")
		return errors.Join(os.MkdirAll(within, 0o700), os.WriteFile(filepath.Join(within, "file"), []byte("x"), 0o600))
	}
	file, within := filepath.Join(dir+".partial", "within", "file"), filepath.Join(dir+".partial", "within")
	fails = file
	if err := To(dir, fill); !errors.Is(err, failing) {
		t.Errorf("a sync has failed, and the error is %v", err)
	}
	if names, err := os.ReadDir(top); len(names) != 0 {
		t.Errorf("a sync has failed, and there are %v, %v", names, err)
	}
	synced, fails = nil, ""
	if err := To(dir, fill); err != nil {
		t.Fatal(err)
	}
	want := []string{file}
	if runtime.GOOS != "windows" {
		want = []string{dir + ".partial", within, file}
	}
	if !slices.Equal(synced, want) {
		t.Errorf("before it had its name these were synced: %q", synced)
	}
}
