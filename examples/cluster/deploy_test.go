package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stateio/stateio/cluster"
	"github.com/stateio/stateio/cluster/testca"
	"github.com/stateio/stateio/store"
)

// A manifest has the fields of Kubernetes' objects that deploy/cluster.yaml uses, and
// no other: a field that is misspelt or misplaced is an error.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   metadata
	Spec       struct {
		ClusterIP                string `yaml:"clusterIP"`
		PublishNotReadyAddresses bool   `yaml:"publishNotReadyAddresses"`
		Ports                    []port
		MinAvailable             int `yaml:"minAvailable"`
		Selector                 map[string]any
		Replicas                 int
		ServiceName              string                `yaml:"serviceName"`
		PodManagementPolicy      string                `yaml:"podManagementPolicy"`
		UpdateStrategy           struct{ Type string } `yaml:"updateStrategy"`
		Template                 struct {
			Metadata metadata
			Spec     podSpec
		}
		VolumeClaimTemplates []struct {
			Metadata metadata
			Spec     struct {
				AccessModes []string `yaml:"accessModes"`
				Resources   struct{ Requests map[string]string }
			}
		} `yaml:"volumeClaimTemplates"`
	}
}

type metadata struct {
	Name   string
	Labels map[string]string
}

type port struct {
	Name          string
	Port          int
	TargetPort    string `yaml:"targetPort"`
	ContainerPort int    `yaml:"containerPort"`
}

