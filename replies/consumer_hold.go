package replies

import (
	"context"
	"maps"
	"sync"
	"time"
)

// hands are the events that are being handled: the tokens of their deliveries,
// by their ids. It is safe for concurrent use.
type hands struct {
	mu     sync.Mutex
	tokens map[string]string
}

// take returns false if the event is in hand already.
func (h *hands) take(d delivery) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, there := h.tokens[d.id]; there {
		return false
	}
	h.tokens[d.id] = d.token
	return true
}

func (h *hands) drop(d delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.tokens, d.id)
}

func (h *hands) list() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.tokens)
}

// hold says again and again which events are in hand, until ctx ends. What was
// missed because Redis did not answer is made up for soon.
func (c *consumer) hold(ctx context.Context) {
	for wait := c.cfg.RedeliverAfter / 4; pause(ctx, wait); {
		wait = c.cfg.RedeliverAfter / 4
		events := c.hands.list()
		if len(events) == 0 {
			continue
		}
		if err := c.group.hold(ctx, events); err != nil {
			wait = min(wait, time.Second)
		}
	}
}
