package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

type enqueueCommand struct {
	redisOptions `embed:""`

	File string `arg:"" optional:"" help:"File of messages, one JSON object a line. Standard input if it is left out or '-'."`
	JSON bool   `name:"json" help:"Print each line's result as a JSON object."`
}

// The results of a line.
const (
	lineEnqueued  = string(enqueue.Enqueued)
	lineDuplicate = string(enqueue.Duplicate)
	lineConflict  = "conflict"
	lineInvalid   = "invalid"
	lineError     = "error"
)

// lineResult is what --json prints.
type lineResult struct {
	Line   int    `json:"line"`
	Key    string `json:"key,omitempty"`
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
}

func (c *enqueueCommand) Run(ctx context.Context, p *program) error {
	in, size, err := c.open(p)
	if err != nil {
		return err
	}
	defer in.Close()
	conn, err := c.connect(ctx, 0)
	if err != nil {
		return err
	}
	defer conn.close()
	producer, err := c.producer(conn)
	if err != nil {
		return err
	}
	e := &enqueuer{producer: producer, counts: map[string]int{}}
	e.printer = newResultPrinter(p, c.JSON, size)
	if err := e.run(ctx, in); err != nil {
		return err
	}
	e.printer.summary(e.counts)
	if e.counts[lineEnqueued]+e.counts[lineDuplicate] < e.total {
		return &exitError{status: exitFailed}
	}
	return nil
}

func (c *enqueueCommand) open(p *program) (io.ReadCloser, int64, error) {
	if c.File == "" || c.File == "-" {
		return io.NopCloser(p.stdin), -1, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, 0, &exitError{exitUsage, err}
	}
	size := int64(-1)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return f, size, nil
}

const (
	// A batch takes the lines that are there, up to these bounds, and does not
	// wait for more: a line is in Redis as soon as it was read.
	batchLines = 1000
	batchBytes = 4 << 20
	// maxLine bounds what a line may take in memory. The longest message with
	// everything else in a line is shorter.
	maxLine = 2 * intercom.MaxMessageBytes
)

// inputLine is a line as it was read.
type inputLine struct {
	number int
	text   []byte
	size   int // bytes of input, also where text was cut
}

func (l inputLine) tooLong() bool { return l.size > maxLine }

// enqueuer takes lines to Redis.
type enqueuer struct {
	producer *enqueue.Client
	printer  *resultPrinter
	counts   map[string]int
	total    int
}

func (e *enqueuer) run(ctx context.Context, in io.Reader) error {
	lines := make(chan inputLine, batchLines)
	readErr := make(chan error, 1)
	// The reader may be stuck in a read of standard input when ctx ends;
	// nothing can end that but the process.
	go func() {
		readErr <- readLines(in, func(l inputLine) bool {
			select {
			case lines <- l:
				return true
			case <-ctx.Done():
				return false
			}
		})
		close(lines)
	}()
	for {
		batch := nextBatch(ctx, lines)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted after %d lines: run it again, lines that are in are reported as duplicates", e.total)
		}
		if len(batch) == 0 {
			break
		}
		e.enqueue(ctx, batch)
	}
	if err := <-readErr; err != nil {
		return fmt.Errorf("read input after line %d: %w", e.total, err)
	}
	return nil
}

// nextBatch waits for a line and takes those that are there behind it.
func nextBatch(ctx context.Context, lines <-chan inputLine) []inputLine {
	var batch []inputLine
	select {
	case l, ok := <-lines:
		if !ok {
			return nil
		}
		batch = append(batch, l)
	case <-ctx.Done():
		return nil
	}
	for size := len(batch[0].text); len(batch) < batchLines && size < batchBytes; {
		select {
		case l, ok := <-lines:
			if !ok {
				return batch
			}
			batch = append(batch, l)
			size += len(l.text)
		default:
			return batch
		}
	}
	return batch
}

// byteOrderMark is what some editors put before the first line.
var byteOrderMark = []byte("\ufeff")

// readLines passes on the lines that are not blank, until each returns false.
func readLines(in io.Reader, each func(inputLine) bool) error {
	r := bufio.NewReaderSize(in, 256<<10)
	for number := 1; ; number++ {
		text, size, err := readLine(r)
		if number == 1 {
			text = bytes.TrimPrefix(text, byteOrderMark)
		}
		if size > 0 && (len(bytes.TrimSpace(text)) > 0 || size > maxLine) {
			if !each(inputLine{number: number, text: text, size: size}) {
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readLine reads one line, of which it keeps no more than maxLine bytes.
func readLine(r *bufio.Reader) (text []byte, size int, err error) {
	for {
		part, err := r.ReadSlice('\n')
		size += len(part)
		if size <= maxLine+1 {
			text = append(text, part...)
		} else {
			text = nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, size, err
		}
	}
}

// enqueue parses and enqueues a batch and prints the results in the order of
// the lines.
func (e *enqueuer) enqueue(ctx context.Context, batch []inputLine) {
	results := make([]lineResult, len(batch))
	var requests []enqueue.Request
	var places []int
	read := 0
	for i, l := range batch {
		results[i].Line = l.number
		read += l.size
		r, err := parseLine(l)
		results[i].Key = r.Key
		if err != nil {
			results[i].fail(err, lineInvalid)
			continue
		}
		requests, places = append(requests, r), append(places, i)
	}
	for n, r := range e.tryBatch(ctx, requests) {
		results[places[n]].read(r)
	}
	for _, r := range results {
		e.total++
		e.counts[r.Status]++
		e.printer.result(r)
	}
	e.printer.progress(read, e.total)
}

func parseLine(l inputLine) (enqueue.Request, error) {
	if l.tooLong() {
		return enqueue.Request{}, fmt.Errorf("the line has %d bytes; a message has at most %d", l.size, intercom.MaxMessageBytes)
	}
	return enqueue.ParseLine(l.text)
}

// tryBatch tries again what Redis did not take. A request keeps its key, so
// that trying again cannot enqueue it twice.
func (e *enqueuer) tryBatch(ctx context.Context, requests []enqueue.Request) []enqueue.Result {
	const tries = 4
	results, _ := e.producer.EnqueueBatch(ctx, requests)
	for try := 1; try < tries; try++ {
		var again []enqueue.Request
		var places []int
		for i, r := range results {
			if r.Err != nil && statusOf(r.Err) == lineError {
				requests[i].Key = r.Key
				again, places = append(again, requests[i]), append(places, i)
			}
		}
		if len(again) == 0 {
			break
		}
		select {
		case <-time.After(time.Duration(try) * time.Second):
		case <-ctx.Done():
			return results
		}
		retried, _ := e.producer.EnqueueBatch(ctx, again)
		for n, r := range retried {
			results[places[n]] = r
		}
	}
	return results
}

func (r *lineResult) read(from enqueue.Result) {
	r.Key, r.Status = from.Key, string(from.Status)
	if from.Err != nil {
		r.fail(from.Err, statusOf(from.Err))
	}
}

func (r *lineResult) fail(err error, status string) { r.Status, r.Error = status, err.Error() }

func statusOf(err error) string {
	if _, ok := errors.AsType[*enqueue.ConflictError](err); ok {
		return lineConflict
	}
	if _, ok := errors.AsType[*intercom.ValidationError](err); ok {
		return lineInvalid
	}
	return lineError
}

func encodeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
