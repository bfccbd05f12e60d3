package replies

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// maxLook is how often a consumer looks for events that are due again. It
	// bounds how late the end of the context is seen.
	maxLook = time.Second
	// recordTimeout is how long what handlers did is still recorded after
	// ShutdownTimeout.
	recordTimeout = 10 * time.Second
	// silentFactor times RedeliverAfter is how long nothing is heard of a consumer
	// until it is removed. Its events are gone from it long before.
	silentFactor = 10
)

// errStopped is why contexts of handlers end.
var errStopped = errors.New("the consumer was told to stop")

// consumer is one call of Consume. It has as many slots as it may handle
// events at a time, and asks for no more events than there are free slots: what
// is delivered to it is handled at once, so that nothing waits here while
// another consumer is free.
type consumer struct {
	cfg     ConsumeConfig
	group   group
	handler func(context.Context, Event) error
	metrics consumeMetrics
	log     *zap.Logger

	slots    chan struct{}
	handlers sync.WaitGroup
	hands    hands
	outage   outage

	// The rest belongs to dispatch.
	start     string // where the group begins; empty before that is known
	created   bool
	seq       int
	look      time.Duration
	nextLook  time.Time
	nextPrune time.Time
}

func newConsumer(cfg ConsumeConfig, name string, handler func(context.Context, Event) error, m consumeMetrics) *consumer {
	id := rand.Text()
	if cfg.Consumer != "" {
		id = cfg.Consumer + "-" + id
	}
	log := cfg.Log.With(zap.String("workspace", cfg.Workspace), zap.String("group", name), zap.String("consumer", id))
	return &consumer{
		cfg: cfg, handler: handler, metrics: m, log: log,
		group: group{
			rdb: cfg.Redis, workspace: cfg.Workspace, name: name, ttl: cfg.RecordTTL, consumer: id,
			after: cfg.RedeliverAfter, maxDeliveries: cfg.MaxDeliveries,
		},
		slots:  make(chan struct{}, cfg.Concurrency),
		hands:  hands{tokens: map[string]string{}},
		outage: outage{log: log, answered: time.Now()},
		look:   min(maxLook, cfg.RedeliverAfter/4),
	}
}

// run consumes until ctx ends and all handlers have returned. Events are held
// until then.
func (c *consumer) run(ctx context.Context) {
	handling, stopHandlers := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopHandlers(nil)
	recording, stopRecording := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRecording()
	holding, stopHolding := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHolding()
	var holder sync.WaitGroup
	holder.Go(func() { c.hold(holding) })

	c.dispatch(ctx, handling, recording)

	defer time.AfterFunc(c.cfg.ShutdownTimeout, func() { stopHandlers(errStopped) }).Stop()
	defer time.AfterFunc(c.cfg.ShutdownTimeout+recordTimeout, stopRecording).Stop()
	c.handlers.Wait()
	stopHolding()
	holder.Wait()
	if err := c.group.prune(recording, silentFactor*c.cfg.RedeliverAfter, true); err != nil {
		c.log.Debug("the consumer did not leave its group", zap.Error(err))
	}
}

// dispatch starts a handler for each event, until ctx ends.
func (c *consumer) dispatch(ctx, handling, recording context.Context) {
	for {
		free := c.reserve(ctx)
		if free == 0 {
			return
		}
		events, err := c.next(ctx, free)
		c.release(free - len(events))
		for _, d := range events {
			c.begin(ctx, handling, recording, d)
		}
		if ctx.Err() != nil {
			return
		}
		c.reached(ctx, err)
	}
}

// reserve waits until a slot is free and takes all that are; none if ctx has
// ended.
func (c *consumer) reserve(ctx context.Context) (free int) {
	select {
	case <-ctx.Done():
		return 0
	case c.slots <- struct{}{}:
	}
	for free = 1; free < cap(c.slots); free++ {
		select {
		case c.slots <- struct{}{}:
		default:
			return free
		}
	}
	return free
}

func (c *consumer) release(n int) {
	for range n {
		<-c.slots
	}
}

// next returns at most n events, none if none come for a while.
func (c *consumer) next(ctx context.Context, n int) ([]delivery, error) {
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	c.seq++
	token := fmt.Sprintf("%s.%d", c.group.consumer, c.seq)
	if !c.outage.failing && !time.Now().Before(c.nextLook) {
		events, err := c.takeDue(ctx, n, token)
		if err != nil || len(events) > 0 {
			return events, err
		}
	}
	events, err := c.group.read(ctx, n, c.look, token)
	if len(events) > 0 && c.cfg.FromNow {
		c.start = events[len(events)-1].id
	}
	return events, err
}

// open creates the group if it is not there, or no longer.
func (c *consumer) open(ctx context.Context) (err error) {
	if c.created {
		return nil
	}
	if c.start == "" {
		if c.start, err = tailStart(ctx, c.cfg.Redis, c.group.stream(), !c.cfg.FromNow); err != nil {
			c.start = ""
			return fmt.Errorf("read reply events: %w", err)
		}
	}
	created, err := c.group.create(ctx, c.start)
	if err != nil {
		return err
	}
	c.created = true
	if created {
		c.log.Info("group of reply events created", zap.String("begins_after", c.start))
	}
	return nil
}

// takeDue returns events that are due for another delivery. While there are more
// than it takes, the next look follows at once.
func (c *consumer) takeDue(ctx context.Context, n int, token string) ([]delivery, error) {
	if now := time.Now(); now.After(c.nextPrune) {
		c.nextPrune = now.Add(2 * c.cfg.RedeliverAfter)
		if err := c.group.prune(ctx, silentFactor*c.cfg.RedeliverAfter, false); err != nil {
			return nil, err
		}
	}
	t, err := c.group.take(ctx, n, token)
	if err != nil {
		return nil, err
	}
	if len(t.events) < n {
		c.nextLook = time.Now().Add(c.look)
	}
	c.metrics.waiting.Set(float64(t.waiting))
	if t.moved > 0 {
		c.log.Warn("reply events of consumers that are gone are delivered again", zap.Int64("events", t.moved))
	}
	if t.trimmed > 0 {
		c.metrics.trimmed.Add(float64(t.trimmed))
		c.log.Warn("reply events of consumers that are gone are older than the record TTL", zap.Int64("events", t.trimmed))
	}
	for _, id := range t.dead {
		c.metrics.dead.Inc()
		c.log.Error("a reply event is dead: its consumers ended before the handler did", zap.String("event_id", id))
	}
	return t.events, nil
}

// reached notes whether Redis answered, and waits a moment if it did not.
func (c *consumer) reached(ctx context.Context, err error) {
	if noGroup(err) {
		c.created = false
		c.log.Warn("the group of reply events is gone")
		pause(ctx, c.look)
		return
	}
	// While nobody could reach Redis nobody could hold on to events either:
	// those that live get the time to do so.
	if c.outage.note(err) > c.cfg.RedeliverAfter/2 {
		c.nextLook = time.Now().Add(c.cfg.RedeliverAfter)
	}
	if err != nil {
		pause(ctx, c.look)
	}
}

// pause tells whether the context is still alive after d.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
