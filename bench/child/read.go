package child

import "github.com/stateio/stateio/bench/engine"

// Found is what the job read returns.
type Found struct {
	Numbers []uint64 // of updates that are as they were written, each once
	Wrong   int      // updates that nobody wrote, or that are there again
	Error   string   // of opening or reading, or empty
}

// read opens what is in the directory and looks at each update.
func (j Job) read(e engine.Engine) (any, error) {
	var f Found
	seen := map[uint64]bool{}
	_, _, err := e.OpenAndRead(j.Dir, engine.Options{}, func(update []byte) error {
		number, ok := written(update, j.Size)
		if !ok || seen[number] {
			f.Wrong++
			return nil
		}
		seen[number] = true
		f.Numbers = append(f.Numbers, number)
		return nil
	})
	if err != nil {
		f.Error = err.Error()
	}
	return f, nil
}
