package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
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

// enqueuer takes lines to Redis.
type enqueuer struct {
	producer *enqueue.Client
	printer  *resultPrinter
	counts   map[string]int
	total    int
}

// parsersAhead is how many batches are parsed, or wait to be sent, while one is
// sent. With the bounds of a batch it bounds what is in memory.
const parsersAhead = 3

func (e *enqueuer) run(ctx context.Context, in io.Reader) error {
	batches := make(chan *batch, parsersAhead)
	readErr := make(chan error, 1)
	// The reader may be stuck in a read of standard input when ctx ends;
	// nothing can end that but the process.
	go func() {
		defer close(batches)
		var parsing sync.WaitGroup
		defer parsing.Wait()
		readErr <- readBatches(in, func(b *batch) bool {
			select {
			case batches <- b:
				parsing.Go(b.parse)
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	for {
		b := nextBatch(ctx, batches)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted after %d lines: run it again, lines that are in are reported as duplicates", e.total)
		}
		if b == nil {
			break
		}
		e.enqueue(ctx, b)
	}
	if err := <-readErr; err != nil {
		return fmt.Errorf("read input after line %d: %w", e.total, err)
	}
	return nil
}

// nextBatch waits for a batch and until it is parsed. It returns nil at the end
// of the input.
func nextBatch(ctx context.Context, batches <-chan *batch) *batch {
	select {
	case b, ok := <-batches:
		if !ok {
			return nil
		}
		<-b.parsed
		return b
	case <-ctx.Done():
		return nil
	}
}

// enqueue sends a batch and prints the results in the order of the lines.
func (e *enqueuer) enqueue(ctx context.Context, b *batch) {
	for n, r := range e.tryBatch(ctx, b.requests) {
		b.results[b.places[n]].read(r)
	}
	for _, r := range b.results {
		e.total++
		e.counts[r.Status]++
		e.printer.result(r)
	}
	e.printer.progress(b.read, e.total)
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
