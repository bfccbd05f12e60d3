package main

import (
	"bufio"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// resultPrinter prints what became of lines: with --json all of them on
// standard output, otherwise those that were refused on standard error.
type resultPrinter struct {
	json        bool
	out, errOut io.Writer
	buffered    *bufio.Writer
	bar         *progressbar.ProgressBar
}

func newResultPrinter(p *program, json bool, size int64) *resultPrinter {
	r := &resultPrinter{json: json, out: p.stdout, errOut: p.stderr, buffered: bufio.NewWriter(p.stdout)}
	if isTerminal(p.stderr) && (!json || !isTerminal(p.stdout)) {
		r.bar = newBar(p.stderr, size)
	}
	return r
}

// barInterval is the time between two drawings of the bar, at the least.
const barInterval = 100 * time.Millisecond

// newBar returns a bar that is measured in bytes: how many lines a file has is
// not known before. A size of -1 is an input of unknown length.
func newBar(w io.Writer, size int64) *progressbar.ProgressBar {
	return progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(w), progressbar.OptionShowBytes(true),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(barInterval),
		progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth(),
	)
}

// result prints one line's result. It is written out by progress.
func (r *resultPrinter) result(l lineResult) {
	if r.json {
		// A reader of standard output that has gone ends the program by a
		// signal; there is nothing else to do about an error here.
		_ = encodeJSON(r.buffered, l)
		return
	}
	if l.Error == "" {
		return
	}
	if r.bar != nil {
		_ = r.bar.Clear()
	}
	key := ""
	if l.Key != "" {
		key = fmt.Sprintf(" (key %.60q)", l.Key)
	}
	fmt.Fprintf(r.errOut, "line %d%s: %s: %s\n", l.Line, key, l.Status, l.Error)
}

func (r *resultPrinter) progress(bytes, lines int) {
	_ = r.buffered.Flush()
	if r.bar != nil {
		rate := float64(lines) / max(r.bar.State().SecondsSince, 0.1)
		r.bar.Describe(fmt.Sprintf("%d messages, %.0f/s", lines, rate))
		_ = r.bar.Add(bytes)
	}
}

func (r *resultPrinter) summary(counts map[string]int) {
	if r.bar != nil {
		_ = r.bar.Finish()
	}
	w := r.out
	if r.json {
		w = r.errOut
	}
	fmt.Fprintf(w, "%d enqueued, %d duplicates, %d conflicts, %d invalid, %d errors\n",
		counts[lineEnqueued], counts[lineDuplicate], counts[lineConflict], counts[lineInvalid], counts[lineError])
}
