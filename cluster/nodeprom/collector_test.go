package nodeprom_test

import (
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/cluster/nodeprom"
	"github.com/stateio/stateio/store"
)

// full is a reading in which every figure is there, and has a value of its own.
func full() *fixed {
	return &fixed{
		cluster.Stats{
			Index: 101, Applied: 102, Commit: 103, Lag: 104, Updates: 105, UpdateErrors: 106,
			Duplicates: 107, Entries: 108, Retries: 109, Forwarded: 110, Pending: 111, Waiting: 112,
			Keys: 113, Sessions: 114, Snapshots: 115, SnapshotsFailed: 116, SnapshotError: errEmpty,
			SnapshotBytes: 117, SnapshotTook: 118 * time.Second, SinceSnapshot: 119, Restores: 120,
		},
		cluster.Status{
			ID: "a", Cluster: "0f1e", Leader: "a", Term: 121, FailoverGap: 122 * time.Second,
			Members: []cluster.MemberStatus{
				{Member: cluster.Member{ID: "a", Addr: "a:1"}, Voter: true, Leader: true, Up: true, Applied: 123},
				{Member: cluster.Member{ID: "b", Addr: "b:1"}, Up: true, Stalled: true, Applied: 124, Lag: 125},
				{Member: cluster.Member{ID: "c", Addr: "c:1"}, Voter: true, Err: errEmpty, Lag: 126},
			},
		},
	}
}

// Each metric shows the figure that it is named for. What is not known of a member that
// does not answer is not shown, rather than as zero.
func TestEachMetricShowsItsFigure(t *testing.T) {
	const want = `
info{cluster=0f1e,id=a} 1
down 0
failed 0
removed 0
stalled 0
has_leader 1
leads 1
term 121
failover_gap_seconds 122
applied_index 101
raft_applied_index 102
raft_commit_index 103
lag_entries 104
updates_total 105
updates_refused_total 106
duplicates_total 107
entries_total 108
retries_total 109
forwarded_total 110
pending_bytes 111
waiting_updates 112
keys 113
sessions 114
snapshots_total 115
snapshot_failures_total 116
snapshot_failed 1
snapshot_size_bytes 117
snapshot_duration_seconds 118
log_since_snapshot_bytes 119
restores_total 120
member_info{addr=a:1,member=a} 1
member_info{addr=b:1,member=b} 1
member_info{addr=c:1,member=c} 1
member_up{member=a} 1
member_up{member=b} 1
member_up{member=c} 0
member_voter{member=a} 1
member_voter{member=b} 0
member_voter{member=c} 1
member_leader{member=a} 1
member_leader{member=b} 0
member_leader{member=c} 0
member_stalled{member=a} 0
member_stalled{member=b} 1
member_raft_applied_index{member=a} 123
member_raft_applied_index{member=b} 124
member_lag_entries{member=a} 0
member_lag_entries{member=b} 125
`
	got := values(gather(t, full()))
	for line := range strings.SplitSeq(strings.TrimSpace(want), "\n") {
		if i := slices.Index(got, "stateio_node_"+line); i < 0 {
			t.Errorf("there is no stateio_node_%s", line)
		} else {
			got = slices.Delete(got, i, i+1)
		}
	}
	if len(got) > 0 {
		t.Errorf("there is more: %q", got)
	}
}

// A node that has failed, or was closed, does not go on when its disk does: it is down.
func TestANodeThatHasFailedIsNotStalled(t *testing.T) {
	for _, err := range []error{store.ErrFailed, store.ErrClosed, cluster.ErrStalled} {
		f := full()
		f.status.Stalled, f.stats.Err = true, fmt.Errorf("no updates: %w", err)
		want := "stateio_node_stalled 0"
		if errors.Is(err, cluster.ErrStalled) {
			want = "stateio_node_stalled 1"
		}
		if got := values(gather(t, f)); !slices.Contains(got, want) || !slices.Contains(got, "stateio_node_down 1") {
			t.Errorf("%v: %q", err, got)
		}
	}
}

// A field that Stats, Status or MemberStatus has shows in the metrics: one that is added
// there needs a metric here.
func TestEachFieldIsShown(t *testing.T) {
	reading := func() *fixed {
		return &fixed{
			cluster.Stats{Snapshots: 1},
			cluster.Status{Members: []cluster.MemberStatus{{Member: cluster.Member{ID: "a"}, Up: true}}},
		}
	}
	base := values(gather(t, reading()))
	for what, of := range map[string]func(*fixed) any{
		"Stats":        func(f *fixed) any { return &f.stats },
		"Status":       func(f *fixed) any { return &f.status },
		"MemberStatus": func(f *fixed) any { return &f.status.Members[0] },
	} {
		for _, field := range reflect.VisibleFields(reflect.TypeOf(of(reading())).Elem()) {
			f := reading()
			v := reflect.ValueOf(of(f)).Elem().FieldByIndex(field.Index)
			switch {
			case what == "MemberStatus" && field.Name == "Err":
				continue // Up shows that there is one
			case field.Anonymous:
				continue // its fields follow
			case v.Kind() == reflect.Slice:
				v.SetLen(0)
			case v.Kind() == reflect.Bool:
				v.SetBool(!v.Bool())
			case v.Kind() == reflect.String:
				v.SetString("other")
			case v.Kind() == reflect.Interface:
				v.Set(reflect.ValueOf(errEmpty))
			case v.CanInt():
				v.SetInt(1e9)
			default:
				v.SetUint(1e9)
			}
			if slices.Equal(values(gather(t, f)), base) {
				t.Errorf("no metric shows %s.%s", what, field.Name)
			}
		}
	}
}

