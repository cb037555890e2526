package ruletest

import (
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// A trial is what a store shows, one sample each 30 seconds, and when an alert fires:
// in minutes from the beginning, or never.
type trial struct {
	name   string
	series string
	fires  int
}

const never = -1

// steady is a store where all is well.
const steady = `
	stateio_failed{store="a"} 0x120
	stateio_updates_total{store="a"} 0+100x120
	stateio_updates_refused_total{store="a",reason="no_space"} 0x120
	stateio_updates_refused_total{store="a",reason="apply"} 0+50x120
	stateio_waiting_for_space{store="a"} 0x120
	stateio_queued_updates{store="a"} 3x120
	stateio_pending_bytes{store="a"} 500x120
	stateio_commit_duration_seconds_bucket{store="a",le="0.125"} 0+100x120
	stateio_commit_duration_seconds_bucket{store="a",le="0.5"} 0+100x120
	stateio_commit_duration_seconds_bucket{store="a",le="+Inf"} 0+100x120
	stateio_update_wait_seconds_bucket{store="a",le="0.5"} 0+100x120
	stateio_update_wait_seconds_bucket{store="a",le="2"} 0+100x120
	stateio_update_wait_seconds_bucket{store="a",le="+Inf"} 0+100x120
	stateio_snapshot_failed{store="a"} 0x120
	stateio_snapshot_running{store="a"} 1x120
	stateio_snapshot_written_bytes{store="a"} 0+1000x120
	stateio_log_since_snapshot_bytes{store="a"} 200000000x120
	stateio_snapshot_size_bytes{store="a"} 1000x120
	stateio_retention_failed{store="a"} 0x120
	stateio_recovery_refused_snapshots{store="a"} 0x120
	stateio_recovery_duration_seconds{store="a"} 30x120
`

// trials say for each alert what makes it fire. All that a trial does not say is steady.
var trials = map[string][]trial{
	"StateioFailed": {
		{"failed after ten minutes", `stateio_failed{store="a"} 0x19 1x100`, 10},
	},
	"StateioDiskFull": {
		{"updates are refused", `stateio_updates_refused_total{store="a",reason="no_space"} 0x19 1+1x100`, 10},
		{"a commit waits", `stateio_waiting_for_space{store="a"} 0x19 1x100`, 10},
	},
	"StateioNothingMoves": {
		{"commits end no more", `stateio_updates_total{store="a"} 0+100x20 2000x100`, 13},
		{"nothing is written, and nothing waits", `
			stateio_updates_total{store="a"} 0+100x20 2000x100
			stateio_queued_updates{store="a"} 3x20 0x100
			stateio_pending_bytes{store="a"} 500x20 0x100`, never},
		{"something is pending, nothing queued", `
			stateio_updates_total{store="a"} 0+100x20 2000x100
			stateio_queued_updates{store="a"} 0x120`, 13},
		{"failed, which has an alert of its own", `
			stateio_updates_total{store="a"} 0+100x20 2000x100
			stateio_failed{store="a"} 0x20 1x100`, never},
	},
	"StateioCommitsSlow": {
		{"classic", `
			stateio_commit_duration_seconds_bucket{store="a",le="0.125"} 0+98x120
			stateio_commit_duration_seconds_bucket{store="a",le="0.5"} 0+98x120`, 10},
		{"classic, a few", `
			stateio_commit_duration_seconds_bucket{store="a",le="0.125"} 0+995x120
			stateio_commit_duration_seconds_bucket{store="a",le="0.5"} 0+1000x120
			stateio_commit_duration_seconds_bucket{store="a",le="+Inf"} 0+1000x120`, never},
		{"native", `
			stateio_commit_duration_seconds_bucket{store="a",le="+Inf"} _x120
			stateio_commit_duration_seconds_bucket{store="a",le="0.125"} _x120
			stateio_commit_duration_seconds_bucket{store="a",le="0.5"} _x120
			stateio_commit_duration_seconds{store="a"} {{schema:2 count:0 sum:0 offset:-4 buckets:[0 0 0 0]}}+{{schema:2 count:100 sum:60 offset:-4 buckets:[0 90 10]}}x120`, 10},
	},
	"StateioUpdatesSlow": {
		{"classic", `stateio_update_wait_seconds_bucket{store="a",le="0.5"} 0+50x120
			stateio_update_wait_seconds_bucket{store="a",le="2"} 0+50x120`, 10},
		{"native", `
			stateio_update_wait_seconds_bucket{store="a",le="+Inf"} _x120
			stateio_update_wait_seconds_bucket{store="a",le="0.5"} _x120
			stateio_update_wait_seconds_bucket{store="a",le="2"} _x120
			stateio_update_wait_seconds{store="a"} {{schema:2 count:0 sum:0 offset:3 buckets:[0]}}+{{schema:2 count:10 sum:20 offset:3 buckets:[10]}}x120`, 10},
	},
	"StateioSnapshotFailing": {
		{"the last one has failed", `stateio_snapshot_failed{store="a"} 0x19 1x100`, 25},
		{"the next one was made", `stateio_snapshot_failed{store="a"} 0x19 1x20 0x80`, never},
	},
	"StateioSnapshotStuck": {
		{"nothing is written", `stateio_snapshot_written_bytes{store="a"} 0+1000x20 20000x100`, 29},
		{"none is made", `stateio_snapshot_running{store="a"} 0x120
			stateio_snapshot_written_bytes{store="a"} 0x120`, never},
	},
	"StateioLogTooLong": {
		{"a small snapshot", `stateio_log_since_snapshot_bytes{store="a"} 300000000x120`, 30},
		{"a large snapshot", `stateio_log_since_snapshot_bytes{store="a"} 300000000x120
			stateio_snapshot_size_bytes{store="a"} 100000000x120`, never},
		{"a large snapshot, and more log", `stateio_log_since_snapshot_bytes{store="a"} 500000000x120
			stateio_snapshot_size_bytes{store="a"} 100000000x120`, 30},
	},
	"StateioRetentionFailing": {
		{"files are not removed", `stateio_retention_failed{store="a"} 0x19 1x100`, 25},
	},
	"StateioSnapshotDamaged": {
		{"one was refused", `stateio_recovery_refused_snapshots{store="a"} 1x120`, 0},
	},
	"StateioRecoverySlow": {
		{"an hour", `stateio_recovery_duration_seconds{store="a"} 3600x120`, 0},
	},
}

func readRules(t *testing.T, path string) map[string]rulefmt.Rule {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(b, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.Default())
	for _, err := range errs {
		t.Error(err)
	}
	if t.Failed() {
		t.FailNow()
	}
	rules := map[string]rulefmt.Rule{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			rules[r.Alert] = r
		}
	}
	return rules
}

