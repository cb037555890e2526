package main

import (
	"io"
	"os"
	"time"
	"unicode"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// patience is how long work may last before a progress bar is shown. Tests change it.
var patience = time.Second

// A progress shows on a terminal how far work on a file has come, if it lasts.
// It is nothing where there is no terminal.
type progress struct {
	size  int64
	told  int64 // how much was done when it was looked at last
	begun time.Time
	bar   *progressbar.ProgressBar // nil: no terminal
	shown bool
}

// newProgress returns the progress of work on size bytes, which begins now. It is shown on
// stderr, unless stdout is a pipe: its reader may be a pager, which has the terminal.
func newProgress(stdout, stderr io.Writer, what string, size int64) *progress {
	p := &progress{size: size, begun: time.Now()}
	room := 0
	if file, ok := stderr.(*os.File); ok && term.IsTerminal(int(file.Fd())) && !isPipe(stdout) {
		room = columns(file) - figures
	}
	if room < leastRoom {
		return p
	}
	p.bar = progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(stderr),
		progressbar.OptionSetDescription(shortened(escaped(what), room)),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(),
	)
	p.bar.StartWithoutRender() // what is done before it is shown has taken its time
	return p
}

// A line that is longer than the terminal is wide would not be drawn over, but scroll it.
const (
	figures   = 46 // columns for how much is done, how fast, for how long, and the time left
	leastRoom = 14 // for what is done: with less, nothing is shown
)

// shortened returns a text for so many columns: without a part of its middle, if it is longer.
func shortened(text string, room int) string {
	if width(text) <= room {
		return text
	}
	runes := []rune(text)
	head, tail := runes[:room/2], runes[len(runes)-min(len(runes), room):]
	for len(head) > 0 && width(string(head)) > room/2 {
		head = head[:len(head)-1]
	}
	for width(string(head))+width("…")+width(string(tail)) > room {
		tail = tail[1:]
	}
	return string(head) + "…" + string(tail)
}

// width returns how many columns a text takes at most: a rune that is not ASCII may take two.
func width(text string) (n int) {
	for _, r := range text {
		if n++; r > unicode.MaxASCII {
			n++
		}
	}
	return n
}

// at tells that off bytes are done.
func (p *progress) at(off int64) {
	if p.bar == nil || off-p.told < min(p.size/1000, 256<<10) {
		return // few bytes are not worth a look at the clock
	}
	p.told = off
	if !p.shown && time.Since(p.begun) < patience {
		return
	}
	p.shown = true
	// What can't be shown is not missed.
	_ = p.bar.Set64(min(off, p.size))
}

// of tells that done bytes are done, of what turns out to be total.
func (p *progress) of(done, total int64) {
	if p.bar != nil && p.size != total {
		p.bar.ChangeMax64(total)
	}
	p.size = total
	p.at(done)
}

// hide makes room for other output.
func (p *progress) hide() {
	if p.shown {
		_ = p.bar.Clear()
	}
}

// finish takes the bar away.
func (p *progress) finish() {
	if p.shown {
		_ = p.bar.Finish()
	}
}

// isPipe reports whether w is standard output, and that a pipe or a socket.
func isPipe(w io.Writer) bool {
	if h, ok := w.(*heedless); ok {
		w = h.w
	}
	out, ok := w.(*standardOutput)
	if !ok {
		return false
	}
	info, err := out.file.Stat()
	return err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket) != 0
}

// beside returns where progress is shown while a command writes what it reads to stdout:
// nowhere if that is a terminal.
func beside(stdout, stderr io.Writer) io.Writer {
	if isTerminal(stdout) {
		return io.Discard
	}
	return stderr
}

// A barWriter shows in a progress how much was written, and drops it, or writes it to w.
type barWriter struct {
	w   io.Writer // nil: nowhere
	bar *progress
	off int64
}

func (b *barWriter) Write(p []byte) (n int, err error) {
	if n = len(p); b.w != nil {
		n, err = b.w.Write(p)
	}
	b.off += int64(n)
	b.bar.at(b.off)
	return n, err
}
