package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxWriters is how many writers there are at most.
const maxWriters = 256

// A load is a number of writers. Each sends its next entry when the one before was
// acknowledged.
type load struct {
	memory *memory

	mu      sync.Mutex
	writers int           // those that are to write
	changed chan struct{} // closed when writers changes
}

func newLoad(m *memory, writers int) *load {
	return &load{memory: m, writers: min(max(writers, 0), maxWriters), changed: make(chan struct{})}
}

// set has n writers write from now on, between 0 and maxWriters.
func (l *load) set(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writers = min(max(n, 0), maxWriters)
	close(l.changed)
	l.changed = make(chan struct{})
}

// wanted returns the number of writers, and a channel that is closed when it changes.
func (l *load) wanted() (int, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writers, l.changed
}

// run has the writers write to the server at url until ctx ends, and waits for them. The
// error is an answer that is not as it must be, at which it ends, too.
func (l *load) run(ctx context.Context, url string) error {
	transport := &http.Transport{MaxIdleConnsPerHost: maxWriters}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, maxWriters)
	var wg sync.WaitGroup
	for i := range maxWriters {
		wg.Go(func() {
			if errs[i] = l.write(ctx, client, url, i); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// write is writer i. It writes while there are more than i writers.
func (l *load) write(ctx context.Context, client *http.Client, url string, i int) error {
	name := fmt.Sprintf("%s%03d", writerPrefix, i+1)
	for ctx.Err() == nil {
		writers, changed := l.wanted()
		if i >= writers {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		text := strconv.FormatUint(l.memory.count(name)+1, 10)
		l.memory.sending(name, text)
		answer, err := send(ctx, client, url, name, text)
		if errors.Is(err, errFull) { // it was not taken, and will be when there is space
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		}
		if err != nil {
			return nil //nolint:nilerr // the server was killed, or has failed: the comparison tells
		}
		if !l.memory.acknowledged(name, answer) {
			return fmt.Errorf("entry %s of %s was acknowledged with an account of %d entries", text, name, answer.Count)
		}
	}
	return nil
}

var errFull = errors.New("the disk is full")

// send adds an entry, and returns the account that the server acknowledges.
func send(ctx context.Context, client *http.Client, url, name, text string) (account, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", url+"/add/"+name, strings.NewReader(text))
	if err != nil {
		return account{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return account{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return account{}, err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		var a account
		return a, json.Unmarshal(body, &a)
	case http.StatusInsufficientStorage:
		return account{}, errFull
	default:
		return account{}, fmt.Errorf("%s: %s", resp.Status, body)
	}
}
