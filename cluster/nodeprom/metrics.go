package nodeprom

import (
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/store"
)

// A reading is all that is known of a node at a moment.
type reading struct {
	cluster.Status
	cluster.Stats
}

// read asks a node, and through it the members. One that is closed knows nothing of the
// cluster: it asks nobody any more.
func read(n Source) *reading {
	r := &reading{Status: n.Status()}
	r.Stats = n.Stats() // last: if the node is closed meanwhile, this tells
	if errors.Is(r.Err, store.ErrClosed) {
		r.Leader, r.Members = "", nil
	}
	return r
}

// A figure is a metric with one value, of a *reading or of a *cluster.MemberStatus.
type figure[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(T) float64
	known func(T) bool // nil: always; if not, there is no such metric
}

// when returns f without a value where known reports false.
func (f figure[T]) when(known func(T) bool) figure[T] {
	f.known = known
	return f
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("stateio_node_"+name, help, append([]string{"node"}, labels...), nil)
}

func counter(name, help string, value func(*reading) float64) figure[*reading] {
	return figure[*reading]{desc(name, help), prometheus.CounterValue, value, nil}
}

func gauge(name, help string, value func(*reading) float64) figure[*reading] {
	return figure[*reading]{desc(name, help), prometheus.GaugeValue, value, nil}
}

func ofMember(name, help string, value func(*cluster.MemberStatus) float64) figure[*cluster.MemberStatus] {
	return figure[*cluster.MemberStatus]{desc("member_"+name, help, "member"), prometheus.GaugeValue, value, nil}
}

// These have the texts about a node and its members as labels.
var (
	nodeInfo   = desc("info", "1, with the labels id, of the node, and cluster, the identity of its cluster: empty before that has begun.", "id", "cluster")
	memberInfo = desc("member_info", "1, with the label addr: where the member is reached.", "member", "addr")
)

func info(d *prometheus.Desc, name, one, two string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, 1, name, label(one), label(two))
}

