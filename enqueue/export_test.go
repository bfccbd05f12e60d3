package enqueue

// Waiting returns how many callers of Enqueue wait for a pipeline.
func (c *Client) Waiting() int {
	c.gatherer.mu.Lock()
	defer c.gatherer.mu.Unlock()
	return len(c.gatherer.waiting)
}
