package cluster

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"
)

// checkAddresses refuses addresses by which a node can't be reached, only listened at.
func (o *Options) checkAddresses() error {
	err := cmp.Or(inOption("Listen", checkAddress(o.Listen)), inOption("Advertise", checkAddress(o.Advertise)))
	for _, addr := range o.Join {
		err = cmp.Or(err, inOption("Join", checkOther(addr)))
	}
	if err != nil {
		return err
	}
	for _, m := range o.Members {
		if err := checkOther(m.Addr); err != nil {
			return fmt.Errorf("cluster: Options.Members has %q: %w", m.ID, err)
		}
	}
	if everywhere(o.Advertise) {
		return fmt.Errorf("cluster: Options.Listen is %s and Options.Advertise is %s, by which other nodes can't reach this one: set Advertise to the address that they are to use, like 10.0.0.1:7000", o.Listen, o.Advertise)
	}
	for _, m := range o.Members {
		if everywhere(m.Addr) {
			return fmt.Errorf("cluster: Options.Members has %q at %s, by which other nodes can't reach it: it must be an address like 10.0.0.1:7000", m.ID, m.Addr)
		}
	}
	return nil
}

// inOption says in which field of Options an address is wrong, if it is.
func inOption(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cluster: Options.%s: %w", field, err)
}

// checkAddress refuses what is no address, as what was read from a file with the end of its line.
func checkAddress(addr string) error {
	if strings.ContainsFunc(addr, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return fmt.Errorf("%q has a space or a control character: an address is like 10.0.0.1:7000", addr)
	}
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		return fmt.Errorf("%q has no port, or no host: an address is like 10.0.0.1:7000, or [fd00::1]:7000", addr)
	}
	return nil
}

// checkOther is checkAddress for that of another node, which can't have whichever port is free.
func checkOther(addr string) error {
	if _, port, _ := net.SplitHostPort(addr); port == "0" {
		return fmt.Errorf("%q has port 0, by which nobody can be reached", addr)
	}
	return checkAddress(addr)
}

// everywhere reports whether addr is no place: every address of whichever machine.
func everywhere(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// checkListed makes sure that the others will look for this node where it is.
func (n *Node) checkListed(members []Member) error {
	for _, m := range members {
		if m.ID == n.opts.ID && m.Addr != n.opts.Advertise {
			return fmt.Errorf("cluster: Options.Members has this node, %q, at %s, and the others are to reach it at %s, by Options.Advertise or Options.Listen: make them the same, in the lists of all nodes", m.ID, m.Addr, n.opts.Advertise)
		}
	}
	return nil
}

// warnOfMoved says that the others know this node by another address, unless it tells them.
func (n *Node) warnOfMoved() {
	conf, err := n.members()
	if err != nil || len(n.opts.Join) > 0 {
		return
	}
	s, known := memberOf(conf, n.opts.ID)
	switch {
	case !known || string(s.Address) == n.opts.Advertise:
	case len(conf.Servers) == 1:
		n.log.Warn("cluster: this node, the only member, has another address than its log says, where those that join will look for it: call Add with the new one",
			"node", n.opts.ID, "known", string(s.Address), "now", n.opts.Advertise)
	default:
		n.log.Warn("cluster: the others know this node by another address, and may not reach it: set Options.Join to addresses of theirs, and it tells them; or call Add with the new one on any member",
			"node", n.opts.ID, "known", string(s.Address), "now", n.opts.Advertise)
	}
}
