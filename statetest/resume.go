package statetest

import "fmt"

// resumeCheck takes a snapshot at every point, restores it into a new machine,
// and replays the rest of the log there.
var resumeCheck = &check{
	name: "Snapshot and the rest of the log equal a full replay",
	promise: "Snapshot captures the state as it is now; " +
		"Restore replaces the whole state by the one that WriteTo wrote",
	run: func(tr *trial) error {
		tr.accepted()
		m := tr.newMachine()
		for k := 0; ; k++ {
			b, err := snapshot(m)
			if err != nil {
				return err
			}
			if err := tr.expectSnapshot(b, k); err != nil {
				return fmt.Errorf("a machine of which a snapshot was taken after each update is not in the state of one of which none was, after %s:\n%w",
					plural(k, "update"), err)
			}
			if err := tr.resume(b, k); err != nil {
				return err
			}
			if k == len(tr.log) {
				return nil
			}
			if err := applyAll(m, k, tr.log[k:k+1]); err != nil {
				return err
			}
		}
	},
}

// resume restores a snapshot taken after k updates and goes on from there. It
// looks at the state ever more seldom.
func (tr *trial) resume(snapshot []byte, k int) error {
	m := tr.newMachine()
	if err := restore(m, snapshot); err != nil {
		return err
	}
	if err := tr.expect(m, k); err != nil {
		return fmt.Errorf("the snapshot taken after %s, restored into a new machine, gives another state:\n%w", plural(k, "update"), err)
	}
	for from, step := k, 1; from < len(tr.log); step *= 2 {
		to := min(from+step, len(tr.log))
		if err := applyAll(m, from, tr.log[from:to]); err != nil {
			return fmt.Errorf("after Restore of the snapshot taken after %s: %w", plural(k, "update"), err)
		}
		if err := tr.expect(m, to); err != nil {
			return fmt.Errorf("the snapshot taken after %s, restored into a new machine, with the next %d, "+
				"gives another state than all %d:\n%w", plural(k, "update"), to-k, to, err)
		}
		from = to
	}
	return nil
}
