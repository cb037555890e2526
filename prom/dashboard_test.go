package prom_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// A panel is what the tests look at of one of Grafana's.
type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Datasource                struct{ UID string }
	}
	FieldConfig struct {
		Defaults  struct{ Unit string }
		Overrides []struct {
			Matcher struct{ ID, Options string }
		}
	}
}

type dashboard struct {
	UID, Title, Description string
	Panels                  []panel
	Templating              struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
		}
	}
	Annotations struct {
		List []struct{ Name, Expr string }
	}
}

func readDashboard(t *testing.T) *dashboard {
	t.Helper()
	var d dashboard
	check(t, json.Unmarshal([]byte(readFile(t, "dashboard.json")), &d))
	if d.UID == "" || d.Title == "" || d.Description == "" || len(d.Panels) < 20 {
		t.Fatalf("dashboard.json is no whole dashboard: %q with %d panels", d.Title, len(d.Panels))
	}
	return &d
}

// The dashboard shows each metric, and asks for none that is not there.
func TestTheDashboardShowsEachMetric(t *testing.T) {
	d := readDashboard(t)
	shown := map[string]bool{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, name := range checkQuery(t, p.Title, target.Expr) {
				shown[name] = true
			}
			if !strings.Contains(target.Expr, `{job=~"$job",instance=~"$instance",store=~"$store"}`) {
				t.Errorf("%s does not heed the variables: %s", p.Title, target.Expr)
			}
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("%s asks %q, and not the data source that is chosen", p.Title, target.Datasource.UID)
			}
		}
	}
	wantAll(t, "dashboard.json", shown)
}

// The variables of the dashboard and its annotations ask for metrics that are there.
func TestTheVariablesOfTheDashboard(t *testing.T) {
	d := readDashboard(t)
	names := []string{}
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
		if v.Type == "query" && len(metricsIn(t, "variable "+v.Name, string(v.Query))) != 1 {
			t.Errorf("variable %s asks for %s", v.Name, v.Query)
		}
	}
	if want := []string{"datasource", "job", "instance", "store"}; !slices.Equal(names, want) {
		t.Errorf("variables %q, want %q", names, want)
	}
	for _, a := range d.Annotations.List {
		if len(metricsIn(t, "annotation "+a.Name, a.Expr)) != 1 {
			t.Errorf("annotation %s asks for %s", a.Name, a.Expr)
		}
	}
}

// A reader is told what a panel shows, in which unit, and sees each one whole.
func TestThePanelsOfTheDashboard(t *testing.T) {
	seen := map[int]string{}
	cells := map[[2]int]string{}
	for _, p := range readDashboard(t).Panels {
		if p.ID == 0 || seen[p.ID] != "" {
			t.Errorf("%s has the number %d of %q", p.Title, p.ID, seen[p.ID])
		}
		seen[p.ID] = p.Title
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if cells[at] != "" || at[0] >= 24 {
					t.Fatalf("%s lies on %q, or outside, at %v", p.Title, cells[at], at)
				}
				cells[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Description) < 20 || !strings.HasSuffix(p.Description, ".") {
			t.Errorf("%s is not described: %q", p.Title, p.Description)
		}
		if p.FieldConfig.Defaults.Unit == "" && p.Type != "heatmap" {
			t.Errorf("%s has no unit", p.Title)
		}
		checkTargets(t, p)
	}
}

// checkTargets makes sure that lines can be told apart, and that axes belong to one.
func checkTargets(t *testing.T, p panel) {
	t.Helper()
	refs, legends := map[string]bool{}, map[string]bool{}
	for _, target := range p.Targets {
		if refs[target.RefID] || legends[target.LegendFormat] {
			t.Errorf("%s has %s, %q twice", p.Title, target.RefID, target.LegendFormat)
		}
		refs[target.RefID], legends[target.LegendFormat] = true, true
	}
	if len(refs) == 0 {
		t.Errorf("%s shows nothing", p.Title)
	}
	for _, o := range p.FieldConfig.Overrides {
		if o.Matcher.ID != "byFrameRefID" || !refs[o.Matcher.Options] {
			t.Errorf("%s changes the line %q, which it does not have", p.Title, o.Matcher.Options)
		}
	}
}
