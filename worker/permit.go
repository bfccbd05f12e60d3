package worker

import (
	"context"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

// limiter is the part of *ratelimit.Limiter that deliveries need.
type limiter interface {
	TryAcquire(c ratelimit.Class) *ratelimit.Permit
	Acquire(ctx context.Context, c ratelimit.Class) (*ratelimit.Permit, error)
}

// permit waits until the message may leave. It comes before begin, so that a
// worker that dies while it waits leaves no attempt of which nobody knows what
// it did.
func (w *Worker) permit(ctx context.Context, d *delivery) (err error) {
	d.leave, err = w.leave(ctx, d.class())
	return err
}

func (d *delivery) class() ratelimit.Class {
	if d.task.Priority == task.High {
		return ratelimit.Urgent
	}
	return ratelimit.Normal
}

// acquire waits for a permit of the rate limit, unless the task ends or the
// worker is told to stop.
func (w *Worker) acquire(ctx context.Context, c ratelimit.Class) (*ratelimit.Permit, error) {
	if p := w.limiter.TryAcquire(c); p != nil {
		return p, nil
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	stopped := context.AfterFunc(w.stopCtx, cancel)
	defer stopped()
	p, err := w.limiter.Acquire(waiting, c)
	if err != nil && ctx.Err() == nil {
		return nil, w.shuttingDown()
	}
	return p, err
}
