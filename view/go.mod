module github.com/stateio/stateio/view

go 1.25.0

require (
	github.com/chromedp/cdproto v0.159.0
	github.com/stateio/stateio v0.1.0
)

require github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect

require (
	github.com/cespare/xxhash/v2 v2.2.0
	github.com/chromedp/chromedp v0.23.0
	golang.org/x/sys v0.17.0 // indirect
)
