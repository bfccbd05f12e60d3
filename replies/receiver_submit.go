package replies

import (
	"context"
	"errors"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

var (
	errManyWaiting = errors.New("too many notifications wait for the queue")
	errSlowQueue   = errors.New("the queue did not take the notification in time")
)

// submit hands the notification to the queue and waits for it no longer than the
// timeout, whatever the queue makes of its context. It takes over the body.
func (r *Receiver) submit(ctx context.Context, n *intercom.Notification, b *body) verdict {
	select {
	case r.waiting <- struct{}{}:
	default:
		b.release()
		return verdictBusy.about(n).because(errManyWaiting)
	}
	// A notification that is here is worth keeping, also if its sender has
	// hung up meanwhile: it may not come again.
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), r.cfg.Timeout, errSlowQueue)
	queued := make(chan error, 1)
	go func() {
		defer func() { <-r.waiting }() // Last: Close waits for it.
		defer cancel()
		err := r.cfg.Queue.QueueNotification(ctx, n, b.bytes)
		b.release()
		queued <- err
	}()
	select {
	case err := <-queued:
		return queueVerdict(err).about(n)
	case <-ctx.Done():
	}
	select {
	case err := <-queued: // It came with the end of the context, or with its own cancel.
		return queueVerdict(err).about(n)
	default:
		return verdictQueueFailed.about(n).because(context.Cause(ctx))
	}
}

func queueVerdict(err error) verdict {
	switch {
	case err == nil:
		return verdictQueued
	case errors.Is(err, ErrOtherApp):
		return verdictOtherApp.because(err)
	}
	return verdictQueueFailed.because(err)
}

// Close waits until the queue has answered for everything that it was given,
// or until ctx ends, with whose error it returns. Call it once, after the
// server that uses the receiver has ended: what comes later is answered 503.
func (r *Receiver) Close(ctx context.Context) error {
	for range cap(r.waiting) {
		select {
		case r.waiting <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
