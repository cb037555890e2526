package ruletest

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// Prometheus understands each query of the dashboard.
func TestTheQueriesOfTheDashboard(t *testing.T) {
	b, err := os.ReadFile("../dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*", "$store", ".*")
	p, n := parser.NewParser(parser.Options{}), 0
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			n++
			if _, err := p.ParseExpr(variables.Replace(target.Expr)); err != nil {
				t.Errorf("%s: %s: %v", panel.Title, target.Expr, err)
			}
		}
	}
	if n < 30 {
		t.Errorf("the dashboard has %d queries", n)
	}
}
