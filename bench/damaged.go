package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"github.com/stateio/stateio/bench/damage"
)

// damageUpdates is how many updates there are in what is damaged: so many that Pebble's
// log has several blocks, as it looks for more after damage in blocks that follow only,
// and so few that SQLite makes no checkpoint, so that all are in its log.
const damageUpdates = 600

// damaged finds out what becomes of the updates of each engine after a kill, and damage.
func (a *comparison) damaged(ctx context.Context, dir string) error {
	for i, e := range a.engines {
		if e.Whole() {
			continue
		}
		a.progress("kill -9, torn tail, flipped bit: %s", e.Name)
		own := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			return err
		}
		t := damage.Test{Engine: e, Dir: own, Kills: a.size.kills, Updates: damageUpdates, Places: a.size.places}
		d, err := t.Run(ctx)
		if err != nil {
			a.failed("kill, torn tail, flipped bit", e.Name, err)
		} else {
			a.report.Damage = append(a.report.Damage, d)
		}
		if err := errors.Join(ctx.Err(), os.RemoveAll(own)); err != nil {
			return err
		}
	}
	return nil
}
