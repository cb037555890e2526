package store

import (
	"errors"
	"io/fs"
	"time"

	"github.com/stateio/stateio/internal/storefile"
)

// A File is one that a store keeps: a log or a snapshot.
type File struct {
	Path     string
	Snapshot bool  // else it is a log
	Size     int64 // bytes, with the space set aside at the end of the newest log

	// First and Last are the indexes of the updates in a log: Last is 0 for the newest,
	// which goes on, and less than First for one without updates. In a snapshot both are
	// that of the last update in the state.
	First, Last uint64

	// From is the time of the last update before a log, or in a snapshot, and Until that
	// of the last update in a log: the zero time where that is not known, as in a log that
	// goes on, or where there was no update.
	From, Until time.Time

	// Err is why the header can't be read: then the times are not known.
	Err error
}

// Files returns the logs and then the snapshots of the store in directory dir, each by
// index. It reads names and headers, takes no lock and changes nothing; [Check] reads the
// rest. Files that are dropped meanwhile are left out. Errors are those of reading the
// directory, and that there is no store.
func Files(dir string) ([]File, error) {
	in := filesIn(dir)
	l, err := in.Find()
	if err != nil {
		return nil, err
	}
	var files []File
	for i, base := range l.Logs {
		f, ok := describe(in.Log(base), base, in.LogHeader)
		if !ok {
			continue
		}
		f.First = base + 1
		if i > 0 && len(files) > 0 {
			files[len(files)-1].Until = f.From
		}
		if i+1 < len(l.Logs) {
			f.Last = l.Logs[i+1]
		}
		files = append(files, f)
	}
	for _, index := range l.Snaps {
		if f, ok := describe(in.Snap(index), index, in.SnapHeader); ok {
			f.Snapshot, f.First, f.Last, f.Until = true, index, index, f.From
			files = append(files, f)
		}
	}
	return files, nil
}

// describe reads the header of one file, and reports whether it is there.
func describe(path string, index uint64, header func(uint64) (storefile.Header, int64, error)) (f File, ok bool) {
	h, size, err := header(index)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, false
	}
	return File{Path: path, Size: size, From: moment(h.Time), Err: err}, true
}