type podSpec struct {
	TerminationGracePeriodSeconds int            `yaml:"terminationGracePeriodSeconds"`
	SecurityContext               map[string]any `yaml:"securityContext"`
	Affinity                      struct {
		PodAntiAffinity struct {
			Required []struct {
				TopologyKey   string `yaml:"topologyKey"`
				LabelSelector struct {
					MatchLabels map[string]string `yaml:"matchLabels"`
				} `yaml:"labelSelector"`
			} `yaml:"requiredDuringSchedulingIgnoredDuringExecution"`
		} `yaml:"podAntiAffinity"`
	}
	Containers []struct {
		Name, Image string
		Args        []string
		Env         []struct {
			Name      string
			ValueFrom struct {
				FieldRef struct {
					FieldPath string `yaml:"fieldPath"`
				} `yaml:"fieldRef"`
			} `yaml:"valueFrom"`
		}
		Ports           []port
		StartupProbe    probe          `yaml:"startupProbe"`
		LivenessProbe   probe          `yaml:"livenessProbe"`
		ReadinessProbe  probe          `yaml:"readinessProbe"`
		SecurityContext map[string]any `yaml:"securityContext"`
		VolumeMounts    []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	Volumes []struct {
		Name   string
		Secret struct {
			SecretName string `yaml:"secretName"`
		}
	}
}

type probe struct {
	HTTPGet          struct{ Path, Port string } `yaml:"httpGet"`
	PeriodSeconds    int                         `yaml:"periodSeconds"`
	TimeoutSeconds   int                         `yaml:"timeoutSeconds"`
	FailureThreshold int                         `yaml:"failureThreshold"`
}

// readManifests reads deploy/cluster.yaml, by kind and name.
func readManifests(t *testing.T) map[string]*manifest {
	t.Helper()
	b, err := os.ReadFile("deploy/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*manifest{}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	for {
		m := &manifest{}
		err := d.Decode(m)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found[m.Kind+" "+m.Metadata.Name] = m
	}
}

// TestTheManifestsBelongTogether checks what refers to what.
func TestTheManifestsBelongTogether(t *testing.T) {
	all := readManifests(t)
	set, nodes, clients, budget := all["StatefulSet counter"], all["Service counter-nodes"], all["Service counter"], all["PodDisruptionBudget counter"]
	if set == nil || nodes == nil || clients == nil || budget == nil || len(all) != 4 {
		t.Fatalf("the objects are %v", all)
	}
	pod := set.Spec.Template.Spec
	node := pod.Containers[0]
	ports, mounts := map[string]int{}, map[string]string{}
	for _, p := range node.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for _, m := range node.VolumeMounts {
		mounts[m.Name] = m.MountPath
	}
	label := fmt.Sprint(set.Spec.Template.Metadata.Labels)
	for what, ok := range map[string]bool{
		"the versions of the API":           set.APIVersion == "apps/v1" && nodes.APIVersion == "v1" && budget.APIVersion == "policy/v1",
		"the service of the names":          set.Spec.ServiceName == nodes.Metadata.Name && nodes.Spec.ClusterIP == "None" && nodes.Spec.PublishNotReadyAddresses,
		"the labels":                        label == fmt.Sprint(nodes.Spec.Selector) && label == fmt.Sprint(clients.Spec.Selector) && label == fmt.Sprint(set.Spec.Selector["matchLabels"]) && label == fmt.Sprint(budget.Spec.Selector["matchLabels"]),
		"nodes on computers of their own":   fmt.Sprint(pod.Affinity.PodAntiAffinity.Required[0].LabelSelector.MatchLabels) == label,
		"the ports of the services":         ports[nodes.Spec.Ports[0].TargetPort] == nodes.Spec.Ports[0].Port && ports[clients.Spec.Ports[0].TargetPort] != 0,
		"the ports of the probes":           ports[node.LivenessProbe.HTTPGet.Port] != 0 && ports[node.ReadinessProbe.HTTPGet.Port] != 0,
		"a majority that stays":             budget.Spec.MinAvailable == set.Spec.Replicas/2+1,
		"all at once":                       set.Spec.PodManagementPolicy == "Parallel",
		"the volume of the state":           mounts[set.Spec.VolumeClaimTemplates[0].Metadata.Name] == "/data",
		"the certificates":                  mounts[pod.Volumes[0].Name] == "/tls" && pod.Volumes[0].Secret.SecretName != "",
		"time to hand over":                 pod.TerminationGracePeriodSeconds >= 20,
		"a name for each node":              node.Env[0].Name == "POD" && node.Env[0].ValueFrom.FieldRef.FieldPath == "metadata.name",
		"time to read the state":            node.StartupProbe.HTTPGet == node.LivenessProbe.HTTPGet && node.StartupProbe.FailureThreshold*node.StartupProbe.PeriodSeconds >= 3600,
		"a probe that does not kill slowly": node.LivenessProbe.FailureThreshold*node.LivenessProbe.PeriodSeconds >= 60,
	} {
		if !ok {
			t.Errorf("wrong in deploy/cluster.yaml: %s", what)
		}
	}
}

// TestTheManifestsMakeACluster opens three nodes with the arguments of the pods, on
// other addresses, and asks what the probes ask.
func TestTheManifestsMakeACluster(t *testing.T) {
	set := readManifests(t)["StatefulSet counter"]
	container := set.Spec.Template.Spec.Containers[0]
	if container.Args[0] != nodeCommand {
		t.Fatalf("the arguments are %q", container.Args)
	}
	ca, err := testca.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := freeAddrs(set.Spec.Replicas)
	if err != nil {
		t.Fatal(err)
	}
	var handlers []http.Handler
	var open []*cluster.Node
	for i := range addrs {
		id := fmt.Sprintf("%s-%d", set.Metadata.Name, i)
		files, err := ca.Issue(id, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		replace := []string{"$(POD)", id, "-listen=:7000", "-listen=" + addrs[i], "/data/node", t.TempDir(), "/tls/tls.crt", files.Cert, "/tls/tls.key", files.Key, "/tls/ca.crt", files.CA}
		swap := strings.NewReplacer(replace...)
		names := []string{}
		for k, a := range addrs {
			names = append(names, fmt.Sprintf("%s-%d.%s:7000", set.Metadata.Name, k, set.Spec.ServiceName), a)
		}
		var args []string
		for _, a := range container.Args[1:] {
			args = append(args, strings.NewReplacer(names...).Replace(swap.Replace(a)))
		}
		n, h := openNode(t, args)
		open, handlers = append(open, n), append(handlers, h)
	}
	live, ready := container.LivenessProbe.HTTPGet.Path, container.ReadinessProbe.HTTPGet.Path
	for i, h := range handlers {
		if got := ask(h, live); got != http.StatusOK {
			t.Errorf("node %d answers %s with %d", i, live, got)
		}
		untilReady(t, h, ready)
	}
	for _, n := range open[1:] {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := ask(handlers[0], ready); got != http.StatusServiceUnavailable {
		t.Errorf("a node without a majority answers %s with %d", ready, got)
	}
	if got := ask(handlers[0], live); got != http.StatusOK {
		t.Errorf("a node without a majority answers %s with %d", live, got)
	}
}

// openNode opens a node as the program does with these arguments.
func openNode(t *testing.T, args []string) (*cluster.Node, http.Handler) {
	t.Helper()
	c, err := parseNode(args)
	if err != nil {
		t.Fatal(err)
	}
	if c.TLS, err = cluster.LoadTLS(c.cert, c.key, c.ca); err != nil {
		t.Fatal(err)
	}
	c.Logger = slog.New(slog.DiscardHandler)
	m := newCounter()
	n, err := cluster.Open(c.dir, m, &c.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n, handler(n, m)
}

func ask(h http.Handler, path string) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code
}

func untilReady(t *testing.T, h http.Handler, path string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ask(h, path) != http.StatusOK; { // each waits for a second at most
		if time.Now().After(end) {
			t.Fatal("the node is not ready within a minute")
		}
	}
}

const unitFile = "deploy/stateio-node.service"

// TestTheUnitStartsANode parses the unit, and its command line as the program does.
func TestTheUnitStartsANode(t *testing.T) {
	f, err := os.Open(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unit := map[string]string{}
	section := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case !ok:
			t.Errorf("a line is not KEY=VALUE: %s", line)
		default:
			unit[section+"."+key] = value
		}
	}
	for key, want := range map[string]string{
		"Service.Restart":            "on-failure",
		"Service.StateDirectory":     "stateio",
		"Unit.StartLimitIntervalSec": "0",
		"Install.WantedBy":           "multi-user.target",
	} {
		if unit[key] != want {
			t.Errorf("%s is %q, and should be %q", key, unit[key], want)
		}
	}
	// What does not pass by itself is not tried again every 2 s for ever.
	for err, prevented := range map[error]bool{
		store.ErrCorrupt: true, store.ErrFailed: true, cluster.ErrRemoved: true, cluster.ErrIdentity: true, cluster.ErrOtherCluster: true,
		store.ErrLocked: false, cluster.ErrNoQuorum: false,
	} {
		code := fmt.Sprint(exitCode(fmt.Errorf("opening: %w", err)))
		if (code == unit["Service.RestartPreventExitStatus"]) != prevented {
			t.Errorf("%v: the program ends with %s, and the unit does not start it again after %s", err, code, unit["Service.RestartPreventExitStatus"])
		}
	}
	env := map[string]string{"ID": "a", "LISTEN": "10.0.0.1:7000", "PAGE": "10.0.0.1:8080", "MEMBERS": "a=10.0.0.1:7000,b=10.0.0.2:7000,c=10.0.0.3:7000"}
	args := strings.Fields(os.Expand(unit["Service.ExecStart"], func(name string) string { return env[name] }))
	c, err := parseNode(args[2:])
	if err != nil || args[1] != nodeCommand {
		t.Fatal(args, err)
	}
	if c.ID != "a" || c.Listen != "10.0.0.1:7000" || len(c.Members) != 3 || c.page == "" || c.cert == "" || c.key == "" || c.ca == "" {
		t.Errorf("the node is %+v", c)
	}
	if state := "/var/lib/" + unit["Service.StateDirectory"]; filepath.Dir(c.dir) != state {
		t.Errorf("the directory is %s, and systemd makes %s", c.dir, state)
	}
}

// TestSystemdTakesTheUnit asks systemd, where there is one.
func TestSystemdTakesTheUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze")
	}
	b, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	// In place of the program there is another one that can be executed.
	path := filepath.Join(t.TempDir(), filepath.Base(unitFile))
	if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte("/usr/local/bin/cluster"), []byte(analyze)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, analyze, "verify", "--man=no", path).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte(filepath.Base(unitFile))) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
