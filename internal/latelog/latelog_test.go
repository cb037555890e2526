package latelog_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/internal/latelog"
)

// A handler collects lines, and does before each what it is told to.
type handler struct {
	slog.Handler
	before func(msg string)
	lines  []string // changed by the goroutine of the Logger; read when Wait has returned
}

func newHandler(before func(msg string)) *handler {
	return &handler{Handler: slog.Default().Handler(), before: before}
}

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	h.before(r.Message)
	text := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value.Resolve())
		return true
	})
	h.lines = append(h.lines, text)
	return nil
}

func (h *handler) Enabled(context.Context, slog.Level) bool { return true }

// number is logged as its digits.
type number int

func (n number) String() string { return fmt.Sprint(int(n)) }

// Lines come in order, each with what was said of it.
func TestLinesAreHandedOverInOrder(t *testing.T) {
	h := newHandler(func(string) {})
	say := latelog.New(slog.New(h))
	say.Debug("one")
	say.Info("two", "key", 2)
	say.Warn("three", "text", latelog.String(number(3)))
	say.Error("four")
	say.Wait()
	if want := []string{"DEBUG one", "INFO two key=2", "WARN three text=3", "ERROR four"}; !slices.Equal(h.lines, want) {
		t.Errorf("logged %q, want %q", h.lines, want)
	}
}

// While the handler blocks, nobody waits for it but Wait, and that not for long. What there
// is no room for is lost, and that is told.
func TestABlockedHandlerKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entered, leave := make(chan struct{}), make(chan struct{})
		h := newHandler(func(msg string) {
			if msg == "first" {
				close(entered)
				<-leave
			}
		})
		say := latelog.New(slog.New(h))
		start := time.Now()
		say.Info("first")
		<-entered
		const room, lost = 256, 10
		for i := range room + lost {
			say.Info(fmt.Sprint(i))
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("logging took %v", took)
		}
		say.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("Wait took %v, want a second", took)
		}
		close(leave)
		say.Wait()
		if len(h.lines) != 1+room || h.lines[1] != fmt.Sprintf("INFO 0 lines_lost=%d", lost) || h.lines[room] != fmt.Sprintf("INFO %d", room-1) {
			t.Errorf("logged %d lines, from %q to %q", len(h.lines), h.lines[:2], h.lines[len(h.lines)-2:])
		}
	})
}

// A handler that panics, or ends its goroutine, ends nothing else: what is logged then is
// handed over, and says how many lines were lost.
func TestAHandlerThatDoesNotReturn(t *testing.T) {
	for _, end := range []func(){runtime.Goexit, func() { panic("boom") }} {
		h := newHandler(func(msg string) {
			if msg == "fatal" {
				end()
			}
		})
		say := latelog.New(slog.New(h))
		for range 2 {
			say.Error("fatal")
			say.Wait()
		}
		say.Info("next")
		say.Wait()
		if want := []string{"INFO next lines_lost=2"}; !slices.Equal(h.lines, want) {
			t.Errorf("logged %q, want %q", h.lines, want)
		}
	}
}
