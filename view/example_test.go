package view_test

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/stateio/stateio/store"
	"github.com/stateio/stateio/view"
)

// counter is a machine that counts its updates.
type counter struct {
	store.JSONState[int]
}

func (c *counter) Apply([]byte) (any, error) {
	c.State++
	return c.State, nil
}

func ExampleHandler() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := store.Open(dir, &counter{}, &store.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	mux := http.NewServeMux()
	mux.Handle("/debug/stateio/", view.Handler(dir, &view.Options{
		Stats:   s.Stats,                                    // live
		Machine: func() store.Machine { return &counter{} }, // with the state at any index
	}))

	server := httptest.NewServer(mux)
	defer server.Close()
	r, err := http.Get(server.URL + "/debug/stateio/")
	if err != nil {
		log.Fatal(err)
	}
	defer r.Body.Close()
	page, err := io.ReadAll(r.Body)
	fmt.Println(r.StatusCode, strings.Contains(string(page), "<title>stateio</title>"), err)
	// Output: 200 true <nil>
}

func ExampleNewToken() {
	token := view.NewToken()
	page := view.Handler("/var/lib/app", &view.Options{Token: token})
	r := httptest.NewRequest("GET", "http://127.0.0.1/", nil)
	w := httptest.NewRecorder()
	page.ServeHTTP(w, r)
	fmt.Println(w.Code, "without the token")
	// Output: 401 without the token
}
