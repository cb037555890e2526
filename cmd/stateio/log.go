package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/inspect"
	"github.com/stateio/stateio/store"
	"golang.org/x/term"
)

const logHelp = `log prints a line for each entry of the file: its offset, kind, epoch, size in
bytes, and the beginning of its payload. Damaged ranges have lines, too, at their
place among the entries; the exit status is then 1. A torn tail, which the next
append cuts off, is no damage.

The file may be in use. With --json each line is an object, with the fields
offset, end, kind (update or snapshot), epoch, previous (of a snapshot), size, preview,
hex (if the payload does not begin with valid UTF-8) and value (the payload, if it is
JSON of up to 1 MiB that readers of JSON take); or offset, end, kind (damage or torn tail), place and reason.

If FILE is a directory, log prints the updates and snapshots of the store in it:
index, time of the commit, kind, size, and the payload or the name of the snapshot's
file. It ends where there is damage. --from and --to say which: by index, or by time
(2006-01-02T15:04:05Z, 2006-01-02 15:04, or -10m for ten minutes ago). A time is in UTC,
as times are printed, unless it has a zone, as in 2006-01-02T15:04:05+01:00. --follow goes
on at the end with what the program that uses the store makes later. The files of a store
are state files, with a header and tags in them, and can be looked at one by one.`

const logExample = `  stateio log app.state
  stateio log app.state | tail -n 3
  stateio log --follow --from -10m /var/lib/app
  stateio log --json app.state | jq 'select(.kind == "snapshot").size'`

