package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stateio/stateio/store"
)

// hider is a machine whose updates JSON would leave empty.
type hider struct{ store.JSONState[int] }

type hidden struct{ n int }

func (h *hider) Apply(u hidden) (int, error) { h.State += u.n; return h.State, nil }

// TestATypeThatLosesSomethingIsRefused opens a node whose updates JSON would leave out.
func TestATypeThatLosesSomethingIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "node")
	_, _, err := OpenTyped[hidden, int](dir, &hider{}, nil, &Options{ID: "a", Listen: "127.0.0.1:0", Logger: quiet(t)})
	if err == nil || !strings.Contains(err.Error(), "field n") {
		t.Errorf("the error is %v", err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("the directory was made: %v", err)
	}
}
