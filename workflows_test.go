package stateio_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// Workflows name the actions that they use by hash: a tag can be moved.
func TestActionsArePinned(t *testing.T) {
	paths, err := filepath.Glob(".github/workflows/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Skip("not run: here is only the module, without the workflows of its repository")
	}
	pinned := regexp.MustCompile(`^[\w/.-]+@[0-9a-f]{40} # v[\d.]+$`)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, use := range regexp.MustCompile(`(?m)^ *-? *uses: *(.*)$`).FindAllSubmatch(b, -1) {
			if !pinned.Match(use[1]) {
				t.Errorf("%s uses %s: name the commit, and the version in a comment", path, use[1])
			}
		}
	}
}