func newLog() *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use:     "log FILE|DIR",
		Short:   "Print a line for each update and each snapshot",
		Long:    logHelp,
		Example: logExample,
		Args:    arguments("FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isDir(args[0]) {
				return runStoreLog(cmd.Context(), args[0], o, cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			if o.from != "" || o.to != "" || o.follow {
				if err := forStores(args[0], "--from, --to and --follow are for stores, and %s is no directory"); err != nil {
					return err
				}
			}
			return runLog(cmd.Context(), args[0], o.json, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print a JSON object for each entry")
	f.StringVar(&o.from, "from", "", "begin with the update `INDEX|TIME` (UTC)")
	f.StringVar(&o.to, "to", "", "end with the update `INDEX|TIME` (UTC)")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on with updates that are made later")
	noValues(cmd, "from", "to")
	return cmd
}

// logOptions are the flags of log.
type logOptions struct {
	json, follow bool
	from, to     string
}

// bounds returns the indexes of the first and the last update to print, of a store whose
// first update has that index.
func (o logOptions) bounds(ctx context.Context, dir string, oldest uint64) (first, last uint64, err error) {
	first, last = oldest, math.MaxUint64
	if o.from != "" {
		if at, ok := momentOf(o.from); ok {
			first, err = store.IndexAt(ctx, dir, at.Add(-1))
			first++ // what was made at that time is printed, too
		} else {
			first, _, err = indexOf(ctx, dir, "--from", o.from)
		}
		if err != nil {
			return 0, 0, err
		}
		first = max(first, 1)
	}
	if o.to != "" {
		var at time.Time
		if last, at, err = indexOf(ctx, dir, "--to", o.to); err != nil {
			return 0, 0, err
		}
		if o.follow && at.After(time.Now()) {
			return 0, 0, usageError{fmt.Errorf("--to %s is still to come, and which update is the last one until then nothing tells: give --follow an index, or no --to", o.to)}
		}
	}
	return first, last, o.ordered(dir, first, last)
}

// ordered returns an error if the updates to print end before they begin.
func (o logOptions) ordered(dir string, first, last uint64) error {
	_, fromErr := strconv.ParseUint(o.from, 10, 64)
	toIndex, toErr := strconv.ParseUint(o.to, 10, 64)
	byIndex := fromErr == nil && toErr == nil
	from, isFrom := momentOf(o.from)
	to, isTo := momentOf(o.to)
	switch {
	case toErr == nil && toIndex == 0:
		return usageError{errors.New("--to 0: the first update has index 1")}
	case isFrom && isTo && from.After(to):
		return usageError{fmt.Errorf("--from %s is after --to %s", o.from, o.to)}
	case first <= last, first == last+1 && !byIndex: // nothing was made between two times
		return nil
	case o.from == "":
		return usageError{fmt.Errorf("--to %s is update %d, and the oldest one that %s still has is %d", o.to, last, dir, first)}
	case byIndex:
		return usageError{fmt.Errorf("--from %s is after --to %s", o.from, o.to)}
	}
	return usageError{fmt.Errorf("--from %s, update %d, is after --to %s, update %d", o.from, first, o.to, last)}
}

func runLog(ctx context.Context, path string, asJSON bool, stdout, stderr io.Writer) error {
	file, size, err := openRead(path)
	if err != nil {
		return err
	}
	defer file.Close()
	bar := newProgress(stdout, beside(stdout, stderr), "log "+path, size)
	defer bar.finish()
	out := bufio.NewWriterSize(stdout, 64<<10)
	var p printer = newText(out, size, columns(stdout))
	if asJSON {
		p = &lines{out}
	}
	damaged := 0
	for e, err := range inspect.Entries(file, size) {
		var d *inspect.Damage
		switch {
		case errors.As(err, &d):
			if d.Place != inspect.TornTail {
				damaged++
			}
			err = p.damage(d)
		case err == nil:
			err = p.entry(e)
			bar.at(e.End)
		}
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return errors.Join(err, found(path, damaged), out.Flush())
		}
	}
	if damaged > 0 {
		return errors.Join(found(path, damaged), out.Flush())
	}
	return errors.Join(complete(file, size), out.Flush())
}

// found returns the error for a number of damaged places in the file at path.
func found(path string, damaged int) error {
	if damaged == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w in %s, listed among the entries", path, errDamage, count(damaged, "place"))
}

// A printer prints what a log holds.
type printer interface {
	entry(inspect.Entry) error
	damage(*inspect.Damage) error
}

// lines prints JSON objects.
type lines struct{ w io.Writer }

type entryLine struct {
	Offset   int64   `json:"offset"`
	End      int64   `json:"end"`
	Kind     string  `json:"kind"`
	Epoch    uint64  `json:"epoch"`
	Previous *uint64 `json:"previous,omitempty"`
	jsonPayload
}

type damageLine struct {
	Offset int64  `json:"offset"`
	End    int64  `json:"end"`
	Kind   string `json:"kind"`
	Place  string `json:"place"`
	Reason string `json:"reason"`
}

func (l *lines) entry(e inspect.Entry) error {
	payload, err := l.payload(e)
	if err != nil {
		return err
	}
	line := entryLine{e.Offset, e.End, e.Kind.String(), e.Epoch, nil, payloadOf(payload, e.Size)}
	if e.Kind == inspect.Snapshot {
		line.Previous = &e.Previous
	}
	return writeJSON(l.w, line)
}

// payload returns all of the payload of an entry, if it is short and may be JSON, and
// otherwise how it begins.
func (*lines) payload(e inspect.Entry) ([]byte, error) {
	if e.Size <= int64(len(e.Prefix)) || e.Size > maxValue || !startsAsJSON(e.Prefix) {
		return e.Prefix, nil
	}
	payload := make([]byte, e.Size)
	if _, err := io.ReadFull(e.Payload(), payload); err != nil {
		return nil, fmt.Errorf("reading the entry at offset %d again: %w", e.Offset, err)
	}
	return payload, nil
}

func (l *lines) damage(d *inspect.Damage) error {
	return writeJSON(l.w, damageLine{d.Offset, d.End(), kindOf(d), d.Place.String(), d.Reason})
}

// kindOf returns what damage d is called where entries have their kind.
func kindOf(d *inspect.Damage) string {
	if d.Place == inspect.TornTail {
		return "torn tail"
	}
	return "damage"
}

// text prints a table.
type text struct {
	w     io.Writer
	digit int // the most digits of an offset
	width int // of the preview
	line  []byte
	begun bool
}

func newText(w io.Writer, size int64, columns int) *text {
	t := &text{w: w, digit: max(len("OFFSET"), len(strconv.FormatInt(size, 10)))}
	t.width = max(20, columns-3*t.digit-len("torn tail")-4*2+1)
	return t
}

func (t *text) entry(e inspect.Entry) error {
	t.row(e.Offset, e.Kind.String(), strconv.FormatUint(e.Epoch, 10), e.Size)
	t.line = appendPreview(t.line, e.Prefix, e.Size, t.width)
	return t.flush()
}

func (t *text) damage(d *inspect.Damage) error {
	t.row(d.Offset, kindOf(d), "-", d.Length)
	t.line = append(t.line, escaped(d.Reason)...)
	if d.Place == inspect.Obsolete || d.Place == inspect.Padding {
		t.line = fmt.Appendf(t.line, " (%v: of no consequence for the current state)", d.Place)
	}
	return t.flush()
}

// row begins a line.
func (t *text) row(offset int64, kind, epoch string, size int64) {
	t.line = t.line[:0]
	if !t.begun {
		t.begun = true
		t.line = fmt.Appendf(t.line, "%*s  %-9s %*s  %*s  %s\n", t.digit, "OFFSET", "KIND", t.digit, "EPOCH", t.digit, "SIZE", "PAYLOAD")
	}
	t.line = fmt.Appendf(t.line, "%*d  %-9s %*s  %*d  ", t.digit, offset, kind, t.digit, epoch, t.digit, size)
}

func (t *text) flush() error {
	t.line = append(t.line, '\n')
	_, err := t.w.Write(t.line)
	return err
}

// appendPreview appends the beginning of a payload of size bytes, quoted, in at
// most width columns if every character has one.
func appendPreview(line, prefix []byte, size int64, width int) []byte {
	line = append(line, '"')
	room, shown := width-3, 0 // the quotes, and a sign that there is more
	for shown < len(prefix) {
		if c := prefix[shown]; ' ' <= c && c <= '~' && c != '"' && c != '\\' {
			if room == 0 {
				break
			}
			line = append(line, c)
			room--
			shown++
			continue
		}
		r, n := utf8.DecodeRune(prefix[shown:])
		var quoted []byte
		if r == utf8.RuneError && n == 1 {
			quoted = fmt.Appendf(quoted, `\x%02x`, prefix[shown])
		} else {
			quoted = strconv.AppendQuote(nil, string(r))
			quoted = quoted[1 : len(quoted)-1]
		}
		if utf8.RuneCount(quoted) > room {
			break
		}
		room -= utf8.RuneCount(quoted)
		line = append(line, quoted...)
		shown += n
	}
	line = append(line, '"')
	if int64(shown) < size {
		line = append(line, "…"...)
	}
	return line
}

// columns returns how wide the lines on w may be: as the terminal, or 120.
func columns(w io.Writer) int {
	if file, ok := w.(interface{ Fd() uintptr }); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 { // some don't know
			return width
		}
	}
	return 120
}
