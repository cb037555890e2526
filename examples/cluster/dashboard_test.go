package main

import (
	"io"
	"testing"
	"time"

	"github.com/stateio/stateio/internal/headless"
)

// The page in a real browser: its buttons do what they say, it tells when the program has ended, and
// goes on when another one answers at its address, whose counters begin at zero.
func TestThePageInABrowser(t *testing.T) {
	b := headless.Start(t, 1100, 900)
	f, l := loadedFleet(t)
	d := &dashboard{f: f, l: l, out: io.Discard}
	addrs, err := freeAddrs(1, append(f.addrs, f.pages...)...)
	if err != nil {
		t.Fatal(err)
	}
	url, closePage, err := d.open(addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	b.Open(url)
	b.Until(`before.Acked > 0 && rows.length === 3 && rates.length > 0`)
	const state = `rows[0].cells[1].textContent`
	b.Until(`!rows[0].kill.disabled`)
	b.JS(`rows[0].kill.click()`)
	b.Until(state + ` === "down" && !rows[0].start.disabled && /n1 is killed/.test(document.getElementById("said").textContent)`)
	b.JS(`rows[0].start.click()`)
	b.Until(state + ` === "follows" || ` + state + ` === "leads"`)

	closePage()
	b.Until(`!document.getElementById("gone").hidden && [...document.querySelectorAll("button")].every(b => b.disabled)`)
	b.JS(`window.least = 0, setInterval(() => { least = Math.min(least, ...rates); }, 10)`)
	page := b.JS(`rows[0].link.href`)
	other := &fleet{pages: []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}} // whose nodes are down
	l = &load{f: other, began: time.Now()}
	_, closePage, err = (&dashboard{f: other, l: l, out: io.Discard}).open(addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer closePage()
	b.Until(`document.getElementById("gone").hidden && before.Acked === 0 && rates.length > 0`)
	if least := b.JS(`least`); least != "0" {
		t.Errorf("the page has shown %s additions a second", least)
	}
	if now := b.JS(`rows[0].link.href`); now == page || now != "http://127.0.0.1:1/" {
		t.Errorf("the link to a node leads to %s, and led to %s before", now, page)
	}
	for _, fault := range b.Faults() {
		t.Errorf("the browser complains: %s", fault)
	}
}
