//go:build !nopeers

package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

var redisEngine = Engine{
	Name:   "redis",
	What:   "RPUSH to a list, appendfsync always, over a unix socket, pipelined by rueidis",
	Module: "github.com/redis/rueidis",
	Note:   "Commands in the append-only file have no checksums. A torn end is cut off (aof-load-truncated, the default).",
	Logs:   []string{"appendonlydir/*.aof"},
	Open:   openRedis,
	Version: func() string {
		out, err := exec.Command("redis-server", "--version").Output()
		if err != nil {
			return "redis-server: " + err.Error()
		}
		return strings.Join(strings.Fields(string(out))[:3], " ") // Redis server v=7.0.15 sha=...
	},
	Missing: func() string {
		if _, err := exec.LookPath("redis-server"); err != nil {
			return "not found here: there is no redis-server on the PATH"
		}
		return ""
	},
}

// redisDB is a server that was started for it, and a client.
type redisDB struct {
	client rueidis.Client
	server *exec.Cmd
	ended  chan struct{} // closed when the server has ended
	socket string        // its directory
}

const redisList = "updates"

func openRedis(dir string, _ Options) (DB, error) {
	// The name of a socket has at most 107 bytes or so: in the directory it might not fit.
	socket, err := os.MkdirTemp("", "stateio-bench-")
	if err != nil {
		return nil, err
	}
	db := &redisDB{socket: socket, ended: make(chan struct{})}
	path := filepath.Join(socket, "redis")
	db.server = exec.Command("redis-server", "--port", "0", "--unixsocket", path, "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "always", "--save", "", "--daemonize", "no")
	dieWithParent(db.server)
	if err := db.server.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(socket))
	}
	go func() {
		_ = db.server.Wait() // how it ended, the state tells
		close(db.ended)
	}()
	if err := db.connect(path); err != nil {
		_ = db.Close() // the first error tells more
		return nil, err
	}
	return db, nil
}

// connect waits until the server has read its files.
func (db *redisDB) connect(path string) error {
	late := time.After(time.Minute)
	for {
		select {
		case <-db.ended:
			return fmt.Errorf("redis-server did not start: %s", db.server.ProcessState)
		case <-late:
			return errors.New("redis-server has not read its files within a minute")
		case <-time.After(2 * time.Millisecond):
		}
		if db.client == nil {
			client, err := rueidis.NewClient(rueidis.ClientOption{
				InitAddress: []string{path}, DisableCache: true, DisableRetry: true, ForceSingleClient: true,
				AlwaysPipelining: true,
				DialCtxFn: func(ctx context.Context, path string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
					return d.DialContext(ctx, "unix", path)
				},
			})
			if err != nil {
				continue // there is no socket yet, or it loads
			}
			db.client = client
		}
		err := db.do(db.client.B().Ping().Build())
		if r, ok := rueidis.IsRedisErr(err); !ok || r == nil {
			return err
		}
	}
}

func (db *redisDB) do(c rueidis.Completed) error {
	return db.client.Do(context.Background(), c).Error()
}

func (db *redisDB) Write(update []byte) error { return db.WriteAll([][]byte{update}) }

func (db *redisDB) WriteAll(updates [][]byte) error {
	elements := make([]string, len(updates))
	for i, update := range updates {
		elements[i] = rueidis.BinaryString(update)
	}
	return db.do(db.client.B().Rpush().Key(redisList).Element(elements...).Build())
}

func (db *redisDB) Read(each func(update []byte) error) error {
	const some = 10_000
	for from := int64(0); ; from += some {
		c := db.client.B().Lrange().Key(redisList).Start(from).Stop(from + some - 1).Build()
		updates, err := db.client.Do(context.Background(), c).AsStrSlice()
		if err != nil {
			return err
		}
		for _, update := range updates {
			if err := each([]byte(update)); err != nil {
				return err
			}
		}
		if len(updates) < some {
			return nil
		}
	}
}

func (db *redisDB) Pid() int { return db.server.Process.Pid }

// Close ends the server as an operator does, who waits.
func (db *redisDB) Close() error {
	if db.client != nil {
		db.client.Close()
	}
	err := db.server.Process.Signal(os.Interrupt)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-db.ended
	return errors.Join(err, os.RemoveAll(db.socket))
}
