package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A child is the server as its parent sees it.
type child struct {
	hello
	address string // host and port, to be used again

	cmd   *exec.Cmd
	stdin io.Closer     // the server ends when this is closed, or the parent is no more
	ended chan struct{} // closed when the process has ended

	mu     sync.Mutex
	killed bool      // by the parent
	gone   time.Time // when it was killed by the parent, or has ended
	err    error     // of the process, once it has ended
}

// startChild starts a server of dir at address, and waits until it serves.
func startChild(dir, address string) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(program, "-serve", "-dir", dir, "-listen", address), ended: make(chan struct{})}
	c.cmd.Stderr = os.Stderr
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &c.hello)
	}
	go c.wait()
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("the server of %s did not start: %w", dir, errors.Join(c.err, err))
	}
	c.address = strings.TrimPrefix(c.URL, "http://")
	return c, nil
}

func (c *child) wait() {
	err := c.cmd.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	if !c.killed {
		c.gone = time.Now()
	}
	close(c.ended)
}

// kill ends the process as kill -9 does, and does not wait for it.
func (c *child) kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.killed {
		c.killed, c.gone = true, time.Now()
	}
	return c.cmd.Process.Kill()
}

// goneAt returns when the process, which has ended, was killed.
func (c *child) goneAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// failed returns why the process, which has ended, has ended by itself. If it was
// killed, by the parent or by anybody else, it returns nil.
func (c *child) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.killed && c.err != nil && !wasKilled(c.err) {
		return fmt.Errorf("the server of %s has ended by itself: %w", c.URL, c.err)
	}
	return nil
}

// wasKilled reports whether an error is that of a process which was killed, by whomever.
func wasKilled(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() != exitFailed && exit.ExitCode() != exitPanic
}

// stopTimeout is how long a server may take to end when it is asked to.
const stopTimeout = 10 * time.Second

// stop ends the process as it ends by itself, and waits for it.
func (c *child) stop() {
	_ = c.stdin.Close() // fails if the process has ended
	late := time.AfterFunc(stopTimeout, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	<-c.ended
}

// accounts asks the server for all accounts.
func (c *child) accounts(ctx context.Context) (map[string]account, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", c.URL+"/accounts", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the server for the accounts: %w", err)
	}
	defer resp.Body.Close()
	var all map[string]account
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		return nil, fmt.Errorf("asking the server for the accounts: %s: %w", resp.Status, err)
	}
	return all, nil
}
