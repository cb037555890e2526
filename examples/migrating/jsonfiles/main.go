// Command jsonfiles moves a directory of JSON files, one for each user, to a map of module
// durable, and back.
//
//	go run ./examples/migrating/jsonfiles -from users -to data/users
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/stateio/stateio/durable"
	"github.com/stateio/stateio/examples/migrating/internal/move"
	"github.com/stateio/stateio/store"
)

func main() { move.Main(there, back) }

// A user is what a file holds.
type user struct {
	Name string
	Mail string `json:",omitempty"`
	Age  int
}

const suffix = ".json"

// there reads each file as the map's own codec would: a field that the type lacks is an
// error now, and not lost.
func there(ctx context.Context, from, to string) (n int, err error) {
	err = move.To(to, func(dir string) error {
		users, err := durable.OpenMap[string, user](dir, nil)
		if err != nil {
			return err
		}
		n, err = fill(ctx, users, from)
		return errors.Join(err, users.Close())
	})
	return n, err
}

func fill(ctx context.Context, users *durable.Map[string, user], from string) (n int, err error) {
	names, err := fs.Glob(os.DirFS(from), "*"+suffix) // from may hold characters of a pattern
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = filepath.Join(from, name)
	}
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("there are no files %s", filepath.Join(from, "*"+suffix))
	}
	for _, path := range paths {
		if !isName(key(path)) {
			err = errors.Join(err, fmt.Errorf("%s has nothing before %s, which could not be moved back: rename it", path, suffix))
		}
	}
	if err != nil {
		return 0, err
	}
	filler := move.Filler[string, user]{Map: users}
	for _, path := range paths {
		u, err := readFile(path)
		if err != nil {
			return 0, err
		}
		if err := filler.Put(ctx, len(path)+len(u.Name)+len(u.Mail), key(path), u); err != nil {
			return 0, err
		}
	}
	if err := filler.Flush(ctx); err != nil {
		return 0, err
	}
	for _, path := range paths {
		u, err := readFile(path)
		if err != nil {
			return 0, err
		}
		if got, ok := users.Get(key(path)); !ok || got != u {
			return 0, fmt.Errorf("%s was changed meanwhile: it has %+v, and the map %+v", path, u, got)
		}
	}
	return len(paths), nil
}

func key(path string) string { return strings.TrimSuffix(filepath.Base(path), suffix) }

// isName reports whether the file of a key can have its name.
func isName(key string) bool { return key == filepath.Base(key) && filepath.IsLocal(key+suffix) }

func readFile(path string) (user, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return user{}, err
	}
	u, err := store.JSON[user]{}.Decode(b)
	if err != nil {
		return user{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return u, nil
}

// back writes a file for each user.
func back(_ context.Context, from, to string) (n int, err error) {
	users, err := durable.OpenMap[string, user](from, &durable.MapOptions[string, user]{Store: store.Options{MustExist: true}})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, users.Close()) }()
	return users.Len(), move.To(to, func(dir string) error {
		if err := os.Mkdir(dir, 0o777); err != nil {
			return err
		}
		for name, u := range users.All() {
			if !isName(name) {
				return fmt.Errorf("the key %q is no name of a file: leave it out, or escape it", name)
			}
			b, err := json.MarshalIndent(u, "", "\t")
			if err != nil {
				return err
			}
			if err := writeNew(filepath.Join(dir, name+suffix), append(b, '\n')); err != nil {
				return fmt.Errorf("key %q: %w", name, err)
			}
		}
		return nil
	})
}

// writeNew writes a file that must not be there: where upper and lower case are the same, two
// keys may have one. move.To makes it durable.
func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}
