package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/stateio/stateio/store"
	"github.com/stateio/stateio/view"
)

// The server is what gets killed. It is a process of its own: this program, called by
// itself with -serve. It knows nothing of the parent's memory.

// A hello is the line that a server writes to standard output when it serves.
type hello struct {
	URL      string        `json:"url"`
	PID      int           `json:"pid"`
	Took     time.Duration `json:"took_ns"`  // the recovery of the store
	Replayed uint64        `json:"replayed"` // updates
	Torn     int64         `json:"torn"`     // bytes cut off the log, of a commit that was under way
}

// snapshotBytes keeps the log short, and so the recovery: the state is small.
const snapshotBytes = 1 << 20

// serveLedger serves the ledger in dir at address until standard input ends, because
// the parent wants it or is no more, or the store fails, which is the error then.
func serveLedger(dir, address string) (err error) {
	signal.Ignore(os.Interrupt) // Ctrl-C is for the parent
	l, err := openLedger(dir, &store.Options{
		SnapshotBytes: snapshotBytes,
		Logger:        slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }() // Close tells why the store has failed
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	go func() {
		select {
		case <-l.Failed():
			stop() // nothing can be kept any more: Close says why
		case <-ctx.Done():
		}
	}()
	r := l.Recovery()
	line, err := json.Marshal(hello{"http://" + listener.Addr().String(), os.Getpid(), r.Took, r.Updates, r.TornBytes})
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", line)
	s := &server{dir: dir, ledger: l, ending: ctx}
	return serve(ctx, listener, forHost(address, s.handler()))
}

// serve answers requests at l until ctx ends, and lets those under way finish.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if srv.Shutdown(late) != nil {
		return srv.Close()
	}
	return nil
}

type server struct {
	dir    string
	ledger *ledgerStore
	ending context.Context // ends when the server is to end
}

// inspector is where the page of package view is: what is in the files.
const inspector = "/debug/stateio/"

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add/{account}", s.add)
	mux.HandleFunc("GET /accounts", s.accounts)
	mux.HandleFunc("GET /accounts/{account}", s.account)
	mux.HandleFunc("GET /changes", s.changes)
	mux.HandleFunc("GET /stats", s.stats)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.Handle("GET "+inspector, view.Handler(s.dir, &view.Options{
		Stats:   s.ledger.Stats,
		Machine: func() store.Machine { return store.Untyped(newLedger(), nil) },
	}))
	return mux
}

// add adds an entry, whose text is the body. The answer is the account, and comes when
// the entry is on the disk.
func (s *server) add(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxText))
	if err != nil {
		http.Error(w, "reading the entry: "+err.Error(), http.StatusBadRequest)
		return
	}
	e := entry{r.PathValue("account"), string(text)}
	if err := e.check(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a, err := s.ledger.Update(r.Context(), e)
	switch {
	case err == nil:
		reply(w, a)
	case errors.Is(err, errManyAccounts):
		http.Error(w, err.Error(), http.StatusForbidden)
	case errors.Is(err, store.ErrNoSpace):
		http.Error(w, err.Error(), http.StatusInsufficientStorage)
	default: // it is unknown whether the entry is there
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

// accounts answers with all accounts.
func (s *server) accounts(w http.ResponseWriter, _ *http.Request) {
	var all map[string]account
	_ = s.ledger.View(func() error { all = maps.Clone(s.ledger.ledger.State); return nil })
	reply(w, all)
}

// account answers with one account.
func (s *server) account(w http.ResponseWriter, r *http.Request) {
	var a account
	var ok bool
	_ = s.ledger.View(func() error { a, ok = s.ledger.ledger.State[r.PathValue("account")]; return nil })
	if !ok {
		http.Error(w, "no such account", http.StatusNotFound)
		return
	}
	reply(w, a)
}

// stats answers with the figures of the store.
func (s *server) stats(w http.ResponseWriter, _ *http.Request) { reply(w, s.ledger.Stats()) }

// healthz tells whether entries are taken.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := s.ledger.Stats().Err; err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n") // the client may be gone
}

// reply answers with v as JSON.
func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
