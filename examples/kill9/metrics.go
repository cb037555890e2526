package main

import (
	"fmt"
	"net/http"
	"strings"
)

// metrics shows Prometheus what the page shows, in its text format. A server of your own has all figures
// of its store by module prom, as examples/kv does; this program is to compile in no time.
func (p *parent) metrics(w http.ResponseWriter, _ *http.Request) {
	s := p.state()
	var b strings.Builder
	metric := func(name, kind, help string, value float64) {
		fmt.Fprintf(&b, "# HELP kill9_%[1]s %[3]s\n# TYPE kill9_%[1]s %[2]s\nkill9_%[1]s %[4]v\n", name, kind, help, value)
	}
	metric("entries_acknowledged_total", "counter", "Entries that were acknowledged.", float64(s.Acked))
	metric("entries_lost_total", "counter", "Of these, what was not there after a kill.", float64(s.Lost))
	metric("accounts_wrong_total", "counter", "Accounts that were not as they must be after a kill.", float64(s.Wrong))
	metric("kills_total", "counter", "Kills of the server.", float64(s.Killed))
	metric("writers", "gauge", "Writers that write.", float64(s.Writers))
	up := 0.0
	if s.PID != 0 {
		up = 1
	}
	metric("server_up", "gauge", "1 while there is a server.", up)
	if len(s.Kills) > 0 {
		k := s.Kills[0]
		metric("last_recovery_seconds", "gauge", "From the last kill until the new server answered.", k.Back.Seconds())
		metric("last_store_recovery_seconds", "gauge", "Of that, the recovery of the store.", k.Took.Seconds())
		metric("last_replayed_updates", "gauge", "Updates that were replayed from the log then.", float64(k.Replayed))
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write([]byte(b.String())) // the client may be gone
}
