package worker

import (
	"context"
	"sync"
	"time"
)

// gate holds attempts back while the rate limit is used up. It is open by
// default and safe for concurrent use.
type gate struct {
	mu    sync.Mutex
	until time.Time
}

// close keeps the gate shut until t, if it is not shut for longer.
func (g *gate) close(t time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.After(g.until) {
		g.until = t
	}
}

// closedUntil returns when the gate opens; a past time means it is open.
func (g *gate) closedUntil() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.until
}

// permit waits until the message may leave. It comes before begin, so that a
// worker that dies while it waits leaves no attempt of which nobody knows what
// it did.
func (w *Worker) permit(ctx context.Context, d *delivery) (err error) {
	d.leave, err = w.leave(ctx)
	return err
}

// waitForGate waits until the rate limit's window has room.
func (w *Worker) waitForGate(ctx context.Context) error {
	for {
		wait := w.gate.closedUntil().Sub(w.now())
		if wait <= 0 {
			return nil
		}
		if err := w.wait(ctx, wait); err != nil {
			return err
		}
	}
}
