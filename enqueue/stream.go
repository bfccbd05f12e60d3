package enqueue

import (
	"context"
	"sync"
)

// chunkLength is how many messages of a batch go into one pipeline: few, so that
// the next can be prepared while Redis has the last.
const chunkLength = 200

// stream enqueues a batch, of which it prepares one part while another is under
// way. One pipeline at a time keeps the order.
func (c *Client) stream(ctx context.Context, requests []Request, results []Result) {
	if len(requests) <= chunkLength {
		_ = c.run(ctx, c.prepareAll(ctx, requests, results)) // Each job has its own.
		return
	}
	chunks := make(chan []*job, 1)
	var sending sync.WaitGroup
	sending.Go(func() {
		var err error
		for jobs := range chunks {
			if err != nil {
				skip(jobs, err)
				continue
			}
			err = c.run(ctx, jobs)
		}
	})
	for len(requests) > 0 {
		n := min(len(requests), chunkLength)
		chunks <- c.prepareAll(ctx, requests[:n], results[:n])
		requests, results = requests[n:], results[n:]
	}
	close(chunks)
	sending.Wait()
}

// prepareAll returns the jobs of the requests that are valid.
func (c *Client) prepareAll(ctx context.Context, requests []Request, results []Result) []*job {
	jobs := make([]*job, 0, len(requests))
	for i := range requests {
		key, j, err := c.prepare(ctx, &requests[i])
		results[i] = Result{Key: key, Err: err}
		if err != nil {
			continue
		}
		j.result = &results[i]
		jobs = append(jobs, j)
	}
	return jobs
}
