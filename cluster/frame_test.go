package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stateio/stateio/store"
)

// TestAnErrorIsTheSameOnAnotherNode has every two errors that travel be one, and looks at what is left
// of them on another node.
func TestAnErrorIsTheSameOnAnotherNode(t *testing.T) {
	var errs []error
	for _, a := range refusals[1:] {
		errs = append(errs, a, fmt.Errorf("a \x00 in it: %w", a))
		for _, b := range refusals[1:] {
			errs = append(errs, fmt.Errorf("%w: %w\x00", a, b), errors.Join(a, b, errors.New("another one")))
		}
	}
	errs = append(errs, errors.Join(refusals[1:]...), errors.New("none of them"), errors.New("\x00\x01"), store.ErrClosed, context.DeadlineExceeded)
	for _, err := range errs {
		got := decodeRefusal(encodeRefusal(err))
		if got.Error() != err.Error() {
			t.Errorf("%q is %q", err, got)
		}
		for _, kind := range refusals[1:] {
			if errors.Is(got, kind) != errors.Is(err, kind) {
				t.Errorf("%q is %q there, and it should not be so: %v", err, kind, errors.Is(got, kind))
			}
		}
		if errors.Is(got, store.ErrClosed) || errors.Is(got, context.DeadlineExceeded) {
			t.Errorf("%q, of the other node, is one of this node", err)
		}
	}
	for _, b := range [][]byte{nil, {0}, {200}, {2}, {2, 0}, {2, 'x', 0, 0, 200}} { // of another release
		if err := decodeRefusal(b); len(b) > 0 && errors.Is(err, ErrMember) != (b[0] == 2) {
			t.Errorf("%v is %v", b, err)
		}
	}
}
