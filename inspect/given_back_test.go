package inspect_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stateio/stateio"
	"github.com/stateio/stateio/inspect"
)

// Whatever stateio.Truncate gives back while a file is inspected is no damage. It is stood for by
// zeros: a hole is read as that.
func TestWhatIsGivenBackMeanwhileIsNoDamage(t *testing.T) {
	for _, left := range []int{0, 40 << 10} { // of the end, so that zeros are the end or not
		var b bytes.Buffer
		w := stateio.NewWriter(&b, 0, 0)
		for range 100 {
			if err := w.Update(make([]byte, 10_000)); err != nil {
				t.Fatal(err)
			}
		}
		file := bytes.Clone(b.Bytes())
		rep, err := inspect.Verify(t.Context(), bytes.NewReader(file), int64(len(file)), &inspect.Options{
			Progress: func(int64) { clear(file[:len(file)-left]) },
		})
		if !errors.Is(err, stateio.ErrNoEpoch) || rep.Damaged > 0 || rep.Err() != nil {
			t.Errorf("Verify: %v, %+v", err, rep)
		}

		file = bytes.Clone(b.Bytes())
		var last error
		for _, err := range inspect.Entries(bytes.NewReader(file), int64(len(file))) {
			clear(file[:len(file)-left])
			last = err
		}
		if !errors.Is(last, stateio.ErrNoEpoch) {
			t.Errorf("Entries end with %v", last)
		}
	}
}
