package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/examples/migrating/internal/move"
	"github.com/stateio/stateio/examples/migrating/internal/move/movetest"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFilesMoveThereAndBack(t *testing.T) {
	from := t.TempDir()
	write(t, from, "ann.json", `{"Name": "Ann", "Age": 31}`)
	write(t, from, "bob.json", `{"Name": "Bob", "Mail": "bob@example.com", "Age": 40}`)
	write(t, from, "notes.txt", "not a user")
	dir, returned := movetest.Run(t, from, "2", there, back)

	users, err := durable.OpenMap[string, user](dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer users.Close()
	if ann, ok := users.Get("ann"); !ok || ann != (user{Name: "Ann", Age: 31}) || users.Len() != 2 {
		t.Errorf("ann is %+v, of %d users", ann, users.Len())
	}
	bob, err := readFile(filepath.Join(returned, "bob.json"))
	if want := (user{"Bob", "bob@example.com", 40}); err != nil || bob != want {
		t.Errorf("bob is %+v, %v", bob, err)
	}
}

// A directory is no pattern.
func TestADirectoryWithANameLikeAPatternMoves(t *testing.T) {
	top := t.TempDir()
	from := filepath.Join(top, "users[1]")
	for dir, name := range map[string]string{from: "Ann", filepath.Join(top, "users1"): "Another"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, dir, "ann.json", `{"Name": "`+name+`"}`)
	}
	_, returned := movetest.Run(t, from, "1", there, back)
	if ann, err := readFile(filepath.Join(returned, "ann.json")); err != nil || ann.Name != "Ann" {
		t.Errorf("ann is %+v, %v", ann, err)
	}
}

// What the type does not have would be lost.
func TestAFieldThatWouldBeLostIsRefused(t *testing.T) {
	from := t.TempDir()
	write(t, from, "ann.json", `{"Name": "Ann", "Age": 31, "Phone": "5"}`)
	err := movetest.Refused(t, from, there)
	if !strings.Contains(err.Error(), "ann.json") || !strings.Contains(err.Error(), "Phone") {
		t.Error(err)
	}
	write(t, from, "ann.json", `{"name": "Ann", "Age": 31}`) // which encoding/json takes for Name
	err = movetest.Refused(t, from, there)
	if !strings.Contains(err.Error(), "ann.json") || !strings.Contains(err.Error(), `"name"`) {
		t.Error(err)
	}
}

// What could not be moved back is not moved there.
func TestAFileWithoutANameIsRefused(t *testing.T) {
	from := t.TempDir()
	write(t, from, "ann.json", `{"Name": "Ann"}`)
	write(t, from, ".json", `{"Name": "Nobody"}`)
	if err := movetest.Refused(t, from, there); !strings.Contains(err.Error(), ".json has nothing before") {
		t.Error(err)
	}
}

func TestHelpIsNoFailure(t *testing.T) {
	var stdout, stderr strings.Builder
	if err := move.Run(t.Context(), []string{"jsonfiles", "-h"}, &stdout, &stderr, there, back); err != nil || !strings.Contains(stderr.String(), "-back") {
		t.Errorf("%v, %q", err, stderr.String())
	}
}

func TestADirectoryWithoutUsersIsRefused(t *testing.T) {
	if err := movetest.Refused(t, t.TempDir(), there); !strings.Contains(err.Error(), "no files") {
		t.Error(err)
	}
}

func TestAKeyThatIsNoNameOfAFileIsNotMovedBack(t *testing.T) {
	for _, key := range []string{"../ann", "/", ""} {
		dir := t.TempDir()
		users, err := durable.OpenMap[string, user](dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := users.Put(t.Context(), key, user{}); err != nil {
			t.Fatal(err)
		}
		if err := users.Close(); err != nil {
			t.Fatal(err)
		}
		if err := movetest.Refused(t, dir, back); !strings.Contains(err.Error(), fmt.Sprintf("%q is no name", key)) {
			t.Error(err)
		}
	}
}

// Where "Ann" and "ann" are one file, the second is not written over the first.
func TestAFileIsNotWrittenTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ann.json")
	if err := writeNew(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := writeNew(path, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if got, err := os.ReadFile(path); string(got) != "one" {
		t.Errorf("there is %q, %v", got, err)
	}
}
