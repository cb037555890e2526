package view

import (
	"errors"
	"fmt"

	"github.com/stateio/stateio/store"
)

// A verdict is the sentence on top: what is wrong, and what to do first. Its words are
// those of docs/OPERATING.md.
type verdict struct {
	Level string `json:"level"` // ok, note, warn or bad
	Text  string `json:"text"`
	Todo  string `json:"todo"`
}

// What to do, as docs/OPERATING.md has it.
const (
	todoFailed    = "restart the program"
	todoNoSpace   = "make space elsewhere"
	todoSnapshot  = "it is tried again by itself"
	todoRetain    = "may the process write in the directory?"
	todoDisk      = "make a backup elsewhere now, and replace the disk"
	todoNewer     = "run that version"
	todoRepair    = "restore a backup, or `stateio repair DIR NEWDIR`"
	todoPermitted = "a file of another user"
)

// judge returns the verdict on what s shows.
func (h *handler) judge(s *summary, check stateCheck, failed error) verdict {
	if h.opts.Stats != nil {
		if v := ofStats(h.opts.Stats()); v != nil {
			return *v
		}
	}
	for _, f := range s.Files {
		if f.Error != "" && f.Damages == 0 && f.Whole {
			return verdict{"bad", f.Name + " can't be read: " + f.Error, "A newer version of the package wrote it, perhaps: " + todoNewer + "."}
		}
	}
	switch {
	case failed != nil:
		return verdict{"bad", "Not all of it could be read: " + failed.Error(), "Look at dmesg for errors of the disk, and at ls -l for " + todoPermitted + "."}
	case len(s.Damages) > 0 && s.Store:
		return ofStore(s, check)
	case !s.Store && check.known && check.err != nil:
		return verdict{"bad", "This backup is not whole: " + check.err.Error(), "Make another one, and keep no copy that stateio verify refuses."}
	case len(s.Damages) > 0:
		return ofFile(s)
	case !s.Whole:
		return verdict{"note", fmt.Sprintf("Reading: %s of %s so far, and nothing is damaged.", size(s.Read), size(s.Size)), ""}
	case s.Torn > 0 && !s.Live && !s.Store && s.Updates == 0 && s.Files[0].States == 0:
		return verdict{"warn", fmt.Sprintf("Incomplete: %s, and no whole entry.", size(s.Size)), "A crash may have cut the first write short, or a copy broke off: look whether it is the right file before you append to it."}
	case s.Torn > 0 && !s.Live:
		return verdict{"ok", fmt.Sprintf("Sound. A crash cut the last write short: %s that were never acknowledged, or are being written now.", count(uint64(s.Torn), "byte")), "Nothing to do: the next start cuts them off."}
	}
	return verdict{"ok", "Sound: every byte was read, and nothing is damaged.", ""}
}

// ofStats returns what is wrong with a store that runs, or nil.
func ofStats(st store.Stats) *verdict {
	switch {
	case errors.Is(st.Err, store.ErrFailed):
		return &verdict{"bad", "The store has failed: no update is taken any more. All that was acknowledged is on the disk. " + st.Err.Error(), "Let the program end, and " + todoFailed + "; dmesg tells about errors of the disk."}
	case st.Err != nil:
		return &verdict{"note", "The store is closed.", ""}
	case st.SpaceError != nil:
		return &verdict{"bad", "The disk is full, and updates wait for space: " + st.SpaceError.Error(), "Look at df -h, df -i and quota, and " + todoNoSpace + " on the disk, never in the directory. Updates go on by themselves."}
	case st.SnapshotError != nil:
		return &verdict{"warn", "The last snapshot could not be made. Updates go on, and the log grows. " + st.SnapshotError.Error(), "Look at df -h; " + todoSnapshot + ". After correcting the machine, restart the program."}
	case st.RetainError != nil:
		return &verdict{"warn", "Files that the newest snapshot has made superfluous could not be removed. " + st.RetainError.Error(), "Look at ls -ld of the directory: " + todoRetain + " Never remove them by hand."}
	}
	return nil
}

// ofStore returns the verdict on a damaged store.
func ofStore(s *summary, check stateCheck) verdict {
	lost := lostOf(s.Damages)
	switch {
	case !s.Whole || !check.known:
		return verdict{"bad", "Damaged." + lost, "All of it is being read, to tell what can be had."}
	case check.err != nil && s.Live:
		return verdict{"bad", "Damaged, the current state on the disk too." + lost, "The program still has it in memory: make a backup with Store.Backup now, before it ends, and replace the disk."}
	case check.err != nil:
		return verdict{"bad", "Damaged, the current state too: the store can't be opened." + lost, "Keep a copy, then " + todoRepair + " makes a store of the newest state that is whole; --salvage keeps every update that can be read."}
	}
	last := max(check.last, s.Last) // more may have come since
	return verdict{"warn", fmt.Sprintf("Damaged, but the current state, after update %d, is intact.%s", last, lost), "Look at dmesg and smartctl -a for the disk, " + todoDisk + "."}
}

// ofFile returns the verdict on a damaged state file.
func ofFile(s *summary) verdict {
	if s.current > 0 {
		return verdict{"bad", "Damaged, the current state too: nothing can be appended.", "Keep a copy; stateio log shows what is intact, stateio epochs what restore --epoch gives back."}
	}
	return verdict{"warn", "Damaged, of no consequence for the current state.", "Look at dmesg and smartctl -a for the disk, " + todoDisk + "."}
}

// lostOf says which updates damage has cost.
func lostOf(damages []damage) string {
	n, first, last, open := uint64(0), uint64(0), uint64(0), false
	for _, d := range damages {
		if d.LostFirst == 0 {
			continue
		}
		if first == 0 {
			first = d.LostFirst
		}
		if open = open || d.LostLast == 0; d.LostLast > 0 {
			n += d.LostLast - d.LostFirst + 1
			last = d.LostLast
		}
	}
	switch {
	case first == 0:
		return ""
	case open:
		return fmt.Sprintf(" Updates from %d on can't be read.", first)
	case n == 1:
		return fmt.Sprintf(" Update %d can't be read.", first)
	case n == last-first+1:
		return fmt.Sprintf(" Updates %d to %d can't be read.", first, last)
	}
	return fmt.Sprintf(" %d updates between %d and %d can't be read.", n, first, last)
}

// count returns a number of things, in words.
func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// size returns a number of bytes, in words.
func size(n int64) string {
	f, unit := float64(n), 0
	for units := 0; f >= 1024 && units < 4; units++ {
		f /= 1024
		unit++
	}
	if unit == 0 {
		return count(uint64(n), "byte")
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGT"[unit-1])
}
