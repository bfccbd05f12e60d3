package replies

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// The defaults of ConsumeConfig.
const (
	DefaultMaxDeliveries   = 10
	DefaultRetryDelay      = time.Second
	DefaultMaxRetryDelay   = 30 * time.Minute
	DefaultRedeliverAfter  = 30 * time.Second
	DefaultShutdownTimeout = 20 * time.Second
)

// MaxGroupLength is the longest name of a group, in bytes.
const MaxGroupLength = 64

const (
	maxConsumeConcurrency = 1000
	// minRedeliverAfter leaves a live consumer time to say that it is there.
	minRedeliverAfter = 100 * time.Millisecond
)

// ErrDead in the error of a handler says that the event cannot be handled,
// however often it is delivered. It becomes a dead event at once:
//
//	return fmt.Errorf("there is no such order: %w", replies.ErrDead)
var ErrDead = errors.New("the event is not to be delivered again")

// ConsumeConfig configures Consume. What is zero has its default.
type ConsumeConfig struct {
	// Redis is the workers' Redis. Required; stays the caller's to close, after
	// Consume has returned. It needs two connections.
	Redis redis.UniversalClient
	// Workspace is ledger.DefaultWorkspace if empty.
	Workspace string
	// Consumer names the process to people who look at the group in Redis, such
	// as by its host. A random part is added: names must be unique.
	Consumer string
	// FromNow has a group that is new begin with the events that come from now
	// on, instead of with the oldest that is kept.
	FromNow bool
	// Concurrency is how many events are handled at a time; 1 if zero, at most
	// 1000.
	Concurrency int
	// MaxDeliveries is how often an event is delivered until it is dead; 10 if
	// zero. Deliveries that ended with the death of their consumer count.
	MaxDeliveries int
	// RetryDelay is how long an event waits whose handler failed for the first
	// time; 1 s if zero. Each further wait is three times as long, up to
	// MaxRetryDelay, 30 min if zero.
	RetryDelay, MaxRetryDelay time.Duration
	// RedeliverAfter is how long nothing must be heard of an event's consumer
	// until another one gets the event; 30 s if zero, at least 100 ms. A
	// consumer that lives keeps its events, however long they take. It should be
	// the same for all consumers of a group.
	RedeliverAfter time.Duration
	// ShutdownTimeout is how long handlers may go on when ctx has ended; 20 s if
	// zero. Then their contexts end.
	ShutdownTimeout time.Duration
	// RecordTTL is how long dead events are kept, and those that wait for
	// another delivery; ledger.DefaultTTL if zero. It should be the workers'.
	RecordTTL time.Duration
	// Log gets a line for each delivery that failed, with the handler's error.
	// Nothing is logged if it is nil.
	Log *zap.Logger
	// Metrics registers the metrics, if not nil. Several calls may share it.
	Metrics prometheus.Registerer
}

// Consume delivers the reply events of a workspace to a group until ctx ends,
// and returns nil then. Each group gets every event; the consumers of a group,
// in any number of processes, share them. An event is done with when the
// handler has returned nil.
//
// An event is delivered at least once. It comes again, to any consumer of the
// group, after a growing delay if the handler returned an error or panicked,
// and after RedeliverAfter if its consumer died or could not reach Redis for as
// long. So a handler has to know what it has handled: Event.PartID is the same
// each time. After MaxDeliveries, or at once with ErrDead, the event is kept as
// a dead event, which DeadEvents lists. One that cannot be read is dead, too.
// Others do not wait for an event that failed.
//
// With a Concurrency of 1 and one consumer in the group, events are first
// delivered in the order of the stream, each after the handler is done with the
// one before. Later deliveries have no place in that order, and with more
// handlers or consumers events are only begun in order.
//
// While Redis is away, Consume waits. A group that is not there is created, also
// where it was lost. When ctx ends no event is begun any more, and Consume
// returns when all handlers have and what they did is recorded; where Redis
// does not answer, at the latest some 20 s after ShutdownTimeout. A handler's context
// ends ShutdownTimeout after ctx; an event whose handler fails then comes again
// at once, and the delivery does not count.
//
// The error names the field of the configuration that is wrong. Errors of the
// handler are logged, and the last one is kept in Redis with an event that is
// to come again or is dead, cut to 500 bytes: they may hold anything, so the
// handler decides what is in them. The value of a panic is neither logged nor
// kept.
func Consume(ctx context.Context, cfg ConsumeConfig, group string, handler func(context.Context, Event) error) error {
	cfg = cfg.withDefaults()
	if err := errors.Join(cfg.validate(), checkGroup(group)); err != nil {
		return fmt.Errorf("replies: %w", err)
	}
	if handler == nil {
		return errors.New("replies: a handler is required")
	}
	metrics, err := newConsumeMetrics(cfg.Metrics, group)
	if err != nil {
		return err
	}
	newConsumer(cfg, group, handler, metrics).run(ctx)
	return nil
}

func (c ConsumeConfig) withDefaults() ConsumeConfig {
	setDefault(&c.Workspace, ledger.DefaultWorkspace)
	setDefault(&c.Concurrency, 1)
	setDefault(&c.MaxDeliveries, DefaultMaxDeliveries)
	setDefault(&c.RetryDelay, DefaultRetryDelay)
	setDefault(&c.MaxRetryDelay, DefaultMaxRetryDelay)
	setDefault(&c.RedeliverAfter, DefaultRedeliverAfter)
	setDefault(&c.ShutdownTimeout, DefaultShutdownTimeout)
	setDefault(&c.RecordTTL, ledger.DefaultTTL)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c ConsumeConfig) validate() error {
	switch {
	case c.Redis == nil:
		return errors.New("the field Redis is required")
	case c.Concurrency < 1 || c.Concurrency > maxConsumeConcurrency:
		return fmt.Errorf("the field Concurrency is %d; it must be 1 to %d", c.Concurrency, maxConsumeConcurrency)
	case c.MaxDeliveries < 1:
		return fmt.Errorf("the field MaxDeliveries is %d; it must be at least 1", c.MaxDeliveries)
	case c.RetryDelay < 0 || c.MaxRetryDelay < 0:
		return errors.New("the fields RetryDelay and MaxRetryDelay must not be negative")
	case c.RedeliverAfter < minRedeliverAfter:
		return fmt.Errorf("the field RedeliverAfter %s is too short: events would be taken from consumers that live; "+
			"use at least %s", c.RedeliverAfter, minRedeliverAfter)
	case c.ShutdownTimeout < 0:
		return errors.New("the field ShutdownTimeout must not be negative")
	case c.RecordTTL < time.Minute:
		return fmt.Errorf("the field RecordTTL %s is too short; use at least 1m, and the workers' --record-ttl at best", c.RecordTTL)
	}
	return ledger.CheckWorkspace(c.Workspace)
}

// checkGroup returns an error unless name is fit for Redis keys.
func checkGroup(name string) error {
	if name == "" || len(name) > MaxGroupLength {
		return fmt.Errorf("group %.80q must have 1 to %d characters", name, MaxGroupLength)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' {
			return fmt.Errorf("group %q may only have letters, digits, '-', '_' and '.'", name)
		}
	}
	return nil
}
