package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A binary is the test binary of a package that judges mutants.
type binary struct {
	path string
	dir  string // where its tests run
	pkg  string // its pattern, for messages
}

// overlay writes the mutated files to dir, and what go build -overlay needs to
// find them. It returns the name of the latter.
func (p *plant) overlay(dir string) (string, error) {
	replace := map[string]string{}
	put := func(name string, text []byte) error {
		replace[name] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		return os.WriteFile(replace[name], text, 0o600)
	}
	if err := put(filepath.Join(p.dir, "mutant_switches.go"), switches(p.pkg.Name(), len(p.mutants))); err != nil {
		return "", err
	}
	for f, sites := range p.sites {
		if err := put(f.name, []byte(render(f, 0, len(f.text), sites))); err != nil {
			return "", err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, text, 0o600)
}

// build compiles the tests of the package that pattern names, with the
// mutants, into dir.
func build(ctx context.Context, root, overlay, dir, pattern string) (*binary, error) {
	listed, err := list(root, pattern)
	if err != nil {
		return nil, err
	}
	b := &binary{pkg: pattern, dir: listed[len(listed)-1].Dir}
	b.path = filepath.Join(dir, strings.NewReplacer("/", "_", ".", "_").Replace(pattern)+".test")
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", b.path, pattern)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the tests of %s: %w\n%s", pattern, err, out)
	}
	return b, nil
}
