package view

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stateio/stateio/store"
)

// A stalled writer is that of a client which takes nothing, until it is released.
type stalled struct {
	*httptest.ResponseRecorder
	released chan struct{}
}

func (w stalled) Write(p []byte) (int, error) {
	<-w.released
	return w.ResponseRecorder.Write(p)
}

// A client that does not take its answer keeps no other waiting for a turn.
func TestASlowReaderKeepsNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := blobHandler(t, "one", "two")
		for name, url := range map[string]string{"state": "/api/state?index=1", "diff": "/api/diff?a=1&b=2", "search": "/api/search?q=one"} {
			released := make(chan struct{})
			for range cap(h.turns[name]) {
				go func() {
					r := httptest.NewRequest("GET", url, nil)
					r.Host, r.RemoteAddr = "127.0.0.1:8080", "127.0.0.1:4000"
					h.ServeHTTP(stalled{httptest.NewRecorder(), released}, r)
				}()
			}
			synctest.Wait()
			answered := make(chan int, 1)
			go func() { answered <- get(h, url, nil).Code }()
			synctest.Wait()
			select {
			case code := <-answered:
				if code != http.StatusOK {
					t.Errorf("%s: status %d", name, code)
				}
			default:
				t.Errorf("%s: no answer while another client does not take its own", name)
			}
			close(released)
			synctest.Wait()
		}
	})
}

// A pipeListener has one connection, within this process.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error {
	close(l.closed)
	return nil
}

func (l pipeListener) Addr() net.Addr { return &net.IPAddr{} }

// pipeTo serves h, and returns a client's end of a connection. In closed there is how long
// it was open, once it is not.
func pipeTo(t *testing.T, h http.Handler, writeTimeout time.Duration) (client net.Conn, closed chan time.Duration) {
	t.Helper()
	client, server := net.Pipe()
	l := pipeListener{make(chan net.Conn, 1), make(chan struct{})}
	l.conns <- server
	closed = make(chan time.Duration, 1)
	begun := time.Now()
	srv := &http.Server{Handler: h, WriteTimeout: writeTimeout, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- time.Since(begun)
		}
	}}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(srv.Close(), client.Close()); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return client, closed
}

// A client that takes nothing is given up after a minute, or when the server says so.
func TestAClientThatTakesNothingIsGivenUp(t *testing.T) {
	for _, question := range []string{"api/state?index=1&", "api/search?q=none&", "api/nothing?", "app.css?", "?"} {
		for timeout, want := range map[time.Duration]time.Duration{0: sendTime, time.Second: time.Second, time.Hour: time.Hour} {
			synctest.Test(t, func(t *testing.T) {
				h := blobHandler(t, strings.Repeat("x", 1<<20))
				h.guard.token = "secret"
				client, closed := pipeTo(t, h, timeout)
				if _, err := fmt.Fprintf(client, "GET /%stoken=secret HTTP/1.1\r\nHost: localhost\r\n\r\n", question); err != nil {
					t.Fatal(err)
				}
				if got := <-closed; got != want {
					t.Errorf("%s: it was given up after %v, not %v", question, got, want)
				}
			})
		}
	}
}

// A lateReader reads some time after it is asked to.
type lateReader struct {
	r     io.Reader
	after time.Duration
}

func (r lateReader) Read(p []byte) (int, error) {
	time.Sleep(r.after) // in a bubble
	return r.r.Read(p)
}

// A client that is slow, but takes something again and again, gets all of its answer.
func TestASlowClientGetsItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := strings.Repeat("x", 1<<20)
		h := blobHandler(t, state)
		h.guard.token = "secret"
		client, _ := pipeTo(t, h, 0)
		if _, err := io.WriteString(client, "GET /api/state?index=1&token=secret HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		r, err := http.ReadResponse(bufio.NewReaderSize(lateReader{client, sendTime / 8}, 2*pieceBytes), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err := errors.Join(err, r.Body.Close()); err != nil || !strings.Contains(string(body), state) {
			t.Errorf("%d bytes: %v", len(body), err)
		}
		if took := time.Since(begun); took < 2*sendTime {
			t.Errorf("the test shows nothing: it took %v", took)
		}
	})
}

// A state that nobody waits for any more is not made to its end, and not kept.
func TestAStateIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	writes := 0
	show := func(w io.Writer, _ store.Machine) error {
		for ; writes < 100; writes++ {
			if writes == 3 {
				cancel()
			}
			if _, err := io.WriteString(w, "more"); err != nil {
				return err
			}
		}
		return nil
	}
	dir := bankStore(t, 300)
	s := &states{dir: dir, opts: Options{Machine: newBank, Show: show}}
	if _, err := s.get(ctx, 300, 1); !errors.Is(err, context.Canceled) || writes != 3 || len(s.kept) > 0 {
		t.Errorf("by Show: %d writes, %v", writes, err)
	}
	s = &states{dir: dir}
	if _, err := s.get(ctx, 200, 1); !errors.Is(err, context.Canceled) || len(s.kept) > 0 {
		t.Errorf("of a snapshot: %v", err)
	}
}
