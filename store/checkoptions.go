package store

import "github.com/stateio/stateio/internal/storefile"

// CheckOptions have [Check] tell what it does and finds while it reads. Nil and zero tell
// nothing. Check calls the functions itself, one at a time, and goes on when they return.
type CheckOptions struct {
	// Progress is called with how many bytes were checked, and how many there are, about
	// every 256 KiB and at the end. total stays what it was when Check began, whatever the
	// store writes meanwhile; done never goes back, and is total in the end if the error
	// is nil.
	Progress func(done, total int64)
	// Report is called with each report that Check returns, in that order, as soon as it
	// is made. It must not change what the report refers to.
	Report func(FileReport)
	// Update is called with every update in a log that can be read, log by log, also after
	// damage. Its Time is the zero time where that is not known, as at first after damage,
	// and its Data is valid until the function returns.
	Update func(Update)
}

// measure returns the meter of the files in l.
func (c *checker) measure(l *storefile.Listing) *meter {
	if c.opts.Progress == nil {
		return new(meter)
	}
	return newMeter(c.opts.Progress, append(sizesOf(c.dir.FS, c.dir.Log, l.Logs), sizesOf(c.dir.FS, c.dir.Snap, l.Snaps)...))
}

// report keeps a report.
func (c *checker) report(r FileReport) {
	c.reports = append(c.reports, r)
	if c.opts.Report != nil {
		c.opts.Report(r)
	}
}

// update tells of an update that was read.
func (c *checker) update(r *storefile.LogReader, data []byte, timed bool) {
	if c.opts.Update == nil {
		return
	}
	u := Update{Index: r.Index, Data: data, State: r.State}
	if timed {
		u.Time = moment(r.Time)
	}
	c.opts.Update(u)
}
