package store_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stateio/stateio/internal/fsys/faultfs"
	"github.com/stateio/stateio/store"
)

// A message begins with the name of the package, and does not say it again where one error of
// the package is the cause of another.
func TestMessagesNameThePackageOnce(t *testing.T) {
	once := func(what string, err, is error) {
		t.Helper()
		if !errors.Is(err, is) || !strings.HasPrefix(err.Error(), "store: ") || strings.Count(err.Error(), "store: ") > 1 {
			t.Errorf("%s: %v; want one that is %v", what, err, is)
		}
	}
	ctx := t.Context()
	machine := func() store.Machine { return &journal{} }
	for _, dir := range []string{"/imported", "/copy"} {
		memory(t, dir)
	}

	newer, _ := build(t, "/newer", 2, 20, 0, 30)
	newerVersion(newer)
	mount(t, "/newer", newer.mem(t, "/newer"))
	_, err := store.Open("/newer", &journal{}, quiet(nil))
	once("Open of a newer version", err, store.ErrVersion)
	_, err = store.Load(ctx, "/newer", &journal{})
	once("Load of a newer version", err, store.ErrVersion)
	backup := files{"backup": aBackup(t, "a")}
	newerVersion(backup)
	file := bytes.NewReader(backup["backup"])
	_, err = store.IsBackup(file, file.Size())
	once("IsBackup of a newer version", err, store.ErrVersion)
	_, err = store.VerifyBackup(ctx, file, file.Size())
	once("VerifyBackup of a newer version", err, store.ErrVersion)
	once("Import of a newer version", store.Import("/imported", file, file.Size()), store.ErrVersion)
	once("Import of no backup", store.Import("/imported", strings.NewReader("42"), 2), store.ErrCorrupt)

	damaged, _ := build(t, "/damaged", 2, 20, 20, 20)
	damaged[log0][len(damaged[log0])/2] ^= 1
	mount(t, "/damaged", damaged.mem(t, "/damaged"))
	_, err = store.Copy(ctx, "/damaged", "/copy", nil)
	once("Copy of a damaged store", err, store.ErrCorrupt)
	_, err = store.Bisect(ctx, "/damaged", machine, func(store.Machine) bool { return false })
	once("Bisect of a damaged store", err, store.ErrCorrupt)

	_, f := memory(t, "/waits")
	s := open(t, "/waits", &journal{}, nil)
	release := hold(f)
	ended, end := context.WithCancel(ctx)
	ticket, err := s.Submit([]byte("a"))
	check(t, err)
	end()
	once("Wait until the context ends", ticket.Wait(ended), store.ErrUnknown)
	if got := ticket.Wait(ended).Error(); !strings.HasSuffix(got, ": context canceled") || strings.Contains(got, "waiting") {
		t.Errorf("an update whose outcome is unknown: %q", got)
	}
	_, err = s.Update(ended, []byte("b"))
	once("Update with a context that has ended", err, context.Canceled)
	release()
	check(t, s.Close())
	once("WaitIndex of a closed store", s.WaitIndex(ctx, 2), store.ErrClosed)

	_, f = memory(t, "/fails")
	s = open(t, "/fails", &journal{}, nil)
	f.Inject(faultfs.Fault{Kinds: faultfs.OpDatasync, Err: errors.New("broken")})
	_, err = s.Update(ctx, []byte("a"))
	once("Update of a store that fails", err, store.ErrFailed)
	once("Close of a store that has failed", s.Close(), store.ErrFailed)

	first := &store.ReplayError{Index: 1, Err: store.ErrUpdateVersion}
	once("an update of another release", first, store.ErrUpdateVersion)
	if got := first.Error(); strings.Contains(got, "go back") {
		t.Errorf("before the first update there is nothing to go back to: %q", got)
	}
	if got := (&store.ReplayError{Index: 2, Err: errRefused}).Error(); !strings.HasSuffix(got, "or go back with RestoreAt to update 1, the last one before it") {
		t.Errorf("of the second update: %q", got)
	}
}
