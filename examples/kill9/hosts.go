package main

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// forHost has h answer only requests for an IP address, for localhost, and for the host that
// the address listen names. A name of somebody else that leads here would make a page of
// theirs one of the same origin.
func forHost(listen string, h http.Handler) http.Handler {
	own := hostOf(listen)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostOf(r.Host)
		if _, err := netip.ParseAddr(host); err != nil && host != "localhost" && (own == "" || host != own) {
			http.Error(w, "the host in the request is neither an IP address, localhost nor the one of -listen", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// hostOf returns the host of an address, with a port or without.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}