// Errors of the node are ones in metrics.
func TestMetricsOfErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string // figures that are 1, of down, failed and removed
	}{
		{nil, ""},
		{errEmpty, "down "},
		{store.ErrClosed, "down "},
		{cluster.ErrStalled, "down "},
		{errors.Join(errEmpty, store.ErrFailed), "down failed "},
		{errors.Join(errEmpty, cluster.ErrRemoved), "down removed "},
	} {
		lines := values(gather(t, &fixed{stats: cluster.Stats{Err: tt.err}}))
		got := ""
		for _, name := range []string{"down", "failed", "removed"} {
			if slices.Contains(lines, "stateio_node_"+name+" 1") {
				got += name + " "
			}
		}
		if got != tt.want {
			t.Errorf("of %v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

// What is not known is not shown, rather than as zero, and a node that has not begun shows
// that it leads nobody.
func TestANodeThatHasNotBegun(t *testing.T) {
	found := gather(t, &fixed{})
	for _, name := range []string{"failover_gap_seconds", "snapshot_duration_seconds", "member_up"} {
		if m := found["stateio_node_"+name]; m != nil {
			t.Errorf("there is %v", m)
		}
	}
	got := values(found)
	for _, want := range []string{"info{cluster=,id=} 1", "has_leader 0", "leads 0", "snapshot_failed 0"} {
		if !slices.Contains(got, "stateio_node_"+want) {
			t.Errorf("there is no %s in %q", want, got)
		}
	}
}

// An address that is no UTF-8 spoils no scrape.
func TestAnAddressThatIsNoText(t *testing.T) {
	got := values(gather(t, &fixed{status: cluster.Status{Members: []cluster.MemberStatus{{Member: cluster.Member{ID: "b\xff", Addr: "\xff:1"}}}}}))
	if want := "stateio_node_member_info{addr=\uFFFD:1,member=b\uFFFD} 1"; !slices.Contains(got, want) {
		t.Errorf("there is no %s in %q", want, got)
	}
}

// scrape returns a function that returns what Prometheus reads of c.
func scrape(t *testing.T, c *nodeprom.Collector) func() string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	check(t, r.Register(c))
	h := promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError})
	return func() string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
		return w.Body.String()
	}
}

func wantLines(t *testing.T, got string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(got, "\n"+line+"\n") {
			t.Errorf("there is no %s in\n%s", line, got)
		}
	}
}

// The metrics of a node that is used, and of one that was closed, as Prometheus reads
// them.
func TestMetricsOfANode(t *testing.T) {
	n := alone(t)
	for _, u := range []string{"one", "two", ""} {
		if _, err := n.Update(t.Context(), []byte(u)); err != nil && u != "" {
			t.Fatal(err)
		}
	}
	check(t, n.Snapshot(t.Context()))
	c := nodeprom.NewCollector()
	check(t, c.Add("used", n))
	read := scrape(t, c)
	wantLines(t, read(),
		`stateio_node_info{cluster="`+n.Status().Cluster+`",id="a",node="used"} 1`,
		`stateio_node_applied_index{node="used"} 2`,
		`stateio_node_updates_total{node="used"} 2`,
		`stateio_node_updates_refused_total{node="used"} 1`,
		`stateio_node_snapshots_total{node="used"} 1`,
		`stateio_node_down{node="used"} 0`,
		`stateio_node_leads{node="used"} 1`,
		`stateio_node_member_up{member="a",node="used"} 1`,
		`stateio_node_member_voter{member="a",node="used"} 1`,
		`stateio_node_member_leader{member="a",node="used"} 1`,
		`# TYPE stateio_node_updates_total counter`)

	check(t, n.Close())
	closed := read()
	wantLines(t, closed,
		`stateio_node_down{node="used"} 1`,
		`stateio_node_failed{node="used"} 0`,
		`stateio_node_has_leader{node="used"} 0`,
		`stateio_node_leads{node="used"} 0`,
		`stateio_node_updates_total{node="used"} 2`)
	if strings.Contains(closed, "stateio_node_member") {
		t.Errorf("a node that was closed knows members:\n%s", closed)
	}
	c.Remove("used")
	if got := read(); got != "" {
		t.Errorf("after Remove there is\n%s", got)
	}
}

