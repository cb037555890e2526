package storedir

import "github.com/stateio/stateio/internal/storefile"

// A Filler writes updates into the first log of a store that is being made. The log has no
// header yet, so nothing of it counts, and each unit is a commit of its own: all of them are
// durable before the log is.
type Filler struct {
	log   *Log
	index uint64 // of the last update
	time  int64  // of its commit
	buf   []byte // entries that are to be written at log.End

	// The unit that was begun, if count is not 0.
	unit  uint64
	count uint64
	group []byte // its updates
	bare  int    // where the first one begins there
	at    int64  // its time
}

// A Fill is an update for a Filler.
type Fill struct {
	Data  []byte // used before Add returns
	Time  int64  // of its commit, in nanoseconds since 1970
	State bool   // Data is a whole state
	// Index and UnitEnd are those where the update comes from, of a storefile.LogReader: updates
	// one after the other with the same UnitEnd stay one unit. Both are 0 if there are none.
	Index, UnitEnd uint64
}

// fillPiece is how much is written at once, in bytes.
const fillPiece = 256 << 10

// NewFiller returns what fills log, which is to begin after update base, of a commit at that
// time. PublishLog must get the same. The kind in the header of log is right by now.
func NewFiller(log *Log, base uint64, at int64) *Filler {
	log.Header.Base, log.Header.Time = base, at
	log.Digest = storefile.Digest(0).AddAll(log.Header.AppendTo(nil), 0)
	return &Filler{log: log, index: base, time: at}
}

// Last returns the index of the last update of a Filler that has finished, and the time of its
// commit.
func (f *Filler) Last() (index uint64, at int64) { return f.index, f.time }

// Add adds an update, with the next index.
func (f *Filler) Add(u Fill) error {
	if f.count > 0 && u.UnitEnd != f.unit { // the end of the unit was left out
		if err := f.endUnit(); err != nil {
			return err
		}
	}
	if f.count == 0 && u.Index == u.UnitEnd {
		return f.entry(u.Data, 1, storefile.Tag{Time: u.Time, State: u.State})
	}
	f.group = storefile.AppendToGroup(f.group, u.Data)
	if f.count++; f.count == 1 {
		f.unit, f.bare, f.at = u.UnitEnd, len(f.group)-len(u.Data), u.Time
	}
	if u.Index == u.UnitEnd {
		return f.endUnit()
	}
	return nil
}

// endUnit adds the unit that was begun, if there is one. One update alone is no group.
func (f *Filler) endUnit() error {
	n, payload := f.count, f.group
	if n == 0 {
		return nil
	}
	if n == 1 {
		payload = f.group[f.bare:]
	}
	err := f.entry(payload, n, storefile.Tag{Time: f.at, Grouped: n > 1})
	f.count, f.group = 0, f.group[:0]
	if cap(f.group) > fillPiece {
		f.group = nil
	}
	return err
}

// entry adds an entry of n updates.
func (f *Filler) entry(payload []byte, n uint64, t storefile.Tag) error {
	t.Index, t.Timed = f.index+1, true
	f.append(t, payload)
	f.index, f.time = f.index+n, t.Time
	if len(f.buf) < fillPiece {
		return nil
	}
	return f.flush()
}

func (f *Filler) append(t storefile.Tag, payload []byte) {
	f.buf = storefile.AppendEntry(f.buf, f.log.End+int64(len(f.buf)), f.log.Header.Salt, t, payload)
}

// flush writes what is buffered.
func (f *Filler) flush() error {
	if _, err := f.log.File.WriteAt(f.buf, f.log.End); err != nil {
		return Wrap("importing", err)
	}
	f.log.Digest = f.log.Digest.AddAll(f.buf, f.log.End)
	f.log.End += int64(len(f.buf))
	f.buf = f.buf[:0]
	return nil
}

// Finish writes what is left, and the seal, so that damage to any update is noticed; a log
// without updates has none. [Dir.MakeNext] makes the log that must follow a seal.
func (f *Filler) Finish() error {
	if err := f.endUnit(); err != nil {
		return err
	}
	if err := f.flush(); err != nil { // the seal is of what was written
		return err
	}
	if n := f.index - f.log.Header.Base; n > 0 {
		seal := storefile.Control{Kind: storefile.Seal, Count: n, Digest: uint64(f.log.Digest)}
		f.append(storefile.Tag{Index: f.index + 1, Control: true}, seal.Encode())
		if err := f.flush(); err != nil {
			return err
		}
	}
	return Wrap("importing", f.log.File.Truncate(f.log.End))
}

// MakeNext makes an empty log after update index, of a commit at that time: the one that
// follows the first log of a store that is being made, which gets its name after that.
// After an error it may be there.
func (d *Dir) MakeNext(index uint64, at int64) error {
	path := d.Log(index)
	log, _, err := d.PrepareLog(path+storefile.TmpSuffix, 0, MinPiece)
	if err != nil {
		return err
	}
	if err := log.File.Truncate(log.End); err != nil {
		return d.Discard(log, Wrap("making a log", err))
	}
	if err := d.PublishLog(log, path, index, at); err != nil {
		return err
	}
	_ = log.File.Close() // everything in it was synced
	return nil
}
