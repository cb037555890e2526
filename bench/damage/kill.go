package damage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/stateio/stateio/bench/engine"
	"github.com/stateio/stateio/bench/report"
)

// kills kills a process again and again that makes updates, each time in a new directory.
func (t Test) kills(ctx context.Context) (report.Outcome, error) {
	var o report.Outcome
	for i := range t.Kills {
		dir := filepath.Join(t.Dir, "kill"+strconv.Itoa(i))
		acknowledged, err := t.kill(ctx, dir, 100*(i+1))
		if err != nil {
			return o, err
		}
		found, err := t.read(ctx, dir)
		if err != nil {
			return o, err
		}
		o = judge(o, found, acknowledged)
		if err := os.RemoveAll(dir); err != nil {
			return o, err
		}
	}
	return o, nil
}

// kill has a process write to dir and kills it after so many updates. It returns all that
// were acknowledged until it was dead.
func (t Test) kill(ctx context.Context, dir string, after int) ([]uint64, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	j := t.job(dir)
	if t.Engine.Kind != engine.OneWriter {
		j.Goroutines = 16
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w, err := j.Start(ctx)
	if err == nil {
		err = w.Tell(0)
	}
	if err != nil {
		return nil, err
	}
	var all []uint64
	for {
		number, err := w.Acknowledged()
		if err != nil {
			w.Wait()
			if len(all) < after {
				return nil, errors.Join(err, w.Failed())
			}
			return all, nil
		}
		all = append(all, number)
		if len(all) == after {
			if err := w.Kill(); err != nil {
				cancel() // which kills it, too
				w.Wait()
				return nil, err
			}
		}
	}
}
