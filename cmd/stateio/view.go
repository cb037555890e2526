package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/view"
)

const viewHelp = `view shows what is in PATH, the directory of a store or a state file, as a page for a
browser: a map of every byte with damage in red, a time line, and the updates as a list to
search. A sentence on top says what is wrong and what to do. The store may be in use.

It prints the URL of the page, which has a secret token in it, and serves it until it is
interrupted. It writes nothing, and listens for this computer only, unless --listen says
otherwise: then whoever has the URL can read all data in PATH, and so can the network in
between, for nothing is encrypted. To see the page from another computer, a tunnel is safer:
the last example is typed there. Requests are answered for an IP address, for localhost, and
for names that --listen or --host gives: any other may be one that somebody else has pointed
here.`

const viewExample = `  stateio view /var/lib/app
  stateio view app.state --listen 127.0.0.1:7117
  stateio view app.state --listen :7117 --host db1 --host db1.example.org
  ssh -t -L 7117:127.0.0.1:7117 HOST stateio view --listen 127.0.0.1:7117 /var/lib/app`

func newView() *cobra.Command {
	var listen string
	var hosts []string
	cmd := &cobra.Command{
		Use:     "view PATH",
		Short:   "Show a store or a state file as a page in the browser",
		Long:    viewHelp,
		Example: viewExample,
		Args:    arguments("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := canView(args[0]); err != nil {
				return err // now, and not on the page
			}
			l, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", listen)
			if err != nil {
				return fmt.Errorf("listening at %s: %w; name another address with --listen", listen, err)
			}
			opts := &view.Options{Token: view.NewToken(), Hosts: hosts}
			if host, _, err := net.SplitHostPort(listen); err == nil && host != "" {
				opts.Hosts = append(opts.Hosts, host)
			}
			if addr, ok := l.Addr().(*net.TCPAddr); ok && !addr.IP.IsLoopback() {
				cmd.PrintErrf("stateio: listening at %s: everybody in the network who has the URL, with the token in it, can read all data in %s; what is sent is not encrypted\n",
					addr, printable(args[0]))
			}
			return serveView(cmd.Context(), l, args[0], opts, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS` to listen at; port 0 is any that is free")
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "answer requests for the host `NAME`, too")
	noValues(cmd, "listen", "host")
	return cmd
}

// canView returns an error if there is nothing at path that can be shown.
func canView(path string) error {
	m, err := inspect.OpenMap(path)
	if err != nil || m.Store {
		return absent(err)
	}
	file, _, err := openRead(path)
	if err != nil {
		return err
	}
	return file.Close()
}

// serveView prints the URL of the page of path, and serves it at l until ctx ends. It
// closes l.
func serveView(ctx context.Context, l net.Listener, path string, opts *view.Options, stdout io.Writer) error {
	srv := &http.Server{ // no WriteTimeout: a state may take long to make; the page gives slow clients up
		Handler:           view.Handler(path, opts),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // nothing is lost by that
	defer stop()
	if _, err := fmt.Fprintln(stdout, viewURL(l.Addr(), opts.Token, net.InterfaceAddrs)); err != nil {
		return errors.Join(err, l.Close())
	}
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the page of %s: %w", path, err)
	}
	return context.Cause(ctx)
}