// Each alert fires when it must, not before, and for one store alone; and none fires
// while all is well.
func TestAlertsFireWhenTheyMust(t *testing.T) {
	tryAlerts(t, readRules(t, "../alerts.yml"), steady, trials)
}

// tryAlerts makes the trials of all rules, over a steady state.
func tryAlerts(t *testing.T, rules map[string]rulefmt.Rule, steady string, trials map[string][]trial) {
	t.Helper()
	if got, want := slices.Sorted(maps.Keys(rules)), slices.Sorted(maps.Keys(trials)); !slices.Equal(got, want) {
		t.Fatalf("alerts %q, trials of %q", got, want)
	}
	for alert, tried := range trials {
		for _, tt := range append(tried, trial{"steady", "", never}) {
			t.Run(alert+"/"+tt.name, func(t *testing.T) {
				if got := firesAt(t, rules[alert], with(steady, tt.series)); got != tt.fires {
					t.Errorf("it fires after %d minutes, want %d", got, tt.fires)
				}
			})
		}
	}
}

// with returns the series of base, and those of changes in the place of the ones of the
// same names and labels.
func with(base, changes string) string {
	lines := map[string]string{}
	for line := range strings.Lines(base + "\n" + changes) {
		if name, values, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			lines[name] = "\t" + name + " " + values + "\n"
		}
	}
	all := slices.Collect(maps.Values(lines))
	slices.Sort(all)
	return "load 30s\n" + strings.Join(all, "")
}

// firesAt returns after how many minutes the rule fires for the first time.
func firesAt(t *testing.T, r rulefmt.Rule, series string) int {
	t.Helper()
	storage := promqltest.LoadedStorage(t, series)
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 1e6)
	active := time.Duration(-1)
	for at := time.Duration(0); at < time.Hour; at += 30 * time.Second {
		q, err := engine.NewInstantQuery(t.Context(), storage, nil, r.Expr, time.Unix(0, 0).Add(at))
		if err != nil {
			t.Fatal(err)
		}
		v, err := q.Exec(t.Context()).Vector()
		if err != nil {
			t.Fatal(err)
		}
		n := firing(t, v)
		q.Close()
		switch {
		case n == 0:
			active = -1
		case active < 0:
			active = at
		}
		if n > 0 && at-active >= time.Duration(r.For) {
			return int(at / time.Minute)
		}
	}
	return never
}

// firing returns how many alerts are active: one, for the store or the node, or none.
func firing(t *testing.T, v promql.Vector) int {
	t.Helper()
	if len(v) > 1 || len(v) == 1 && v[0].Metric.Get("store")+v[0].Metric.Get("node") != "a" {
		t.Fatalf("active for %v", v)
	}
	return len(v)
}
