// Package nodeprom shows the figures of nodes of package cluster to Prometheus.
//
//	c := nodeprom.NewCollector()
//	err := c.Add("orders", n)       // n is a *cluster.Node; "orders" is its label
//	prometheus.MustRegister(c)
//
// One Collector serves any number of nodes, which are told apart by the label node. A
// figure of a member, as a node sees it, has the ID of that one as its label member. The
// figures are read when Prometheus asks for them, and not counted a second time.
//
// To read them, each node asks all members how they are. It waits for those that do not
// answer as long as its Options.Heartbeat, 500 ms by default, and no longer; several nodes
// of a Collector are read at the same time. So a scrape takes as long as the longest
// heartbeat of its nodes while a member is silent, and as long as the slowest answer
// otherwise. The scrape_timeout of Prometheus, 10 s by default, must be longer.
//
// All names begin with stateio_node_, durations are in seconds and sizes in bytes;
// docs/CLUSTER.md lists them. A figure that is not known is absent, such as the lag of a
// member that does not answer.
//
// Next to the source of the package is alerts.yml, alerting rules for Prometheus.
// docs/CLUSTER.md says what to do about each alert. The figures of stores, and of maps and
// values in stores, are shown by module prom, in the same registry if you like.
package nodeprom
