// Package latelog hands log lines to a [slog.Logger] late: in a goroutine of its own, so that
// a handler that blocks, or that calls the program that logs, keeps nobody waiting.
//
//	say := latelog.New(logger)
//	say.Warn("store: log was copied", "path", path) // queued
//	say.Wait()                                      // before the process may end
//
// Lines come in the order in which they were logged. Hundreds may wait; those that come
// then are left out, and so are those for which the handler panics; the next line says how many
// were lost.
package latelog

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A Logger queues lines for a handler. Its methods may be called from any number of
// goroutines at once, with any lock held. Its goroutine is there while there is something
// to hand over.
type Logger struct {
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
	// saidWithin is how long Wait waits for a handler.
	saidWithin = time.Second
)

// New returns what hands lines to logger.
func New(logger *slog.Logger) *Logger { return &Logger{logger: logger} }

// Debug queues a line of that level, with what [slog.Logger.Debug] takes. What args refer to
// must not change any more.
func (l *Logger) Debug(msg string, args ...any) { l.say(slog.LevelDebug, msg, args...) }

// Info is Debug for another level.
func (l *Logger) Info(msg string, args ...any) { l.say(slog.LevelInfo, msg, args...) }

// Warn is Debug for another level.
func (l *Logger) Warn(msg string, args ...any) { l.say(slog.LevelWarn, msg, args...) }

// Error is Debug for another level.
func (l *Logger) Error(msg string, args ...any) { l.say(slog.LevelError, msg, args...) }

// String returns a value that is logged as what s.String returns, which is not called for a
// handler that leaves the line out.
func String(s fmt.Stringer) slog.LogValuer { return lateString{s} }

type lateString struct{ fmt.Stringer }

// LogValue implements slog.LogValuer.
func (s lateString) LogValue() slog.Value { return slog.StringValue(s.String()) }

// say queues a line. It never waits for the handler.
func (l *Logger) say(level slog.Level, msg string, args ...any) {
	if l.logger.Handler() == slog.DiscardHandler {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == maxLines {
		l.lost++
		return
	}
	l.lines = append(l.lines, line{level, msg, args})
	if l.idle == nil {
		l.idle = make(chan struct{})
		go l.run(l.idle)
	}
}

// run hands the lines over, until there are none.
func (l *Logger) run(idle chan struct{}) {
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.idle == idle {
			l.idle = nil // the handler has ended the goroutine
		}
		close(idle)
	}()
	for {
		l.mu.Lock()
		if len(l.lines) == 0 {
			l.idle = nil
			l.mu.Unlock()
			return
		}
		next, lost := l.lines[0], l.lost
		l.lines, l.lost = l.lines[1:], 0
		l.mu.Unlock()
		if lost > 0 {
			next.args = append(next.args, "lines_lost", lost)
		}
		l.hand(next, lost)
	}
}

// hand hands a line over, which says how many were lost before it. One for which the handler
// panics, or ends the goroutine, is lost: nobody is there to recover it.
func (l *Logger) hand(next line, lost int) {
	returned := false
	defer func() {
		if !returned {
			_ = recover()
			l.mu.Lock()
			defer l.mu.Unlock()
			l.lost += lost + 1
		}
	}()
	l.logger.Log(context.Background(), next.level, next.msg, next.args...)
	returned = true
}

// Wait waits until all lines were handed over, and not long for a handler that
// blocks.
func (l *Logger) Wait() {
	l.mu.Lock()
	idle := l.idle
	l.mu.Unlock()
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
