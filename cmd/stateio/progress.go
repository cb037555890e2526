package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// patience is how long work may last before a progress bar is shown.
const patience = time.Second

// A progress shows on a terminal how far work on a file has come, if it lasts.
// It is nothing where there is no terminal.
type progress struct {
	w     io.Writer // nil: no terminal
	what  string
	size  int64
	begun time.Time
	bar   *progressbar.ProgressBar // nil: not shown yet
}

// newProgress returns the progress of work on size bytes.
func newProgress(w io.Writer, what string, size int64) *progress {
	p := &progress{what: escaped(what), size: size, begun: time.Now()}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.w = w
	}
	return p
}

// at tells that off bytes are done.
func (p *progress) at(off int64) {
	if p.w == nil || p.bar == nil && time.Since(p.begun) < patience {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(p.size,
			progressbar.OptionSetWriter(p.w),
			progressbar.OptionSetDescription(p.what),
			progressbar.OptionShowBytes(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionFullWidth(),
			progressbar.OptionClearOnFinish(),
		)
	}
	// What can't be shown is not missed.
	_ = p.bar.Set64(min(off, p.size))
}

// hide makes room for other output.
func (p *progress) hide() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// finish takes the bar away.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
