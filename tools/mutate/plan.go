package main

import "strings"

// A job is a package to be mutated and the packages whose tests judge it.
type job struct {
	pkg      string
	files    []string // of the package; none: all
	judges   []string
	env      []string          // of the tests
	leaveOut map[string]string // tests that do not judge, and why
}

// The plan: what is mutated here. What proves a lower layer wrong is often a
// test of one above, so these judge too.
var plan = []job{
	{pkg: "./logio", judges: []string{"./logio", "."}},
	{pkg: "./internal/record", judges: []string{"./internal/record", "./logio", "."}},
	{pkg: "./internal/entry", judges: []string{"./internal/entry", "."}},
	{pkg: ".", judges: []string{"."}},
	{
		pkg:      "./internal/storefile",
		judges:   []string{"./internal/storefile", "./store"},
		env:      storeEnv,
		leaveOut: slowStoreTests,
	},
	{
		pkg:      "./internal/storedir",
		files:    []string{"dir.go", "log.go", "snapshot.go"},
		judges:   []string{"./internal/storedir", "./store"},
		env:      storeEnv,
		leaveOut: slowStoreTests,
	},
	{
		pkg: "./store",
		files: []string{
			"recover.go", "check.go", "past.go", "backup.go", "follow.go", "follower.go", "repair.go",
			"update.go", "commit.go", "snapshot.go", "store.go",
		},
		judges:   []string{"./store"},
		env:      storeEnv,
		leaveOut: slowStoreTests,
	},
}

var storeEnv = []string{"STATEIO_CRASH_COUNT=1000"}

// slowStoreTests are tests of package store that judge no mutant, and why.
var slowStoreTests = map[string]string{
	"TestFaultsDuringRecovery": "7 s for each mutant",
	"TestFullDisksOfTheKernel": "16 s for each mutant, as root only",
	"TestKill":                 "its processes outlive it, and what they do is left to chance",
	"TestEverythingAtOnce":     "5 s for each mutant, and left to chance",
}

// jobFor returns the plan for the package that pattern names, or one where it
// is judged by its own tests.
func jobFor(pattern string) *job {
	pattern = strings.TrimSuffix(pattern, "/")
	for i := range plan {
		if plan[i].pkg == pattern {
			return &plan[i]
		}
	}
	return &job{pkg: pattern, judges: []string{pattern}}
}

// wants reports whether the file of that base name is to be mutated.
func (j *job) wants(base string) bool {
	for _, f := range j.files {
		if f == base {
			return true
		}
	}
	return len(j.files) == 0
}
