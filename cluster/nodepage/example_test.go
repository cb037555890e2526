package nodepage_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/cluster/nodepage"
	"github.com/stateio/stateio/store"
)

// orders is a machine that counts its updates.
type orders struct{ store.JSONState[int] }

func (o *orders) Apply([]byte) (any, error) {
	o.State++
	return o.State, nil
}

// A program that serves the page of its node at /node/.
func ExampleHandler() {
	dir, err := os.MkdirTemp("", "nodepage-example-")
	if err != nil {
		log.Fatal(err)
	}
	n, err := cluster.Open(filepath.Join(dir, "a"), &orders{}, &cluster.Options{
		ID: "a", Listen: "127.0.0.1:0", Heartbeat: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		if err := errors.Join(n.Close(), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}()
	mux := http.NewServeMux()
	mux.Handle("/node/", http.StripPrefix("/node", nodepage.Handler(n)))
	if _, err := n.Update(context.Background(), []byte("an order")); err != nil {
		log.Fatal(err)
	}

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/node/", nil))
	fmt.Println(w.Code, strings.Contains(w.Body.String(), "<title>Node</title>"))
	// Output: 200 true
}
