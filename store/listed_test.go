package store

import (
	"os"
	"path/filepath"
	"testing"
)

// What changed since a store's directory was listed tells whether it was restored.
func TestRemade(t *testing.T) {
	const log, later, making = "/00000000000000000001.log", "/00000000000000000002.log", "/00000000000000000001.log.import.tmp"
	move := func(from, to string) func(string) error {
		return func(dir string) error { return os.Rename(dir+from, dir+to) }
	}
	touch := func(name string) func(string) error {
		return func(dir string) error { return os.WriteFile(dir+name, nil, 0o600) }
	}
	for name, c := range map[string]struct {
		before, meanwhile func(dir string) error
		want              bool
	}{
		"nothing":          {touch(log), touch(log), false},
		"a foreign file":   {touch(log), touch("/notes"), false},
		"a rotation":       {touch(log), touch(later), true},
		"the store went":   {touch(log), os.RemoveAll, true},
		"it is being made": {touch(log), move(log, making), true},
		"it was made":      {touch(making), move(making, log), true},
		"it was replaced":  {touch(log), move(log, later), true},
		"it came":          {os.Remove, func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, true},
		"it never was":     {touch(making), touch(making), true},
	} {
		dir := filepath.Join(t.TempDir(), "store")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := c.before(dir); err != nil {
			t.Fatal(err)
		}
		l := list(filesIn(dir))
		if err := c.meanwhile(dir); err != nil {
			t.Fatal(err)
		}
		if got := l.remade(); got != c.want {
			t.Errorf("%s: remade is %v", name, got)
		}
	}
}
