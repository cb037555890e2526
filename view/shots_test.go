package view

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/stateio/stateio/store"
)

// TestShots makes the pictures of docs/VIEW.md in the directory that STATEIO_SHOTS names:
// make shots.
func TestShots(t *testing.T) {
	out := os.Getenv("STATEIO_SHOTS")
	if out == "" {
		t.Skip("not run: STATEIO_SHOTS names no directory for the pictures: make shots")
	}
	if findBrowser() == "" {
		t.Fatal("there is no chromium: no pictures were made")
	}
	browser := startBrowser(t)
	t.Chdir(t.TempDir()) // the page shows the paths
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	makeBankFrom(t, "bank", 6000, time.Now().Add(-22*time.Hour))
	makeBank(t, "old-bank", 6000)
	breakFile(t, "old-bank", "00000000000000004000.log", 90_000, 3000)
	stats := busyBank(t, "bank")
	mux.Handle("/sound/", Handler("bank", &Options{Machine: newBank, Stats: stats}))
	mux.Handle("/broken/", Handler("old-bank", &Options{Machine: newBank}))
	shot := func(name, path string, l look, ready string) {
		b := open(browser, t, server.URL+path, l)
		b.wait(settledPage + " && " + ready)
		png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(out, name), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shot("view-damage.png", "/broken/", look{1180, 900, 1, true}, `document.getElementById("verdict").dataset.level === "bad"`)
	shot("view.png", "/sound/", look{1180, 1120, 1, false}, `document.getElementById("rate-chart").dataset.points >= 12`)
	if os.Getenv("STATEIO_SHOTS_ALL") == "" {
		return
	}
	// These are to be looked at, and are not in the documents.
	shot("phone.png", "/sound/", look{390, 3200, 1, false}, `document.getElementById("rate-chart").dataset.points >= 5`)
	shot("block.png", "/broken/#map/00000000000000004000.log/65536-98304", look{1180, 2000, 1, false}, "true")
	shot("range.png", "/broken/#map/00000000000000004000.log/0-205000", look{1180, 1300, 1, true}, "true")
}

// busyBank opens the store of a bank, and makes updates in bursts until the test ends.
func busyBank(t *testing.T, dir string) (stats func() store.Stats) {
	t.Helper()
	s, err := store.Open(dir, newBank(), &store.Options{SnapshotBytes: -1, KeepSnapshots: 9, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	writer.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			<-tick.C
			for range 1 + (n/300)%4 {
				note := fmt.Appendf(nil, `{"from":%q,"to":%q,"amount":%d,"note":"order %d"}`, names[n%16], names[n*7%16], 1+n%400, 7000+n)
				if _, err := s.Submit(note); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	t.Cleanup(func() {
		stop()
		writer.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.Stats
}