// A member that takes connections and never answers, as one that hangs, does not hold a
// scrape up for longer than a heartbeat. The limit here is that of a busy machine.
func TestAMemberThatIsSilentHoldsNoScrapeUp(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer silent.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	address := free.Addr().String()
	check(t, free.Close())
	n := open(t, &cluster.Options{
		ID: "a", Listen: address, Heartbeat: 100 * time.Millisecond,
		Members: []cluster.Member{{ID: "a", Addr: address}, {ID: "b", Addr: silent.Addr().String()}},
	})
	c := nodeprom.NewCollector()
	check(t, c.Add("a", n))
	start := time.Now()
	got := scrape(t, c)()
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("a scrape took %v", took)
	}
	wantLines(t, got,
		`stateio_node_has_leader{node="a"} 0`,
		`stateio_node_member_up{member="a",node="a"} 1`,
		`stateio_node_member_up{member="b",node="a"} 0`)
}

// together is a source that answers once all of some number are asked.
type together struct {
	fixed
	asked *sync.WaitGroup
}

func (f *together) Status() cluster.Status {
	f.asked.Done()
	f.asked.Wait()
	return f.status
}

// The nodes of a Collector are read at the same time: their waits do not add up.
func TestNodesAreReadAtTheSameTime(t *testing.T) {
	var asked sync.WaitGroup
	asked.Add(3)
	c := nodeprom.NewCollector()
	for i := range 3 {
		check(t, c.Add(number(float64(i)), &together{asked: &asked}))
	}
	if n := testutil.CollectAndCount(c, "stateio_node_term"); n != 3 {
		t.Errorf("%d nodes are shown", n)
	}
}

// Names, units and help are what Prometheus recommends.
func TestMetricsFollowTheConventions(t *testing.T) {
	c := nodeprom.NewCollector()
	check(t, c.Add("one", full()))
	problems, err := testutil.CollectAndLint(c)
	check(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// One collector serves many nodes, which come and go while it is read.
func TestManyNodes(t *testing.T) {
	c := nodeprom.NewCollector()
	for i := range 3 {
		check(t, c.Add(number(float64(i)), &fixed{stats: cluster.Stats{Updates: uint64(i)}}))
	}
	m := gatherAll(t, c)["stateio_node_updates_total"].Metric
	for i := range 3 {
		if len(m) != 3 || m[i].Label[0].GetValue() != number(float64(i)) || m[i].Counter.GetValue() != float64(i) {
			t.Fatalf("of three nodes: %v", m)
		}
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := "more" + number(float64(i))
			for range 50 {
				if err := c.Add(name, &fixed{}); err != nil {
					t.Error(err)
				}
				if n := testutil.CollectAndCount(c, "stateio_node_updates_total"); n < 4 || n > 11 {
					t.Errorf("%d nodes are shown", n)
				}
				c.Remove(name)
			}
		})
	}
	wg.Wait()
}

// A node is read while it is used, and while it is closed.
func TestANodeIsReadWhileItIsUsedAndClosed(t *testing.T) {
	n := alone(t)
	c := nodeprom.NewCollector()
	check(t, c.Add("a", n))
	var wg sync.WaitGroup
	closed := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				last := false
				select {
				case <-closed:
					last = true
				default:
				}
				if got := testutil.CollectAndCount(c, "stateio_node_down"); got != 1 {
					t.Errorf("%d nodes are shown", got)
				}
				if last {
					return
				}
			}
		})
	}
	for range 20 {
		_, err := n.Update(t.Context(), []byte("x"))
		check(t, err)
	}
	check(t, n.Close())
	close(closed)
	wg.Wait()
}

func TestAddRefuses(t *testing.T) {
	c := nodeprom.NewCollector()
	check(t, c.Add("one", &fixed{}))
	if err := c.Add("one", &fixed{}); !errors.Is(err, nodeprom.ErrDuplicate) {
		t.Errorf("adding a node twice: %v", err)
	}
	for _, name := range []string{"", "\xff"} {
		if err := c.Add(name, &fixed{}); err == nil || errors.Is(err, nodeprom.ErrDuplicate) {
			t.Errorf("adding a node as %q: %v", name, err)
		}
	}
	if c.Add("two", nil) == nil {
		t.Error("nil was added as a node")
	}
	var none *cluster.Node
	if c.Add("two", none) == nil {
		t.Error("a nil node was added")
	}
	c.Remove("one")
	c.Remove("never there")
	check(t, c.Add("one", &fixed{}))
}

func TestTheZeroCollectorIsEmpty(t *testing.T) {
	var c nodeprom.Collector
	c.Remove("one")
	if n := testutil.CollectAndCount(&c); n != 0 {
		t.Errorf("it has %d metrics", n)
	}
	check(t, c.Add("one", full()))
	if got := gatherAll(t, &c); len(got) == 0 {
		t.Error("the node that was added has no metrics")
	}
}
