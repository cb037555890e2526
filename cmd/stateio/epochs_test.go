package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// What the walk from epoch to epoch has found is listed, also when the rest of the file can't
// be read to the end.
func TestEpochsAreListedWhateverReadingThemFinds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.state")
	for _, state := range []string{"one", "two"} {
		runStateio(t, 0, strings.NewReader(state), "append", path)
		runStateio(t, 0, strings.NewReader(state), "snapshot", path)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out strings.Builder
	err := runEpochs(ctx, path, true, &out, io.Discard)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "damage was not looked for after offset ") {
		t.Errorf("the error is %v", err)
	}
	if n := strings.Count(out.String(), `"epoch":`); n != 3 {
		t.Errorf("%d epochs are listed of 3:\n%s", n, out.String())
	}
}
