package prom

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stateio/stateio/store"
)

// A reading is all that is known of a store at a moment.
type reading struct {
	store.Stats
	store.Recovery
}

// A figure is a metric with one value.
type figure struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*reading) float64
	known func(*reading) bool // nil: always; if not, there is no such metric
}

// metric returns the metric of the store of that name, nil if it is not known.
func (f *figure) metric(r *reading, name string) prometheus.Metric {
	if f.known != nil && !f.known(r) {
		return nil
	}
	return prometheus.MustNewConstMetric(f.desc, f.kind, f.value(r), name)
}

func desc(name, help string, constant prometheus.Labels) *prometheus.Desc {
	return prometheus.NewDesc("stateio_"+name, help, []string{"store"}, constant)
}

func counter(name, help string, value func(*reading) float64) figure {
	return figure{desc(name, help, nil), prometheus.CounterValue, value, nil}
}

func gauge(name, help string, value func(*reading) float64) figure {
	return figure{desc(name, help, nil), prometheus.GaugeValue, value, nil}
}

// when returns f without a value where known reports false.
func (f figure) when(known func(*reading) bool) figure {
	f.known = known
	return f
}

const refusedHelp = "Updates that were refused: by Apply of the machine (reason apply), or because the disk was full (reason no_space)."

// refused counts updates that were refused for a reason.
func refused(reason string, value func(*reading) float64) figure {
	return figure{
		desc("updates_refused_total", refusedHelp, prometheus.Labels{"reason": reason}),
		prometheus.CounterValue, value, nil,
	}
}

// figures are all metrics but the histograms.
var figures = []figure{
	counter("updates_total", "Updates made durable.",
		func(r *reading) float64 { return float64(r.Stats.Updates) }),
	refused("apply", func(r *reading) float64 { return float64(r.UpdateErrors) }),
	refused("no_space", func(r *reading) float64 { return float64(r.NoSpace) }),
	counter("commits_total", "Commits made: one write and one sync of the log each.",
		func(r *reading) float64 { return float64(r.Batches) }),
	counter("log_written_bytes_total", "Bytes written to the log by commits.",
		func(r *reading) float64 { return float64(r.Stats.Bytes) }),
	gauge("applied_index", "Index of the last update applied.",
		func(r *reading) float64 { return float64(r.Stats.Index) }),
	gauge("durable_index", "Index of the last update that is durable.",
		func(r *reading) float64 { return float64(r.Durable) }),
	gauge("queued_updates", "Updates that wait to be applied.",
		func(r *reading) float64 { return float64(r.Queued) }),
	gauge("pending_bytes", "Bytes of updates that are applied and not durable yet.",
		func(r *reading) float64 { return float64(r.Pending) }),
	gauge("largest_commit_updates", "Updates in the largest commit since the store was opened.",
		func(r *reading) float64 { return float64(r.LargestBatch) }),
	gauge("longest_commit_seconds", "Duration of the longest commit since the store was opened.",
		func(r *reading) float64 { return r.Commits.Max.Seconds() }),
	gauge("followers", "Sequences of updates that are being followed in this process.",
		func(r *reading) float64 { return float64(r.Followers) }),
	gauge("disk_bytes", "Length of all logs and snapshots, with the space set aside for the log.",
		func(r *reading) float64 { return float64(r.DiskBytes) }),
	gauge("waiting_for_space", "1 while a commit waits for disk space, 0 otherwise.",
		func(r *reading) float64 { return one(r.SpaceError != nil) }),
	gauge("failed", "1 if the store has failed and takes no more updates, 0 otherwise.",
		func(r *reading) float64 { return one(errors.Is(r.Err, store.ErrFailed)) }),

	counter("snapshots_total", "Snapshots made.",
		func(r *reading) float64 { return float64(r.Snapshots) }),
	counter("snapshot_failures_total", "Snapshots that could not be made.",
		func(r *reading) float64 { return float64(r.SnapshotsFailed) }),
	gauge("snapshot_failed", "1 if the last snapshot could not be made, 0 otherwise.",
		func(r *reading) float64 { return one(r.SnapshotError != nil) }),
	gauge("snapshot_timestamp_seconds", "When the newest snapshot was made, in seconds since 1970; absent if there is none.",
		func(r *reading) float64 { return float64(r.SnapshotTime.UnixMilli()) / 1000 },
	).when(func(r *reading) bool { return !r.SnapshotTime.IsZero() }),
	gauge("snapshot_duration_seconds", "How long it took to make the last snapshot; absent if none was made since the store was opened.",
		func(r *reading) float64 { return r.SnapshotTook.Seconds() },
	).when(func(r *reading) bool { return r.Snapshots > 0 }),
	gauge("snapshot_index", "Index of the newest snapshot, 0 if there is none.",
		func(r *reading) float64 { return float64(r.Stats.SnapshotIndex) }),
	gauge("snapshot_size_bytes", "Size of the newest snapshot, 0 if there is none.",
		func(r *reading) float64 { return float64(r.SnapshotBytes) }),
	gauge("snapshot_running", "1 while a snapshot is being made, 0 otherwise.",
		func(r *reading) float64 { return one(r.SnapshotRunning) }),
	gauge("snapshot_written_bytes", "Bytes written of the snapshot that is being made, 0 if none is.",
		func(r *reading) float64 { return float64(r.SnapshotWritten) }),
	gauge("log_since_snapshot_bytes", "Bytes of log after the newest snapshot: what the next start replays.",
		func(r *reading) float64 { return float64(r.SinceSnapshot) }),
	gauge("retention_failed", "1 if files that the newest snapshot made superfluous could not be removed, 0 otherwise.",
		func(r *reading) float64 { return one(r.RetainError != nil) }),

	gauge("recovery_duration_seconds", "How long it took to open the store and recover its state.",
		func(r *reading) float64 { return r.Took.Seconds() }),
	gauge("recovery_read_bytes", "Bytes that were read to recover the state.",
		func(r *reading) float64 { return float64(r.Recovery.Bytes) }),
	gauge("recovery_replayed_updates", "Updates that were replayed to recover the state.",
		func(r *reading) float64 { return float64(r.Recovery.Updates) }),
	gauge("recovery_torn_bytes", "Bytes of an unfinished commit that were cut off the log when the store was opened.",
		func(r *reading) float64 { return float64(r.TornBytes) }),
	gauge("recovery_refused_snapshots", "Damaged snapshots that were found when the store was opened, and passed over.",
		func(r *reading) float64 { return float64(len(r.Refused)) }),
}

// durations are the metrics that are histograms.
var durations = []duration{
	{
		desc("commit_duration_seconds", "How long commits took: one write and one sync of the log each.", nil),
		func(r *reading) *store.Histogram { return &r.Commits },
	},
	{
		desc("update_wait_seconds", "How long updates took from the call until they were durable; one update of each commit is timed, about the one that waited longest.", nil),
		func(r *reading) *store.Histogram { return &r.UpdateWaits },
	},
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