// label returns s as the value of a label, which must be UTF-8.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// figures are all metrics of a node that have one value.
var figures = []figure[*reading]{
	gauge("down", "1 if the node takes no updates, for whatever reason, 0 otherwise.",
		func(r *reading) float64 { return one(r.Err != nil) }),
	gauge("failed", "1 if the node has failed: it can't restore a snapshot, or files of its directory were removed or replaced; 0 otherwise.",
		func(r *reading) float64 { return one(errors.Is(r.Err, store.ErrFailed)) }),
	gauge("removed", "1 if the node was removed from its cluster, 0 otherwise.",
		func(r *reading) float64 { return one(errors.Is(r.Err, cluster.ErrRemoved)) }),
	gauge("stalled", "1 while the disk of the node does not answer, or its log can't be written, 0 otherwise, also if the node has failed or is closed.",
		func(r *reading) float64 {
			return one(r.Stalled && !errors.Is(r.Err, store.ErrFailed) && !errors.Is(r.Err, store.ErrClosed))
		}),
	gauge("has_leader", "1 if the node knows of a leader, 0 otherwise.",
		func(r *reading) float64 { return one(r.Leader != "") }),
	gauge("leads", "1 if the node is the leader, 0 otherwise.",
		func(r *reading) float64 { return one(r.Leader != "" && r.Leader == r.ID) }),
	gauge("term", "Term of raft: it grows with each election.",
		func(r *reading) float64 { return float64(r.Term) }),
	gauge("failover_gap_seconds", "How long the node knew of no leader, the last time; absent if it has always known one.",
		func(r *reading) float64 { return r.FailoverGap.Seconds() },
	).when(func(r *reading) bool { return r.FailoverGap > 0 }),

	gauge("applied_index", "Index of the last update applied.",
		func(r *reading) float64 { return float64(r.Index) }),
	gauge("raft_applied_index", "Index in raft's log of the last entry applied.",
		func(r *reading) float64 { return float64(r.Applied) }),
	gauge("raft_commit_index", "Index in raft's log of the last entry that the node knows to be on a majority.",
		func(r *reading) float64 { return float64(r.Commit) }),
	gauge("lag_entries", "Entries that the node knows to be on a majority, and has not applied.",
		func(r *reading) float64 { return float64(r.Lag) }),

	counter("updates_total", "Updates applied, of all nodes.",
		func(r *reading) float64 { return float64(r.Updates) }),
	counter("updates_refused_total", "Updates that were refused by Apply of the machine.",
		func(r *reading) float64 { return float64(r.UpdateErrors) }),
	counter("duplicates_total", "Updates that came a second time, and were not applied again.",
		func(r *reading) float64 { return float64(r.Duplicates) }),
	counter("entries_total", "Entries of raft's log that updates came in.",
		func(r *reading) float64 { return float64(r.Entries) }),
	counter("retries_total", "Sendings of updates made on the node, after the first of each.",
		func(r *reading) float64 { return float64(r.Retries) }),
	counter("forwarded_total", "Groups of updates that the node, leading, has taken from others.",
		func(r *reading) float64 { return float64(r.Forwarded) }),
	gauge("waiting_updates", "Updates made on the node that are not acknowledged yet.",
		func(r *reading) float64 { return float64(r.Waiting) }),
	gauge("pending_bytes", "Bytes of updates made on the node that are not acknowledged yet.",
		func(r *reading) float64 { return float64(r.Pending) }),
	gauge("keys", "Keys of UpdateOnce that are remembered.",
		func(r *reading) float64 { return float64(r.Keys) }),
	gauge("sessions", "Nodes, as often as they were opened, whose updates are remembered.",
		func(r *reading) float64 { return float64(r.Sessions) }),

	counter("snapshots_total", "Snapshots made.",
		func(r *reading) float64 { return float64(r.Snapshots) }),
	counter("snapshot_failures_total", "Snapshots that could not be made.",
		func(r *reading) float64 { return float64(r.SnapshotsFailed) }),
	gauge("snapshot_failed", "1 if the last snapshot could not be made, 0 otherwise.",
		func(r *reading) float64 { return one(r.SnapshotError != nil) }),
	gauge("snapshot_size_bytes", "Size of the newest snapshot, made here or sent by the leader, 0 if there is none.",
		func(r *reading) float64 { return float64(r.SnapshotBytes) }),
	gauge("snapshot_duration_seconds", "How long it took to make the last snapshot; absent if none was made since the node was opened.",
		func(r *reading) float64 { return r.SnapshotTook.Seconds() },
	).when(func(r *reading) bool { return r.Snapshots > 0 }),
	gauge("log_since_snapshot_bytes", "Bytes of log applied after the newest snapshot.",
		func(r *reading) float64 { return float64(r.SinceSnapshot) }),
	counter("restores_total", "Snapshots restored, when the node was opened and from the leader.",
		func(r *reading) float64 { return float64(r.Restores) }),
}

// memberFigures are those of each member, as the node sees it.
var memberFigures = []figure[*cluster.MemberStatus]{
	ofMember("up", "1 if the member answers the node, 0 otherwise.",
		func(m *cluster.MemberStatus) float64 { return one(m.Up) }),
	ofMember("voter", "1 if the member has a vote, 0 otherwise.",
		func(m *cluster.MemberStatus) float64 { return one(m.Voter) }),
	ofMember("leader", "1 if the node takes the member for the leader, 0 otherwise.",
		func(m *cluster.MemberStatus) float64 { return one(m.Leader) }),
	ofMember("stalled", "1 while the disk of the member does not answer, or its log can't be written, 0 otherwise; absent if the member does not answer.",
		func(m *cluster.MemberStatus) float64 { return one(m.Stalled) }).when(isUp),
	ofMember("raft_applied_index", "Index in raft's log of the last entry that the member has applied; absent if it does not answer.",
		func(m *cluster.MemberStatus) float64 { return float64(m.Applied) }).when(isUp),
	ofMember("lag_entries", "Entries that the node knows of, and the member has not applied; absent if it does not answer.",
		func(m *cluster.MemberStatus) float64 { return float64(m.Lag) }).when(isUp),
}

func isUp(m *cluster.MemberStatus) bool { return m.Up }

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
