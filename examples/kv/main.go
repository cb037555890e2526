// Command kv is a small key-value server over HTTP, whose data survives kill -9
// and power cuts: a PUT is answered when it is on the disk.
//
//	go run ./examples/kv -dir kv-data -listen 127.0.0.1:8080
//
//	GET    /                  what follows, as text
//	PUT    /kv/KEY            set a value: the body, at most 1 MiB
//	GET    /kv/KEY            get it
//	DELETE /kv/KEY            remove it
//	GET    /kv/?prefix=user/  list keys, as a JSON array
//	GET    /watch?prefix=P    follow changes, one JSON object a line
//	GET    /stats             figures about the store, as JSON
//	GET    /metrics           the same for Prometheus
//	GET    /healthz           200 while the store takes changes, else 503
//
// A watch shows changes when they are durable, from now on or, with from=INDEX,
// from an earlier one; each carries its index, so a client goes on where it
// was: from=1 is the whole history that the store retains. A GET shows the
// newest value, which may be a moment away from being durable.
//
// When the store fails, say because the disk does, kv ends with exit status 1 and
// tells why on standard error: a supervisor starts it again. A request shows it, and
// /healthz is one that a supervisor makes anyway.
//
// A key is any UTF-8 text of up to 1 KiB, percent-encoded. There is no
// authentication: listen on other than loopback addresses only where everybody
// may read and write.
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

	"github.com/stateio/stateio/store"
)

func main() {
	dir := flag.String("dir", "kv-data", "directory of the data")
	listen := flag.String("listen", defaultAddress, "address to listen on; the default is another port if this one is taken")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "kv: unexpected argument %q: the directory of the data is given by -dir\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, *dir, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "kv:", err)
		os.Exit(1)
	}
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

// run serves the data in dir until ctx ends or the store fails, which is the
// error then. It tells how to use it.
func run(ctx context.Context, dir, listen string) (err error) {
	k, err := open(dir, store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close()) }() // Close tells why the store has failed
	l, err := listenAt(listen)
	if err != nil {
		return err
	}
	fmt.Printf("kv: serving %s, with %d keys, at http://%s\n", dir, k.Len(), l.Addr())
	fmt.Printf("try: curl -X PUT -d hello http://%[1]s/kv/greeting; curl http://%[1]s/kv/greeting\n", l.Addr())
	fmt.Printf("then: kill -9 %d, start it again, and get the greeting again\n", os.Getpid())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-k.Store().Failed():
			stop() // nothing can be kept any more: Close says why
		case <-ctx.Done():
		}
	}()
	return serve(ctx, l, &server{keys: k, ending: ctx, stop: stop, patience: 10 * time.Second})
}

// shutdownTimeout is how long requests may go on after the end of ctx.
const shutdownTimeout = 10 * time.Second

// serve answers requests at l until ctx ends, and lets those under way finish.
func serve(ctx context.Context, l net.Listener, s *server) error {
	srv := &http.Server{
		Handler:           s.handler(),
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
