package main

import (
	"errors"
	"net"
	"testing"
)

// The URL that view prints can be opened, also where it listens at all addresses.
func TestViewURL(t *testing.T) {
	own := func(cidrs ...string) func() ([]net.Addr, error) {
		return func() (addrs []net.Addr, err error) {
			for _, s := range cidrs {
				ip, n, err := net.ParseCIDR(s)
				if err != nil {
					return nil, err
				}
				addrs = append(addrs, &net.IPNet{IP: ip, Mask: n.Mask})
			}
			return addrs, nil
		}
	}
	none := func() ([]net.Addr, error) { return nil, errors.New("not permitted") }
	for _, c := range []struct {
		at   string
		own  func() ([]net.Addr, error)
		want string
	}{
		{"127.0.0.1", none, "http://127.0.0.1:7117/?token=T"},
		{"::1", none, "http://[::1]:7117/?token=T"},
		{"192.0.2.7", none, "http://192.0.2.7:7117/?token=T"},
		{"::", own("127.0.0.1/8", "::1/128", "fe80::1/64", "2001:db8::5/64", "192.0.2.9/24"), "http://192.0.2.9:7117/?token=T"},
		{"0.0.0.0", own("127.0.0.1/8", "192.0.2.9/24", "192.0.2.10/24"), "http://192.0.2.9:7117/?token=T"},
		{"::", own("::1/128", "fe80::1/64", "2001:db8::5/64"), "http://[2001:db8::5]:7117/?token=T"},
		{"::", own("127.0.0.1/8", "::1/128"), "http://localhost:7117/?token=T"},
		{"0.0.0.0", none, "http://localhost:7117/?token=T"},
	} {
		if got := viewURL(&net.TCPAddr{IP: net.ParseIP(c.at), Port: 7117}, "T", c.own); got != c.want {
			t.Errorf("at %s: %s, want %s", c.at, got, c.want)
		}
	}
}
