package replies

import (
	"context"
	"errors"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
)

// maxErrorText is how many bytes of an error are kept in Redis.
const maxErrorText = 500

var (
	errPanicked    = errors.New("the handler panicked")
	errNotReturned = errors.New("the handler ended its goroutine")
)

// begin starts the handler of an event, for which a slot is reserved. An event
// that comes as ctx has ended goes back. So does one that this consumer has in
// hand: it was held too late, or the group was lost.
func (c *consumer) begin(ctx, handling, recording context.Context, d delivery) {
	c.handlers.Go(func() {
		defer c.release(1)
		if !c.hands.take(d) {
			c.giveBack(recording, d, c.look)
			return
		}
		defer c.hands.drop(d)
		if ctx.Err() != nil {
			c.giveBack(recording, d, 0)
			return
		}
		c.handle(handling, recording, d)
	})
}

// giveBack undoes a delivery. Where that fails, the event comes again when its
// lease is over.
func (c *consumer) giveBack(ctx context.Context, d delivery, wait time.Duration) {
	f := failure{deliveries: d.count - 1, wait: wait, text: "it was not handled yet"}
	if _, err := c.group.fail(context.WithoutCancel(ctx), d, f); err != nil {
		c.log.Warn("a reply event was not given back; it will come again later", zap.String("event_id", d.id), zap.Error(err))
	}
}

// handle calls the handler and records what it did.
func (c *consumer) handle(handling, recording context.Context, d delivery) {
	err := errNotReturned
	var e *Event
	defer func() {
		if v := recover(); v != nil {
			err = errPanicked
			c.log.Error("the handler of reply events panicked", zap.String("event_id", d.id), zap.ByteString("stack", debug.Stack()))
		}
		if err == nil {
			c.done(recording, d)
			return
		}
		c.fail(recording, d, e, err, errors.Is(context.Cause(handling), errStopped))
	}()
	if e, err = d.event(); err != nil {
		return
	}
	err = errNotReturned
	err = c.handler(handling, *e)
}

// done records that the event was handled, again and again until Redis takes
// it: while it is in hand nobody else gets it.
func (c *consumer) done(ctx context.Context, d delivery) {
	err := c.record(ctx, d, func(ctx context.Context) error { return c.group.done(ctx, d) })
	if err != nil {
		c.log.Error("a reply event was handled but not acknowledged; it will come again", zap.String("event_id", d.id), zap.Error(err))
		return
	}
	c.metrics.handled.Inc()
	c.metrics.delay.Observe(time.Since(publishedAt(d.id)).Seconds())
}

// fail records that the event, which is nil if it could not be read, was not
// handled. One that ended with the consumer does not count as delivered.
func (c *consumer) fail(ctx context.Context, d delivery, e *Event, cause error, stopped bool) {
	f := failure{deliveries: d.count, wait: c.wait(d.count), text: clip(cause.Error())}
	switch {
	case errors.Is(cause, ErrDead):
		f.dead = true
	case stopped:
		f.deliveries, f.wait = d.count-1, 0
	default:
		f.dead = d.count >= c.cfg.MaxDeliveries
	}
	kept := false
	err := c.record(ctx, d, func(ctx context.Context) (err error) {
		kept, err = c.group.fail(ctx, d, f)
		return err
	})
	log := c.log.With(zap.String("event_id", d.id), zap.Int("deliveries", d.count), zap.NamedError("cause", cause))
	if e != nil {
		log = log.With(zap.String("key", e.Key), zap.String("part_id", e.PartID))
	}
	switch {
	case err != nil:
		log.Error("a reply event was not handled, and that was not recorded; it will come again", zap.Error(err))
	case !kept:
		log.Info("a reply event was not handled, but has moved on to another consumer")
	case f.dead:
		c.metrics.dead.Inc()
		log.Error("a reply event is dead")
	case stopped:
		log.Info("a reply event goes back: the consumer ends")
	default:
		c.metrics.failed.Inc()
		log.Warn("a reply event was not handled; it will come again", zap.Duration("wait", f.wait))
	}
}

// wait is how long an event waits that has failed n times.
func (c *consumer) wait(n int) time.Duration {
	d := min(c.cfg.RetryDelay, c.cfg.MaxRetryDelay)
	for range n - 1 {
		if d >= c.cfg.MaxRetryDelay/3 {
			return c.cfg.MaxRetryDelay
		}
		d *= 3
	}
	return d
}

// record calls f until it succeeds or ctx ends, at least once.
func (c *consumer) record(ctx context.Context, d delivery, f func(context.Context) error) error {
	for first := true; ; first = false {
		// A call that was begun is given its time: it is bounded by itself.
		err := f(context.WithoutCancel(ctx))
		if err == nil {
			return nil
		}
		if first {
			c.log.Warn("what became of a reply event cannot be recorded yet", zap.String("event_id", d.id), zap.Error(err))
		}
		if !pause(ctx, c.look) {
			return err
		}
	}
}

// clip cuts a text to what is kept in Redis, and to valid UTF-8.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxErrorText {
		return s
	}
	s = s[:maxErrorText]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}
