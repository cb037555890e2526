package store_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stateio/stateio/store"
)

// A log that is as large as the process may make a file is a lack of space: a snapshot
// starts, and updates go on in a new log. None that was acknowledged is lost.
func TestALogAtTheLimitOfTheProcess(t *testing.T) {
	var old unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_FSIZE, &old))
	limit := old
	limit.Cur = 1 << 20
	check(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))
	lift := func() { check(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &old)) }
	t.Cleanup(lift)
	dir := t.TempDir()
	s := open(t, dir, &keepLast{}, quiet(nil))
	refused := 0
	end := time.Now().Add(time.Minute) // of the time in which no update is made
	for made := 0; made < 4000; {      // of 1000 bytes
		_, err := s.Update(t.Context(), make([]byte, 1000))
		if err == nil {
			made++
			end = time.Now().Add(time.Minute)
			continue
		}
		if refused++; !errors.Is(err, store.ErrNoSpace) || !errors.Is(err, unix.EFBIG) || time.Now().After(end) {
			t.Fatalf("%d updates were made, and then: %v", made, err)
		}
	}
	eventually(t, "three snapshots are made", func() bool { return s.Stats().Snapshots >= 3 }) // of which the last one may be under way
	if n := s.Stats().SnapshotsFailed; n > 0 {
		t.Errorf("%d snapshots failed; %d updates were refused", n, refused)
	}
	check(t, s.Close())
	s = open(t, dir, &keepLast{}, quiet(nil))
	if s.Index() != 4000 {
		t.Errorf("%d updates of 4000 are there", s.Index())
	}
	check(t, s.Close())
}
