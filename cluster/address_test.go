package cluster

import (
	"strings"
	"testing"
)

// TestAddressesThatNobodyCanReachAreRefused says which addresses are none.
func TestAddressesThatNobodyCanReachAreRefused(t *testing.T) {
	ca, _ := authority(t)
	c := withTLS(t, ca, "a")
	there := freeAddrs(t, 1)[0]
	for _, o := range []*Options{
		{ID: "a", Listen: ":0"},
		{ID: "a", Listen: "0.0.0.0:0"},
		{ID: "a", Listen: "[::]:0"},
		{ID: "a", Listen: there, Advertise: "0.0.0.0:1"},
		{ID: "a", Listen: there, Advertise: "10.0.0.1"},
		{ID: "a", Listen: there, Advertise: "10.0.0.1:"},
		{ID: "a", Listen: there, Advertise: "fd00::1"},
		{ID: "a", Listen: there, Join: []string{"10.0.0.1"}},
		{ID: "a", Listen: there, Join: []string{"10.0.0.1:7000", "10.0.0.2:0"}},
		{ID: "a", Listen: there, Members: []Member{{"a", there}, {"b", "10.0.0.1"}}},
		{ID: "a", Listen: there, Members: []Member{{"a", there}, {"b", ":7000"}}},
		{ID: "a", Listen: there, Members: []Member{{"a", "127.0.0.1:1"}, {"b", "127.0.0.1:2"}}},
	} {
		o.TLS, o.Logger = c, quiet(t)
		n, err := Open(t.TempDir(), newLedger(), o)
		if err == nil {
			t.Errorf("%q, %q, %v is taken: %v", o.Listen, o.Advertise, o.Members, n.Close())
		} else if !strings.Contains(err.Error(), "Options.") {
			t.Errorf("the error does not say what to do: %v", err)
		}
	}
	port := strings.TrimPrefix(there, "127.0.0.1")
	n, err := Open(t.TempDir(), newLedger(), &Options{ID: "a", Listen: port, Advertise: there, TLS: c, Logger: quiet(t)})
	if err != nil {
		t.Fatalf("every address is listened at, and one is told: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
