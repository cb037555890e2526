package statetest_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/statetest"
	"github.com/stateio/stateio/store"
)

// A test may define -update for files of its own.
var _ = flag.Bool("update", false, "as a user's test may define it")

// files returns the files below dir, by path.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, path))
		found[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// recorded returns a folder with the log of a machine, recorded.
func recorded(t *testing.T, newMachine func() store.Machine, opts statetest.Options) string {
	t.Helper()
	opts.Golden, opts.UpdateGolden = filepath.Join(t.TempDir(), "testdata", "golden"), true
	opts.Updates, opts.CrashStates = 24, 1
	mustPass(t, newMachine, commands(1), &opts)
	return opts.Golden
}

// changed returns a machine of a later version of the program.
func changed(m planted) func() store.Machine {
	return func() store.Machine {
		c := m
		c.m, c.kept = map[string]string{}, map[string][]byte{}
		return &c
	}
}

func TestGoldenLogsReplay(t *testing.T) {
	dir := recorded(t, newCloned, statetest.Options{})
	before := files(t, dir)
	if len(before) != 2 {
		t.Fatalf("recorded %d files, want a log and a state", len(before))
	}
	// Another stream now; the logs are what they were.
	mustPass(t, newTree, commands(2), &statetest.Options{Golden: dir, Updates: 24, CrashStates: 1})
	if !maps.Equal(files(t, dir), before) {
		t.Fatal("a run that records nothing has changed the folder")
	}
}

func TestGoldenRecordsOnlyWhatIsNew(t *testing.T) {
	dir := recorded(t, newCloned, statetest.Options{})
	before := files(t, dir)
	again := &statetest.Options{Golden: dir, Updates: 24, CrashStates: 1, UpdateGolden: true}
	mustPass(t, newCloned, commands(1), again)
	if !maps.Equal(files(t, dir), before) {
		t.Fatal("recording the same log again has changed the folder")
	}
	mustPass(t, newCloned, commands(2), again)
	after := files(t, dir)
	if len(after) != 4 {
		t.Fatalf("%d files after another log was recorded, want 4", len(after))
	}
	for path, content := range before {
		if after[path] != content {
			t.Fatalf("%s has changed", path)
		}
	}
}

func TestGoldenWithEqualRecordsEachStreamOnce(t *testing.T) {
	opts := statetest.Options{Equal: equalGobbed, Updates: 24, CrashStates: 1}
	dir := recorded(t, newGobbed, opts)
	before := files(t, dir)
	opts.Golden, opts.UpdateGolden = dir, true
	mustPass(t, newGobbed, commands(1), &opts)
	if !maps.Equal(files(t, dir), before) {
		t.Fatal("recording the same log again has changed the folder")
	}
}

func TestGoldenFlags(t *testing.T) {
	for _, name := range []string{"statetest.update", "update"} {
		dir := filepath.Join(t.TempDir(), "golden")
		if err := flag.Set(name, "true"); err != nil {
			t.Fatal(err)
		}
		mustPass(t, newCloned, commands(1), &statetest.Options{Golden: dir, Updates: 24, CrashStates: 1})
		if err := flag.Set(name, "false"); err != nil {
			t.Fatal(err)
		}
		if n := len(files(t, dir)); n != 2 {
			t.Errorf("-%s has recorded %d files, want 2", name, n)
		}
	}
}

const goldenFailed = `check "golden logs replay to the recorded states" failed: `

func TestGoldenFindsAMachineThatHasChanged(t *testing.T) {
	for _, test := range []struct {
		name, says string
		machine    planted
	}{
		{
			"Apply does something else", "give another state than the snapshot that an earlier version wrote after them",
			planted{apply: func(p *planted, update []byte) error {
				if f := strings.Fields(string(update)); f[0] == "add" {
					p.m[f[1]] = f[2] + p.m[f[1]]
					return nil
				}
				return p.correct(update)
			}},
		},
		{
			"Apply refuses more", "Apply refuses update 4, which an earlier version has accepted: refused",
			planted{apply: func(p *planted, update []byte) error {
				if string(update[:3]) == "add" {
					return errRefused
				}
				return p.correct(update)
			}},
		},
		{
			"Restore can't read old snapshots", "the snapshot after update ",
			planted{
				snapshot: func(p *planted) (io.WriterTo, error) {
					return versioned{"v2\n", lines(maps.Clone(p.m))}, nil
				},
				restore: func(p *planted, r io.Reader) error {
					var v [3]byte
					if _, err := io.ReadFull(r, v[:]); err != nil || string(v[:]) != "v2\n" {
						return fmt.Errorf("unknown version: %w", err)
					}
					return p.cloned.Restore(r)
				},
			},
		},
		{
			"the encoding is another one", "gives the state that the log gives, but that is encoded in another way now",
			planted{
				snapshot: func(p *planted) (io.WriterTo, error) {
					return versioned{"v2\n", lines(maps.Clone(p.m))}, nil
				},
				restore: func(p *planted, r io.Reader) error {
					b, err := io.ReadAll(r)
					if err != nil {
						return err
					}
					return p.cloned.Restore(bytes.NewReader(bytes.TrimPrefix(b, []byte("v2\n"))))
				},
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := recorded(t, newCloned, statetest.Options{})
			mustFail(t, changed(test.machine), commands(1), &statetest.Options{Golden: dir, Updates: 24, CrashStates: 1}, goldenFailed, test.says, dir)
		})
	}
}

// versioned is a captured state with a head.
type versioned struct {
	head  string
	state io.WriterTo
}

func (v versioned) WriteTo(w io.Writer) (int64, error) {
	if _, err := io.WriteString(w, v.head); err != nil {
		return 0, err
	}
	return v.state.WriteTo(w)
}

func TestGoldenFindsAChangedEndState(t *testing.T) {
	for _, opts := range []statetest.Options{{}, {Equal: equalCloned}} {
		dir := recorded(t, newCloned, opts)
		for path := range files(t, dir) {
			if filepath.Ext(path) == ".state" {
				if err := os.WriteFile(filepath.Join(dir, path), []byte("k1 other\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		opts.Golden, opts.Updates, opts.CrashStates = dir, 24, 1
		mustFail(t, newCloned, commands(1), &opts, goldenFailed, "replays to another state than was recorded in", "If the change is meant, delete that file")
	}
}

func equalCloned(a, b store.Machine) bool { return maps.Equal(a.(*cloned).m, b.(*cloned).m) }

func TestGoldenWantsSomethingToCheck(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	mustFail(t, newCloned, commands(1), &statetest.Options{Golden: dir, Updates: 24, CrashStates: 1}, goldenFailed, "holds no log", "-statetest.update")
}

func TestGoldenReportsADamagedLog(t *testing.T) {
	dir := recorded(t, newCloned, statetest.Options{})
	for path, content := range files(t, dir) {
		if filepath.Ext(path) == ".log" {
			damaged := []byte(content)
			damaged[len(damaged)/2] ^= 1
			if err := os.WriteFile(filepath.Join(dir, path), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustFail(t, newCloned, commands(1), &statetest.Options{Golden: dir, Updates: 24, CrashStates: 1}, goldenFailed, "corrupt")
}

// The directory of a store and the file of a backup, put into the folder, are
// golden logs as well.
func TestGoldenTakesStoresAndBackups(t *testing.T) {
	dir := t.TempDir()
	production := filepath.Join(dir, "production")
	s, err := store.Open(production, newCloned(), &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for i := range 20 {
		if _, err := s.Update(ctx, fmt.Appendf(nil, "set k%d v%d", i%7, i)); err != nil {
			t.Fatal(err)
		}
		if i == 12 {
			if err := s.Snapshot(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	var backup bytes.Buffer
	if _, err := s.Backup(ctx, &backup); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "backup.log"), backup.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	opts := &statetest.Options{Golden: dir, Updates: 24, CrashStates: 1}
	mustFail(t, newCloned, commands(1), opts, goldenFailed, "no state is recorded for")

	opts.UpdateGolden = true
	mustPass(t, newCloned, commands(1), opts)
	opts.UpdateGolden = false
	mustPass(t, newCloned, commands(1), opts)
	after := files(t, dir)
	for path, content := range before {
		if after[path] != content {
			t.Errorf("%s has changed", path)
		}
	}
	if a, b := after["production.state"], after["backup.state"]; a == "" || a != b {
		t.Errorf("the store's state is %q, that of its backup %q", a, b)
	}
	mustFail(t, changed(planted{apply: func(p *planted, update []byte) error {
		return p.correct(bytes.ToUpper(update[:len(update)-1]))
	}}), commands(1), opts, "check")
}

// A version that writes other snapshots of the same updates records a log of its
// own.
func TestGoldenRecordsEachEncoding(t *testing.T) {
	dir := recorded(t, newCloned, statetest.Options{})
	v2 := changed(planted{
		snapshot: func(p *planted) (io.WriterTo, error) { return versioned{"v2\n", lines(maps.Clone(p.m))}, nil },
		restore: func(p *planted, r io.Reader) error {
			b, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			return p.cloned.Restore(bytes.NewReader(bytes.TrimPrefix(b, []byte("v2\n"))))
		},
	})
	mustFail(t, v2, commands(1), &statetest.Options{Golden: dir, Updates: 24, CrashStates: 1, UpdateGolden: true}, goldenFailed, "encoded in another way now")
	if n := len(files(t, dir)); n != 4 {
		t.Errorf("%d files, want two logs and two states", n)
	}
}

// remove removes the files in dir with that extension.
func remove(t *testing.T, dir, ext string) {
	t.Helper()
	for path := range files(t, dir) {
		if filepath.Ext(path) == ext {
			if err := os.Remove(filepath.Join(dir, path)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// lateChange gives updates another meaning where the log of 24 of them has no snapshot any
// more, so that it has the name that it had.
var lateChange = planted{apply: func(p *planted, update []byte) error {
	err := p.correct(update)
	if err != nil {
		return err
	}
	if f := strings.Fields(string(update)); strings.HasSuffix(f[len(f)-1], "23") {
		p.m["late"] = "x"
	}
	return nil
}}

// A repository that ignores *.log has the states only. They stand for the version that
// has recorded them: a later one does not take their place.
func TestGoldenKeepsAStateWhoseLogIsMissing(t *testing.T) {
	for _, opts := range []statetest.Options{{}, {Equal: equalPlanted}} {
		dir := recorded(t, changed(planted{}), opts)
		whole := files(t, dir)
		remove(t, dir, ".log")
		before := files(t, dir)

		opts.Golden, opts.Updates, opts.CrashStates = dir, 24, 1
		mustFail(t, changed(planted{}), commands(1), &opts, goldenFailed, ".log is not", "git leaves logs out", "-statetest.update")
		opts.UpdateGolden = true
		mustFail(t, changed(lateChange), commands(1), &opts, goldenFailed, "replays to another state than was recorded in")
		after := files(t, dir)
		for path, content := range before {
			if after[path] != content {
				t.Errorf("%s is %q, and was recorded as %q", path, after[path], content)
			}
		}

		remove(t, dir, ".log")
		mustPass(t, changed(planted{}), commands(1), &opts)
		if !maps.Equal(files(t, dir), whole) {
			t.Error("the log that was recorded again is not as it was")
		}
		remove(t, dir, ".log")
		mustFail(t, changed(planted{}), commands(2), &opts, goldenFailed, ".log is not") // the log of other updates is no help
	}
}

func equalPlanted(a, b store.Machine) bool { return maps.Equal(a.(*planted).m, b.(*planted).m) }
