package main

import (
	"fmt"

	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
)

// A verdict is what verify --json says of a path.
type verdict struct {
	Path    string `json:"path"`
	Kind    string `json:"kind"` // file, store or backup
	Sound   bool   `json:"sound"`
	Verdict string `json:"verdict"` // ok, incomplete, damaged, lost or unknown

	Size      int64   `json:"size"`
	Updates   uint64  `json:"updates"`
	Snapshots int64   `json:"snapshots"`
	Index     *uint64 `json:"index,omitempty"`  // of the current state, if that can be had
	Intact    *uint64 `json:"intact,omitempty"` // of the newest state that can be had, if that can't
	Torn      int64   `json:"torn"`             // bytes

	Damage  []verdictDamage `json:"damage"`
	Damaged int64           `json:"damaged"` // places; Damage may name only the first
	Summary string          `json:"summary"`
	Error   string          `json:"error,omitempty"` // why it is unknown
}

type verdictDamage struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length,omitempty"`
	Place  string `json:"place,omitempty"`
	Reason string `json:"reason"`
}

// maxNamed is how many damaged places a verdict names, as an inspect.Report does.
const maxNamed = 1000

// The verdicts.
const (
	verdictOK         = "ok"
	verdictIncomplete = "incomplete" // there is no whole entry
	verdictDamaged    = "damaged"    // but the current state is intact
	verdictLost       = "lost"       // the current state can't be had
	verdictUnknown    = "unknown"    // it could not be verified
)

// verdictOfFile returns what verify has found out about a state file with a torn tail of so
// many bytes.
func verdictOfFile(path string, r *inspect.Report, torn int64) verdict {
	v := verdict{
		Path: path, Kind: "file", Sound: r.Sound() && !r.Incomplete(), Verdict: verdictOK, Size: r.Size,
		Updates: uint64(r.Updates), Snapshots: r.Snapshots, Damage: []verdictDamage{}, Summary: summary(r),
	}
	switch {
	case r.Err() != nil:
		v.Verdict = verdictLost
	case r.Incomplete():
		v.Verdict = verdictIncomplete
	case !r.Sound():
		v.Verdict = verdictDamaged
	}
	v.Torn, v.Damaged = torn, r.Damaged
	if torn > 0 {
		v.Damaged-- // it is no damage
	}
	for _, d := range r.Damage { // the first maxNamed
		if d.Place == inspect.TornTail {
			continue
		}
		v.Damage = append(v.Damage, verdictDamage{path, d.Offset, d.Length, d.Place.String(), d.Reason})
	}
	return v
}

// verdictOfBackup returns what verify has found out about a backup, whose damage, if it
// has some, is not nil.
func verdictOfBackup(path string, size int64, info store.BackupInfo, damage *store.CorruptError) verdict {
	v := verdict{Path: path, Kind: "backup", Size: size, Damage: []verdictDamage{}}
	if damage != nil {
		v.Verdict = verdictLost
		v.Damage, v.Damaged = append(v.Damage, verdictDamage{Path: path, Offset: damage.Offset, Reason: damage.Err.Error()}), 1
		v.Summary = "DAMAGED: the backup is not whole, and no store can be made of it"
		return v
	}
	v.Sound, v.Verdict, v.Snapshots, v.Index = true, verdictOK, 1, &info.Index
	v.Summary = fmt.Sprintf("ok: a backup of the state after update %d, %s", info.Index, count(info.Bytes, "byte"))
	return v
}
