// Command kv is a small key-value server over HTTP, whose data survives kill -9
// and power cuts: a PUT is answered when it is on the disk.
//
//	go run ./examples/kv -dir kv-data -listen 127.0.0.1:8080
//
// With -id it is a node of a cluster, and the data survives the loss of a computer, too.
// The first node begins a cluster, the others join it:
//
//	go run ./examples/kv -dir kv-a -listen 127.0.0.1:8081 -id a -raft 127.0.0.1:7001
//	go run ./examples/kv -dir kv-b -listen 127.0.0.1:8082 -id b -raft 127.0.0.1:7002 -join 127.0.0.1:7001
//	go run ./examples/kv -dir kv-c -listen 127.0.0.1:8083 -id c -raft 127.0.0.1:7003 -join 127.0.0.1:7001
//
// A cluster can begin with the data of a kv that was not a node: give the first node -from
// st, where st was its -dir. If all nodes but one are lost for good, -from does the same
// with the directory of that one, in a new -dir. Any node takes any request. Off loopback,
// nodes need certificates: -cert, -key and -ca.
//
//	GET    /                  what follows, as text
//	PUT    /kv/KEY            set a value: the body, at most 1 MiB
//	GET    /kv/KEY            get it
//	DELETE /kv/KEY            remove it
//	GET    /kv/?prefix=user/  list keys, as a JSON array
//	GET    /watch?prefix=P    follow changes, one JSON object a line, values in base64
//	GET    /stats             figures about the store, as JSON
//	GET    /metrics           the same for Prometheus
//	GET    /node/             a page about the node and its cluster, if it is one
//	GET    /healthz           200 while the store takes changes, else 503
//	DELETE /members/ID        remove a node from its cluster
//
// A watch shows changes when they are durable, from now on or, with from=INDEX,
// from an earlier one; each carries its index, so a client goes on where it
// was: from=1 is the whole history that the store retains. A GET shows the
// newest value, which may be a moment away from being durable. On a cluster it shows what
// any node has answered before, and is durable on a majority; a watch has the latest changes.
//
// When the store fails, say because the disk does, kv ends with exit status 1 and tells
// why on standard error: a supervisor starts it again. While the disk is full, changes are answered with
// 507, and /healthz with 503 for ten seconds after the last change that was refused: then
// it lets a load balancer try again. A restart does not help. A node that can't reach a
// majority answers 503, and goes on when it can.
//
// Where a restart can't help, the exit status is 3, so that a supervisor can stop: the data
// is damaged, or of a later release, or the directory belongs to another node, or to a node
// that was removed; or the directory of a node is gone, which ends it. With another directory the
// first node would begin a cluster of its own, so give it -join, too, once others have joined. To
// have the others rebuild a damaged or removed node, run kv -rejoin with its flags and -join,
// which ends, and then start it without -rejoin. A node that is lost with its computer is
// removed by DELETE /members/ID at another one. A node that has moved is started with its new
// -raft, or -advertise, and -join.
//
// A key is any UTF-8 text of up to 1 KiB, percent-encoded. There is no
// authentication: listen on other than loopback addresses only where everybody
// may read and write, and remove nodes. On a loopback address, requests for names other than
// localhost are refused.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	c, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case errors.Is(err, errTold):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "kv:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err = run(ctx, c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kv:", err)
		if hint := hint(err, c.node.ID != ""); hint != "" {
			fmt.Fprintln(os.Stderr, "kv:", hint)
		}
	}
	os.Exit(exitCode(err, c.node.ID != ""))
}

// defaultAddress is where to listen unless another port has to do.
const defaultAddress = "127.0.0.1:8080"

// listenAt listens at an address, or at any port if that is the default and taken.
func listenAt(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if address == defaultAddress && errors.Is(err, syscall.EADDRINUSE) {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	return l, err
}

// run serves the data until ctx ends or the store fails, which is the error then. It
// tells how to use it.
func run(ctx context.Context, c *config) (err error) {
	if c.rejoin {
		return rejoin(ctx, c)
	}
	k, err := c.open(ctx)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", errEnded, err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close()) }() // Close tells why the store has failed
	l, err := listenAt(c.listen)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("with %d keys", k.Len())
	if k.node != nil {
		what = "as node " + c.node.ID // how many it has is known once it has heard from the others
	}
	fmt.Printf("kv: serving %s, %s, at http://%s\n", c.dir, what, l.Addr())
	fmt.Printf("try: curl -X PUT -d hello http://%[1]s/kv/greeting; curl http://%[1]s/kv/greeting\n", l.Addr())
	fmt.Printf("then: kill -9 %d, start it again, and get the greeting again\n", os.Getpid())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-k.failed():
			stop() // Close says why
		case <-ctx.Done():
		}
	}()
	s := &server{keys: k, ending: ctx, stop: stop, patience: 10 * time.Second}
	return serve(ctx, l, forLoopback(c.listen, s.handler()))
}

// shutdownTimeout is how long requests may go on after the end of ctx.
const shutdownTimeout = 10 * time.Second

// serve answers requests at l until ctx ends, and lets those under way finish.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := srv.Shutdown(late); err != nil {
		return errors.Join(err, srv.Close())
	}
	return nil
}
