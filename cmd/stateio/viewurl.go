package main

import (
	"net"
	"net/url"
	"strconv"
)

// viewURL returns the URL at which a page can be opened that is served at addr. Where that is
// all addresses of this computer it has one of them that other computers know, or localhost
// if there is none.
func viewURL(addr net.Addr, token string, own func() ([]net.Addr, error)) string {
	host := addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		host = net.JoinHostPort(reachable(own), strconv.Itoa(tcp.Port))
	}
	u := url.URL{Scheme: "http", Host: host, Path: "/", RawQuery: url.Values{"token": {token}}.Encode()}
	return u.String()
}

// reachable returns an address of this computer that others know, an IPv4 one if there is
// one, else localhost.
func reachable(own func() ([]net.Addr, error)) string {
	addrs, err := own()
	if err != nil {
		return "localhost"
	}
	host := "localhost"
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		switch {
		case !ok || !n.IP.IsGlobalUnicast():
		case n.IP.To4() != nil:
			return n.IP.String()
		case host == "localhost":
			host = n.IP.String()
		}
	}
	return host
}
