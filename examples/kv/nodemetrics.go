package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stateio/stateio/cluster"
)

// All that shows the figures of a node to Prometheus is in this file, to be copied: docs/CLUSTER.md
// says which to watch.

// A nodeReading is all that is known of a node at a moment.
type nodeReading struct {
	cluster.Stats
	cluster.Status
}

// A nodeFigure is a metric with one value.
type nodeFigure struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*nodeReading) float64
}

func nodeDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("kv_node_"+name, help, labels, nil)
}

func nodeCounter(name, help string, value func(*nodeReading) float64) nodeFigure {
	return nodeFigure{nodeDesc(name, help), prometheus.CounterValue, value}
}

func nodeGauge(name, help string, value func(*nodeReading) float64) nodeFigure {
	return nodeFigure{nodeDesc(name, help), prometheus.GaugeValue, value}
}

// nodeFigures are the metrics of this node.
var nodeFigures = []nodeFigure{
	nodeGauge("down", "1 if this node takes no changes.", func(r *nodeReading) float64 { return one(r.Err != nil) }),
	nodeGauge("stalled", "1 if the disk of this node does not answer, or its log can't be written.", func(r *nodeReading) float64 { return one(r.Stalled) }),
	nodeGauge("has_leader", "1 if this node knows of a leader.", func(r *nodeReading) float64 { return one(r.Leader != "") }),
	nodeGauge("leads", "1 if this node is the leader.", func(r *nodeReading) float64 { return one(r.Leader == r.ID) }),
	nodeGauge("term", "Term of raft; it grows with each election.", func(r *nodeReading) float64 { return float64(r.Term) }),
	nodeGauge("failover_gap_seconds", "How long this node knew of no leader, the last time.", func(r *nodeReading) float64 { return r.FailoverGap.Seconds() }),
	nodeGauge("index", "Changes that this node has.", func(r *nodeReading) float64 { return float64(r.Index) }),
	nodeGauge("lag", "Entries of the log that this node lacks, as far as it knows.", func(r *nodeReading) float64 { return float64(r.Lag) }),
	nodeGauge("waiting", "Changes made on this node that are not acknowledged yet.", func(r *nodeReading) float64 { return float64(r.Waiting) }),
	nodeGauge("pending_bytes", "Bytes of these.", func(r *nodeReading) float64 { return float64(r.Pending) }),
	nodeGauge("sessions", "Nodes whose changes are remembered, as often as they were opened.", func(r *nodeReading) float64 { return float64(r.Sessions) }),
	nodeCounter("updates_total", "Changes applied.", func(r *nodeReading) float64 { return float64(r.Updates) }),
	nodeCounter("refused_total", "Changes refused by the map, as of a transaction that was overtaken, and is made again.", func(r *nodeReading) float64 { return float64(r.UpdateErrors) }),
	nodeCounter("duplicates_total", "Changes that came a second time, and were not applied again.", func(r *nodeReading) float64 { return float64(r.Duplicates) }),
	nodeCounter("entries_total", "Entries of the log that changes came in.", func(r *nodeReading) float64 { return float64(r.Entries) }),
	nodeCounter("retries_total", "Changes that this node had to send again.", func(r *nodeReading) float64 { return float64(r.Retries) }),
	nodeCounter("forwarded_total", "Groups of changes that this node, leading, has taken from others.", func(r *nodeReading) float64 { return float64(r.Forwarded) }),
	nodeGauge("no_snapshot", "1 if the last snapshot could not be made.", func(r *nodeReading) float64 { return one(r.SnapshotError != nil) }),
	nodeCounter("snapshots_total", "Snapshots made.", func(r *nodeReading) float64 { return float64(r.Snapshots) }),
	nodeCounter("snapshot_failures_total", "Snapshots that could not be made.", func(r *nodeReading) float64 { return float64(r.SnapshotsFailed) }),
	nodeGauge("snapshot_size_bytes", "Size of the newest snapshot.", func(r *nodeReading) float64 { return float64(r.SnapshotBytes) }),
	nodeGauge("snapshot_duration_seconds", "How long the last one took that was made here.", func(r *nodeReading) float64 { return r.SnapshotTook.Seconds() }),
	nodeGauge("log_since_snapshot_bytes", "Bytes of log applied after it.", func(r *nodeReading) float64 { return float64(r.SinceSnapshot) }),
	nodeCounter("restores_total", "Snapshots restored, when the node was opened and from the leader.", func(r *nodeReading) float64 { return float64(r.Restores) }),
}

// memberFigures are those of each member, as this node sees it.
var memberFigures = []struct {
	desc  *prometheus.Desc
	value func(*cluster.MemberStatus) float64
}{
	{nodeDesc("member_up", "1 if the member answers.", "member"), func(m *cluster.MemberStatus) float64 { return one(m.Up) }},
	{nodeDesc("member_voter", "1 if the member has a vote.", "member"), func(m *cluster.MemberStatus) float64 { return one(m.Voter) }},
	{nodeDesc("member_stalled", "1 if its disk does not answer, or its log can't be written.", "member"), func(m *cluster.MemberStatus) float64 { return one(m.Stalled) }},
	{nodeDesc("member_lag", "Entries of the log that it has not applied; of one that is down, all.", "member"), func(m *cluster.MemberStatus) float64 { return float64(m.Lag) }},
}

// A nodeCollector is the prometheus.Collector of a node.
type nodeCollector struct{ node *cluster.Node }

// Describe implements prometheus.Collector.
func (c nodeCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, f := range nodeFigures {
		descs <- f.desc
	}
	for _, f := range memberFigures {
		descs <- f.desc
	}
}

// Collect implements prometheus.Collector. It waits for members that do not answer, for as long as a
// heartbeat.
func (c nodeCollector) Collect(metrics chan<- prometheus.Metric) {
	r := &nodeReading{c.node.Stats(), c.node.Status()}
	for _, f := range nodeFigures {
		metrics <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(r))
	}
	for i := range r.Members {
		m := &r.Members[i]
		for _, f := range memberFigures {
			metrics <- prometheus.MustNewConstMetric(f.desc, prometheus.GaugeValue, f.value(m), m.ID)
		}
	}
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
