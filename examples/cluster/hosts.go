package main

import (
	"net"
	"net/http"
	"strings"
)

// forLoopback has h, where it listens on a loopback address, answer only requests for one, or for
// localhost. A name of somebody else that leads here would make a page of theirs one of the same
// origin.
func forLoopback(listen string, h http.Handler) http.Handler {
	if !isLoopback(listen) {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) {
			http.Error(w, "this listens on a loopback address, and the host in the request is neither one nor localhost", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// isLoopback reports whether the host of an address, with a port or without, is this computer and
// nothing else.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
