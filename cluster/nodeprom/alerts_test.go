package nodeprom_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v2"
)

// A rule is an alerting rule as Prometheus reads it.
type rule struct {
	Alert       string
	Expr        string
	For         model.Duration
	Labels      map[string]string
	Annotations map[string]string
}

func readRules(t *testing.T) (rules []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	check(t, yaml.UnmarshalStrict([]byte(readFile(t, "alerts.yml")), &file))
	for _, g := range file.Groups {
		rules = append(rules, g.Rules...)
	}
	if len(rules) < 9 {
		t.Fatalf("alerts.yml has %d rules", len(rules))
	}
	return rules
}

// Each rule asks for metrics that are there, and says what is wrong, with which node.
func TestAlertsAskForMetricsThatAreThere(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range readRules(t) {
		checkQuery(t, r.Alert, r.Expr)
		if seen[r.Alert] || !regexp.MustCompile(`^StateioNode[A-Z]\w+$`).MatchString(r.Alert) {
			t.Errorf("alert %q is there twice, or has a name unlike the others", r.Alert)
		}
		seen[r.Alert] = true
		switch r.Labels["severity"] {
		case "critical", "warning", "info":
		default:
			t.Errorf("%s has the severity %q", r.Alert, r.Labels["severity"])
		}
		s := r.Annotations["summary"]
		for _, label := range []string{"node", "instance"} {
			if !strings.Contains(s, "{{ $labels."+label+" }}") {
				t.Errorf("%s does not say of which node: %q", r.Alert, s)
			}
		}
		if strings.Contains(r.Expr, "_member_") && !strings.Contains(s, "{{ $labels.member }}") {
			t.Errorf("%s does not say which member: %q", r.Alert, s)
		}
		if len(r.Annotations["description"]) < 20 {
			t.Errorf("%s is not described: %q", r.Alert, r.Annotations["description"])
		}
	}
}

// docs/CLUSTER.md has a heading for each alert, and for nothing that is none, and the
// alert leads there. Each says what the alert means and what to do first.
func TestEachAlertHasARunbook(t *testing.T) {
	headings := map[string]string{}
	for i, section := range strings.Split(readFile(t, "../../docs/CLUSTER.md"), "\n### ") {
		name, text, _ := strings.Cut(section, "\n")
		if i > 0 && strings.HasPrefix(name, "Stateio") {
			text, _, _ = strings.Cut(text, "\n## ")
			headings[name] = text
		}
	}
	for _, r := range readRules(t) {
		text := headings[r.Alert]
		delete(headings, r.Alert)
		for _, part := range []string{"\n*Means:* ", "\n*First:* ", "\n*Then:* "} {
			if !strings.Contains(text, part) {
				t.Errorf("docs/CLUSTER.md has no %q under a heading %s", strings.TrimSpace(part), r.Alert)
			}
		}
		want := "https://github.com/stateio/stateio/blob/main/docs/CLUSTER.md#" + strings.ToLower(r.Alert)
		if got := r.Annotations["runbook_url"]; got != want {
			t.Errorf("%s leads to %q, want %q", r.Alert, got, want)
		}
	}
	for name := range headings {
		t.Errorf("docs/CLUSTER.md has a heading %s, which is no alert", name)
	}
}
