// Package damage finds out what becomes of acknowledged updates: after a process is
// killed, when the last write is torn, and when a bit of a log is flipped.
package damage

import (
	"context"
	"fmt"
	"time"

	"github.com/stateio/stateio/bench/child"
	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/bench/report"
)

// A Test is how much is tried. The engines are those that [child.Main] knows.
type Test struct {
	Engine  engine.Engine
	Dir     string // which is empty
	Kills   int
	Updates int // before the last, in what is damaged
	Places  int // at most, at which the tail is torn, and at which a bit is flipped
}

// updateSize is the size of an update, in bytes.
const updateSize = 128

// patience is after what time a process hangs, one that writes and one that opens what was
// damaged.
const patience = time.Minute

// Run does all of it. The error is that nothing could be found out, not that something
// is wrong with the engine.
func (t Test) Run(ctx context.Context) (report.Damage, error) {
	d := report.Damage{Engine: t.Engine.Name}
	var err error
	if d.Kill, err = t.kills(ctx); err != nil {
		return d, fmt.Errorf("kill -9: %w", err)
	}
	b, err := t.base(ctx)
	if err != nil {
		return d, fmt.Errorf("writing what is to be damaged: %w", err)
	}
	if d.Torn, err = b.torn(ctx); err != nil {
		return d, fmt.Errorf("torn tail: %w", err)
	}
	if d.Flipped, err = b.flipped(ctx); err != nil {
		return d, fmt.Errorf("flipped bit: %w", err)
	}
	return d, nil
}

func (t Test) job(dir string) child.Job {
	return child.Job{Engine: t.Engine.Name, Dir: dir, Goroutines: 1, Size: updateSize}
}
