// Package report is what a comparison found: as JSON, and as a page.
package report

import (
	"encoding/json"
	"io"
	"time"
)

// Schema is the version of the JSON. It changes when a field changes its meaning or goes.
const Schema = 1

// A Report is all that one run found. Times are in seconds, sizes in bytes.
type Report struct {
	Schema   int       `json:"schema"`
	Headline string    `json:"headline"` // the first sentence of the page
	Started  time.Time `json:"started"`
	Took     float64   `json:"took_seconds"`
	Quick    bool      `json:"quick"` // the short form, whose figures say little

	Machine  Machine   `json:"machine"`
	Engines  []Engine  `json:"engines"`
	Closed   []Closed  `json:"closed"`
	Open     []Open    `json:"open"`
	Recovery []Recover `json:"recovery"`
	Growth   []Growth  `json:"growth"`
	Snapshot *Snapshot `json:"snapshot,omitempty"`
	Damage   []Damage  `json:"damage"`
	Problems []Problem `json:"problems"`
}

// New returns the report of a run that begins.
func New(started time.Time, quick bool, m Machine) *Report {
	return &Report{
		Schema: Schema, Started: started, Quick: quick, Machine: m,
		Engines: []Engine{}, Closed: []Closed{}, Open: []Open{}, Recovery: []Recover{},
		Growth: []Growth{}, Damage: []Damage{}, Problems: []Problem{},
	}
}

// End notes how long the run took, and sums it up.
func (r *Report) End(took time.Duration) {
	r.Took = took.Seconds()
	r.Headline = r.headline()
}

// A Machine is where it ran.
type Machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Memory     int64  `json:"memory_bytes"`
	System     string `json:"system"`      // and its kernel
	FileSystem string `json:"file_system"` // type, device and options of the mount
	Directory  string `json:"directory"`
	Go         string `json:"go"`
}

// An Engine is what was compared.
type Engine struct {
	Name    string `json:"name"`
	What    string `json:"what"`    // one write, in its own terms
	Kind    string `json:"kind"`    // grouped, serial or one-writer
	Version string `json:"version"` // of its module, and of a server
	Note    string `json:"note"`    // what one must know to judge what it does with damage
	Missing string `json:"missing"` // why it was left out, or empty
}

// A Spread is what several rounds gave.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Closed is how many updates a second were durable when each goroutine makes its next
// update after the last one was durable.
type Closed struct {
	Engine     string  `json:"engine"`
	Size       int     `json:"size"`
	Goroutines int     `json:"goroutines"`
	Rate       Spread  `json:"updates_per_second"`
	Ratio      float64 `json:"store_ratio"` // the store's rate to it, median over the rounds
}

// Open is how long updates took from when they were due, at a fixed rate.
type Open struct {
	Engine string  `json:"engine"`
	Rate   float64 `json:"due_per_second"` // updates a second that were due
	Part   float64 `json:"part"`           // that is which part of what the slowest peer can do
	Size   int     `json:"size"`
	Count  int64   `json:"count"`
	Made   float64 `json:"made_per_second"` // updates a second that were durable
	P50    float64 `json:"p50_seconds"`
	P99    float64 `json:"p99_seconds"`
	P999   float64 `json:"p999_seconds"`
	Max    float64 `json:"max_seconds"`
}

// Recover is how long opening takes, and what many updates need.
type Recover struct {
	Engine     string  `json:"engine"`
	Updates    int     `json:"updates"`
	Size       int     `json:"size"`
	Open       Spread  `json:"open_seconds"`      // until it took updates
	Read       Spread  `json:"read_seconds"`      // until each update was read, too
	Disk       int64   `json:"disk_bytes"`        // bytes of blocks on the disk
	PerByte    float64 `json:"disk_per_byte"`     // disk, by bytes of updates
	FillMemory int64   `json:"fill_memory_bytes"` // at most, of the process that wrote them
	OpenMemory int64   `json:"open_memory_bytes"` // at most, of the process that opened and read
}

// Growth is what the number of updates costs the store.
type Growth struct {
	Updates   int     `json:"updates"`
	Snapshots bool    `json:"snapshots"` // by the default options, or none at all
	Open      float64 `json:"open_seconds"`
	Disk      int64   `json:"disk_bytes"`
}

// Snapshot is the store with a snapshot of that size.
type Snapshot struct {
	Size     int64   `json:"size_bytes"`
	Open     Spread  `json:"open_seconds"`
	QuietP50 float64 `json:"quiet_p50_seconds"` // of an update, without a snapshot
	QuietP99 float64 `json:"quiet_p99_seconds"`
	BusyP50  float64 `json:"busy_p50_seconds"` // while one is written
	BusyP99  float64 `json:"busy_p99_seconds"`
	Longest  float64 `json:"longest_seconds"`
	PlainP99 float64 `json:"plain_p99_seconds"` // of a plain loop that overwrites and syncs
	CopyP99  float64 `json:"copy_p99_seconds"`  // of that loop while a file of this size is copied
	Took     float64 `json:"took_seconds"`
	Memory   int64   `json:"memory_bytes"` // that the snapshot took
}

// Damage is what became of acknowledged updates.
type Damage struct {
	Engine  string  `json:"engine"`
	Kill    Outcome `json:"kill"`
	Torn    Outcome `json:"torn"`
	Flipped Outcome `json:"flipped"`
}

// An Outcome counts trials by how they ended, and updates that are missing.
type Outcome struct {
	File    string `json:"file"`    // that was damaged
	Trials  int    `json:"trials"`  // the sum of the five below
	Whole   int    `json:"whole"`   // opened, with all that must be there
	Refused int    `json:"refused"` // an error from opening or reading said it
	Crashed int    `json:"crashed"` // the process ended itself, or hung
	Lost    int    `json:"lost"`    // opened without an error, and acknowledged updates are missing
	Wrong   int    `json:"wrong"`   // opened without an error, and has what nobody wrote

	Acknowledged int    `json:"acknowledged"`  // updates of all trials
	LostUpdates  int    `json:"lost_updates"`  // missing or changed without an error, in all trials
	WrongUpdates int    `json:"wrong_updates"` // that nobody wrote, without an error
	Sampled      bool   `json:"sampled"`       // not every byte was tried
	Example      string `json:"example"`       // of what an error said
}

// Silent returns how many trials ended without an error and with damage.
func (o Outcome) Silent() int { return o.Lost + o.Wrong }

// A Problem is a measurement that an engine failed. The others went on.
type Problem struct {
	Part   string `json:"part"`
	Engine string `json:"engine"`
	Error  string `json:"error"`
}

// WriteJSON writes r.
func WriteJSON(w io.Writer, r *Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
