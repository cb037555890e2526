package store

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A sayer hands what an operator must know to the logger, in a goroutine of its
// own: a handler that blocks, or calls the store, keeps nobody waiting. The
// goroutine is there while there is something to hand over.
type sayer struct {
	logger *slog.Logger

	mu    sync.Mutex
	lines []line
	lost  int           // lines that there was no room for
	idle  chan struct{} // closed when the goroutine ends; nil if there is none
}

type line struct {
	level slog.Level
	msg   string
	args  []any
}

const (
	maxLines = 256
	// saidWithin is how long wait waits for a handler.
	saidWithin = time.Second
)

func (y *sayer) debug(msg string, args ...any) { y.say(slog.LevelDebug, msg, args...) }
func (y *sayer) info(msg string, args ...any)  { y.say(slog.LevelInfo, msg, args...) }
func (y *sayer) warn(msg string, args ...any)  { y.say(slog.LevelWarn, msg, args...) }
func (y *sayer) error(msg string, args ...any) { y.say(slog.LevelError, msg, args...) }

// A lateString is logged as what String returns, which a handler that leaves the line
// out does not have to wait for.
type lateString struct{ fmt.Stringer }

// LogValue implements slog.LogValuer.
func (l lateString) LogValue() slog.Value { return slog.StringValue(l.String()) }

// say queues a line. It never waits for the handler.
func (y *sayer) say(level slog.Level, msg string, args ...any) {
	if y.logger.Handler() == slog.DiscardHandler {
		return
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.lines) == maxLines {
		y.lost++
		return
	}
	y.lines = append(y.lines, line{level, msg, args})
	if y.idle == nil {
		y.idle = make(chan struct{})
		go y.run(y.idle)
	}
}

// run hands the lines over, until there are none.
func (y *sayer) run(idle chan struct{}) {
	defer func() {
		y.mu.Lock()
		defer y.mu.Unlock()
		if y.idle == idle {
			y.idle = nil // the handler has ended the goroutine
		}
		close(idle)
	}()
	for {
		y.mu.Lock()
		if len(y.lines) == 0 {
			y.idle = nil
			y.mu.Unlock()
			return
		}
		l, lost := y.lines[0], y.lost
		y.lines, y.lost = y.lines[1:], 0
		y.mu.Unlock()
		if lost > 0 {
			l.args = append(l.args, "lines_lost", lost)
		}
		y.logger.Log(context.Background(), l.level, l.msg, l.args...)
	}
}

// wait waits until all lines were handed over, and not long for a handler that
// blocks.
func (y *sayer) wait() {
	y.mu.Lock()
	idle := y.idle
	y.mu.Unlock()
	if idle == nil {
		return
	}
	t := time.NewTimer(saidWithin)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	}
}
