// Package prom shows the figures of package store to Prometheus.
//
//	c := prom.NewCollector()
//	err := c.Add("orders", s)       // s is a *store.Store; "orders" is its label
//	prometheus.MustRegister(c)
//
// One Collector serves any number of stores, which are told apart by the label store.
// The figures are read when Prometheus asks for them, and not counted a second time, so
// a store that is not looked at does nothing for its metrics.
//
// All names begin with stateio_, durations are in seconds and sizes in bytes;
// docs/METRICS.md lists them. How long commits and updates take are histograms, both
// classic and native: Prometheus takes the native one if it is told to keep native
// histograms, and the classic one otherwise.
//
// Next to the source of the package are dashboard.json, for Grafana, and alerts.yml,
// alerting rules for Prometheus. docs/OPERATING.md says what to do about each alert.
package prom
