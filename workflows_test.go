package stateio_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What tests look for, and skip themselves without, is installed for CI: else it would never be
// tried there, and all would be well.
func TestCIInstallsWhatTestsLookFor(t *testing.T) {
	script, err := os.ReadFile(".ci/run")
	if err != nil {
		t.Skipf("not run: here is only the module, without what its CI runs: %v", err)
	}
	_, needs, _ := strings.Cut(string(script), "needs='")
	needs, _, _ = strings.Cut(needs, "\n'\n")
	installed := map[string]bool{"go": true, "sh": true, "bash": true} // those are there
	for line := range strings.Lines(needs) {
		if f := strings.Fields(line); len(f) > 2 {
			installed[f[0]] = true
		}
	}
	looksFor := regexp.MustCompile(`(?:LookPath\(|lookFor\(t, |Mkfs: +\[\]string\{|mountLoop\(t, dir, [^"]*)"([\w.-]+)"`)
	found := 0
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == ".git" { // which git may change meanwhile
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasPrefix(path, "bench") { // where Redis is a peer if it is there
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range looksFor.FindAllSubmatch(b, -1) {
			found++
			if !installed[string(m[1])] {
				t.Errorf("%s looks for %s, which .ci/run does not install", path, m[1])
			}
		}
		return err
	})
	if err != nil || found < 8 {
		t.Errorf("%d commands are looked for, %v: this test finds too few", found, err)
	}
}

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
