package damage

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/stateio/stateio/bench/child"
	"github.com/stateio/stateio/bench/report"
)

// read has a process read what is in dir. One that ends itself is a result, too.
func (t Test) read(ctx context.Context, dir string) (result, error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	j := t.job(dir)
	j.Do = "read"
	var r result
	err := j.Run(limited, &r.Found)
	var failed *child.Failure
	if errors.As(err, &failed) && ctx.Err() == nil {
		r.crash, err = failed.Error(), nil
	}
	brief := func(text string) string { return strings.ReplaceAll(text, dir+string(filepath.Separator), "") }
	r.Error, r.crash = brief(r.Error), brief(r.crash)
	return r, err
}

// A result is what reading gave.
type result struct {
	child.Found
	crash string // what a process said last that ended itself, or that it hung
}

// judge counts a result for which the updates must be there.
func judge(o report.Outcome, r result, must []uint64) report.Outcome {
	o.Trials++
	o.Acknowledged += len(must)
	there := make(map[uint64]bool, len(r.Numbers))
	for _, number := range r.Numbers {
		there[number] = true
	}
	lost := 0
	for _, number := range must {
		if !there[number] {
			lost++
		}
	}
	said := r.Error
	switch {
	case r.crash != "":
		o.Crashed++
		said = r.crash
	case r.Error != "":
		o.Refused++
	case r.Wrong > 0:
		o.Wrong++
	case lost > 0:
		o.Lost++
	default:
		o.Whole++
	}
	if said == "" {
		o.LostUpdates += lost
		o.WrongUpdates += r.Wrong
	}
	if o.Example == "" {
		o.Example = said
	}
	return o
}
