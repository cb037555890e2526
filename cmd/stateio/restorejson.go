package main

// A restored is what restore --json tells.
type restored struct {
	Path    string           `json:"path"`
	Kind    string           `json:"kind"` // file, store or backup
	Epoch   *uint64          `json:"epoch,omitempty"`
	Index   *uint64          `json:"index,omitempty"`
	State   *restoredState   `json:"state,omitempty"`
	Updates *restoredUpdates `json:"updates,omitempty"`

	epoch uint64
}

type restoredState struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

type restoredUpdates struct {
	Path  string `json:"path"`
	Count uint64 `json:"count"`
	Bytes int64  `json:"bytes"` // in the updates, without what ends each
}

// add counts an update, if updates are written.
func (r *restored) add(update []byte) {
	if r.Updates != nil {
		r.Updates.Count++
		r.Updates.Bytes += int64(len(update))
	}
}

// toStandard reports whether what is written to path comes out at standard output.
func toStandard(path string) bool {
	fd, ok := descriptor(path)
	return path == "-" || ok && fd == 1
}
