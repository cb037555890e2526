package ruletest

import "testing"

// steadyNode is a leader where all is well, but that one member was restarted at times.
const steadyNode = `
	stateio_node_down{node="a"} 0x120
	stateio_node_stalled{node="a"} 0x120
	stateio_node_has_leader{node="a"} 1x120
	stateio_node_leads{node="a"} 1x120
	stateio_node_term{node="a"} 7x20 8x99
	stateio_node_member_up{node="a",member="a"} 1x120
	stateio_node_member_up{node="a",member="b"} 1x20 0x1 1x98
	stateio_node_member_lag_entries{node="a",member="a"} 0x120
	stateio_node_member_lag_entries{node="a",member="b"} 3x20 50000x10 3x89
	stateio_node_waiting_updates{node="a"} 3x120
	stateio_node_entries_total{node="a"} 0+100x120
	stateio_node_snapshot_failed{node="a"} 0x120
	stateio_node_snapshot_size_bytes{node="a"} 1000x120
	stateio_node_log_since_snapshot_bytes{node="a"} 200000000x120
`

// nodeTrials say for each alert about a node what makes it fire. All that a trial does not
// say is steady.
var nodeTrials = map[string][]trial{
	"StateioNodeDown": {
		{"down after ten minutes", `stateio_node_down{node="a"} 0x19 1x100`, 11},
		{"for a moment", `stateio_node_down{node="a"} 0x19 1x1 0x98`, never},
		{"stalled, which has an alert of its own", `
			stateio_node_down{node="a"} 0x19 1x100
			stateio_node_stalled{node="a"} 0x19 1x100`, never},
	},
	"StateioNodeStalled": {
		{"the disk hangs", `stateio_node_stalled{node="a"} 0x19 1x100`, 11},
	},
	"StateioNodeNoLeader": {
		{"no majority", `stateio_node_has_leader{node="a"} 1x19 0x100`, 10},
		{"an election", `stateio_node_has_leader{node="a"} 1x19 0 1x99`, never},
		{"down, which has an alert of its own", `
			stateio_node_has_leader{node="a"} 1x19 0x100
			stateio_node_down{node="a"} 0x19 1x100`, never},
	},
	"StateioNodeMemberDown": {
		{"seen by the leader", `stateio_node_member_up{node="a",member="b"} 1x19 0x100`, 11},
		{"seen by another one", `
			stateio_node_member_up{node="a",member="b"} 1x19 0x100
			stateio_node_leads{node="a"} 0x120`, never},
	},
	"StateioNodeMemberLags": {
		{"it does not catch up", `stateio_node_member_lag_entries{node="a",member="b"} 3x19 20000+100x100`, 20},
		{"seen by another one", `
			stateio_node_member_lag_entries{node="a",member="b"} 3x19 20000+100x100
			stateio_node_leads{node="a"} 0x120`, never},
	},
	"StateioNodeElections": {
		{"one a minute", `stateio_node_term{node="a"} 7x19 8x1 9x1 10x1 11x1 12x1 13x100`, 14},
		{"a rolling restart", `stateio_node_term{node="a"} 7x19 8x1 9x1 10x100`, never},
		{"a node that joins late", `stateio_node_term{node="a"} 0x19 4000x100`, never},
	},
	"StateioNodeNothingMoves": {
		{"entries come no more", `stateio_node_entries_total{node="a"} 0+100x20 2000x100`, 13},
		{"and nothing waits", `
			stateio_node_entries_total{node="a"} 0+100x20 2000x100
			stateio_node_waiting_updates{node="a"} 3x20 0x100`, never},
		{"no leader, which has an alert of its own", `
			stateio_node_entries_total{node="a"} 0+100x20 2000x100
			stateio_node_has_leader{node="a"} 1x20 0x100`, never},
	},
	"StateioNodeSnapshotFailing": {
		{"the last one has failed", `stateio_node_snapshot_failed{node="a"} 0x19 1x100`, 25},
		{"the next one was made", `stateio_node_snapshot_failed{node="a"} 0x19 1x20 0x80`, never},
	},
	"StateioNodeLogTooLong": {
		{"a small snapshot", `stateio_node_log_since_snapshot_bytes{node="a"} 300000000x120`, 30},
		{"a large snapshot", `stateio_node_log_since_snapshot_bytes{node="a"} 300000000x120
			stateio_node_snapshot_size_bytes{node="a"} 100000000x120`, never},
	},
}

// Each alert about nodes fires when it must, not before, and for one node or member alone;
// and none fires while all is well.
func TestAlertsAboutNodesFireWhenTheyMust(t *testing.T) {
	tryAlerts(t, readRules(t, "../../cluster/nodeprom/alerts.yml"), steadyNode, nodeTrials)
}
