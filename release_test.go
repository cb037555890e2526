package stateio_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// tools/tag makes a tag for each module, once what is to be released is committed and in the
// changelog, and has the one that starts the release pushed by itself.
func TestTagsOfARelease(t *testing.T) {
	if _, err := os.Stat(".git"); err != nil {
		t.Skipf("not run: this is not a checkout of git: %v", err)
	}
	for _, name := range []string{"bash", "git"} {
		if _, err := exec.LookPath(name); err != nil || runtime.GOOS == "windows" {
			t.Skipf("there is no %s", name)
		}
	}
	if os.Getenv("GOWORK") == "off" {
		t.Skip("not run: without the workspace this is the root module alone")
	}
	// Where a hook or git rebase -x runs the tests, the environment says which repository that is
	// about: a commit and the tags would go there. The checkout may belong to another user, and
	// whoever runs this may sign commits.
	t.Setenv("GIT_DIR", "/nowhere")
	dir, config := filepath.Join(t.TempDir(), "clone"), filepath.Join(t.TempDir(), "gitconfig")
	if err := os.WriteFile(config, []byte("[gc]\nauto = 0\n[maintenance]\nauto = false\n[safe]\ndirectory = *\n[user]\nname = release\nemail = release@localhost\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	env = append(env, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+config)
	in := func(at, name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir = at
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	git := func(at string, args ...string) string {
		t.Helper()
		out, err := in(at, "git", args...)
		if err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
		return out
	}
	refused := func(why string) {
		t.Helper()
		if out, err := in(dir, "bash", "tools/tag"); err == nil || !strings.Contains(out, why) {
			t.Errorf("tools/tag: %v: %s, and it should say %q", err, out, why)
		}
	}
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	git(".", "clone", "-q", "--no-tags", ".", dir)
	script, err := os.ReadFile("tools/tag") // as it is here
	if err != nil {
		t.Fatal(err)
	}
	write("tools/tag", script)
	git(dir, "add", "-A")
	git(dir, "commit", "-q", "--allow-empty", "-m", "before")

	refused("CHANGELOG.md has no section")
	if out, err := in(dir, "bash", "tools/tag", "v9.0.0"); err == nil || !strings.Contains(out, "unexpected argument v9.0.0") {
		t.Errorf("tools/tag v9.0.0: %v: %s", err, out)
	}
	list, err := in(dir, "bash", "tools/tag", "-list")
	if err != nil {
		t.Fatal(list, err)
	}
	want := strings.Fields(list)
	log, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	write("CHANGELOG.md", bytes.Replace(log, []byte("## [Unreleased]"), []byte("## ["+want[0][1:]+"] - 2026-12-01"), 1))
	refused("not committed")
	git(dir, "commit", "-qam", "the release")
	said, err := in(dir, "bash", "tools/tag")
	if err != nil {
		t.Fatal(said, err)
	}
	got := strings.Fields(git(dir, "tag", "--points-at", "HEAD"))
	modules := 0
	for line := range strings.Lines(git(dir, "ls-files", "--", "go.mod", "*/go.mod")) {
		if !strings.HasPrefix(line, "tools/") && !strings.HasPrefix(line, "prom/ruletest/") { // which nobody gets
			modules++
		}
	}
	if len(got) != modules || len(want) != modules {
		t.Errorf("%d modules have the tags %q, and -list prints %q", modules, got, want)
	}
	if !strings.Contains(said, "\n    git push origin "+want[0]+"\n") || !strings.Contains(said, "\n    git push origin "+strings.Join(want[1:], " ")+"\n") {
		t.Errorf("it says\n%s", said)
	}
	refused("there is a tag " + want[0])
}
