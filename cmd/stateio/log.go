package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/stateio/stateio/inspect"
	"golang.org/x/term"
)

const logHelp = `log prints a line for each entry of the file: its offset, kind, epoch, size in
bytes, and the beginning of its payload. Damaged ranges have lines, too, at their
place among the entries; the exit status is then 1. A torn tail, which the next
append cuts off, is no damage.

The file may be in use. With --json each line is an object, with the fields
offset, end, kind (update or snapshot), epoch, previous (of a snapshot), size and
preview; or offset, end, kind (damage or torn tail), place and reason.

If FILE is a directory, log prints the updates and snapshots of the store in it:
index, kind, size, and the payload or the name of the snapshot's file. It ends
where there is damage. The files of a store are state files, with a header and
tags in them, and can be looked at one by one.`

const logExample = `  stateio log app.state
  stateio log app.state | tail -n 3
  stateio log --json app.state | jq 'select(.kind == "snapshot").size'`

func newLog() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "log FILE|DIR",
		Short:   "Print a line for each entry",
		Long:    logHelp,
		Example: logExample,
		Args:    arguments("FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isDir(args[0]) {
				return runStoreLog(cmd.Context(), args[0], asJSON, cmd.OutOrStdout())
			}
			return runLog(cmd.Context(), args[0], asJSON, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each entry")
	return cmd
}

func runLog(ctx context.Context, path string, asJSON bool, stdout io.Writer) error {
	file, size, err := openRead(path)
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriterSize(stdout, 64<<10)
	var p printer = newText(out, size, columns(stdout))
	if asJSON {
		p = &lines{json.NewEncoder(out)}
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
		}
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return errors.Join(err, out.Flush())
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if damaged > 0 {
		return fmt.Errorf("%s: %w in %s, listed among the entries", path, errDamage, count(damaged, "place"))
	}
	return nil
}

// A printer prints what a log holds.
type printer interface {
	entry(inspect.Entry) error
	damage(*inspect.Damage) error
}

// lines prints JSON objects.
type lines struct{ *json.Encoder }

func (l *lines) entry(e inspect.Entry) error {
	line := struct {
		Offset   int64   `json:"offset"`
		End      int64   `json:"end"`
		Kind     string  `json:"kind"`
		Epoch    uint64  `json:"epoch"`
		Previous *uint64 `json:"previous,omitempty"`
		Size     int64   `json:"size"`
		Preview  string  `json:"preview"`
	}{e.Offset, e.End, e.Kind.String(), e.Epoch, nil, e.Size, string(e.Prefix)}
	if e.Kind == inspect.Snapshot {
		line.Previous = &e.Previous
	}
	return l.Encode(line)
}

func (l *lines) damage(d *inspect.Damage) error {
	return l.Encode(struct {
		Offset int64  `json:"offset"`
		End    int64  `json:"end"`
		Kind   string `json:"kind"`
		Place  string `json:"place"`
		Reason string `json:"reason"`
	}{d.Offset, d.End(), kindOf(d), d.Place.String(), d.Reason})
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
	t.line = append(t.line, d.Reason...)
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
	if file, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			return width
		}
	}
	return 120
}
