package enqueue

// OnePipeline lets messages that are enqueued at the same time share one
// pipeline rather than one of several. It must come before the first message.
func (c *Client) OnePipeline() { c.gatherers.of = c.gatherers.of[:1] }

// Waiting returns how many callers of Enqueue wait for a pipeline.
func (c *Client) Waiting() int {
	waiting := 0
	for _, g := range c.gatherers.of {
		g.mu.Lock()
		waiting += len(g.waiting)
		g.mu.Unlock()
	}
	return waiting
}
