package replies_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// redeliverAfter is short, so that tests need not wait long. On a machine under
// load consumers that live may be taken for dead, so it is not the shortest.
const redeliverAfter = time.Second

// consuming is a Redis with consumers of its reply events.
type consuming struct {
	t        *testing.T
	redis    *redistest.Server
	rdb      redis.UniversalClient
	logs     *observer.ObservedLogs
	log      *zap.Logger
	registry *prometheus.Registry
}

func newConsuming(t *testing.T, s *redistest.Server) *consuming {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	return &consuming{t: t, redis: s, rdb: s.Client(t), logs: logs, log: zap.New(core), registry: prometheus.NewRegistry()}
}

func onEachRedis(t *testing.T, run func(t *testing.T, c *consuming)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		run(t, newConsuming(t, s))
	})
}

type handler func(context.Context, replies.Event) error

// start starts a consumer and returns what ends it. It ends with the test.
func (c *consuming) start(group string, h handler, changes ...func(*replies.ConsumeConfig)) (stop func()) {
	c.t.Helper()
	cfg := replies.ConsumeConfig{
		Redis: c.rdb, RedeliverAfter: redeliverAfter, RetryDelay: 10 * time.Millisecond, MaxRetryDelay: 50 * time.Millisecond,
		Log: c.log, Metrics: c.registry,
	}
	for _, change := range changes {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	done := make(chan error, 1)
	go func() { done <- replies.Consume(ctx, cfg, group, h) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			require.NoError(c.t, err)
		case <-time.After(patience):
			c.t.Error("the consumer does not end")
		}
	})
	c.t.Cleanup(stop)
	return stop
}

// publish puts n events with the keys k-0, k-1, … into the stream.
func (c *consuming) publish(n int) []string {
	c.t.Helper()
	keys := make([]string, n)
	for i := range n {
		keys[i] = fmt.Sprintf("k-%d", i)
	}
	publish(c.t, c.rdb, keys...)
	return keys
}

// eventually waits until the condition holds.
func (c *consuming) eventually(what string, holds func() bool) {
	c.t.Helper()
	require.Eventually(c.t, holds, patience, 10*time.Millisecond, what)
}

// pending is how many events the consumers of the group orders have as they were
// read.
func (c *consuming) pending() int64 {
	c.t.Helper()
	p, err := c.rdb.XPending(c.t.Context(), ledger.ReplyStreamKey("main"), "orders").Result()
	require.NoError(c.t, err)
	return p.Count
}

// awaitDone waits until the group orders is done with all events.
func (c *consuming) awaitDone() {
	c.t.Helper()
	due, events := ledger.RetryRepliesKeys("main", "orders")
	c.eventually("done with all events", func() bool {
		return c.pending() == 0 && c.rdb.Exists(c.t.Context(), due, events).Val() == 0
	})
}

func (c *consuming) dead(group string) []replies.DeadEvent {
	c.t.Helper()
	events, err := replies.DeadEvents(c.t.Context(), c.rdb, replies.DeadQuery{Group: group})
	require.NoError(c.t, err)
	return events
}

// logged returns everything that was logged, as text.
func (c *consuming) logged() string {
	c.t.Helper()
	var text string
	enc := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for _, e := range c.logs.All() {
		line, err := enc.EncodeEntry(e.Entry, e.Context)
		require.NoError(c.t, err)
		text += line.String()
	}
	return text
}

// counted returns a counter of the group orders.
func (c *consuming) counted(outcome string) float64 {
	c.t.Helper()
	families, err := c.registry.Gather()
	require.NoError(c.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			l := m.GetLabel()
			if f.GetName() == "dispatch_reply_events_total" && l[0].GetValue() == "orders" && l[1].GetValue() == outcome {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// awaitCounted waits until the counter has that value. It is counted after Redis
// has recorded it.
func (c *consuming) awaitCounted(outcome string, n int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%d %s", n, outcome), func() bool { return c.counted(outcome) == float64(n) })
}

// inbox is what handlers have got.
type inbox struct {
	mu   sync.Mutex
	keys []string
}

// add is a handler.
func (i *inbox) add(_ context.Context, e replies.Event) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, e.Key)
	return nil
}

func (i *inbox) all() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string(nil), i.keys...)
}

func (i *inbox) len() int { return len(i.all()) }

// cutOff is a hook that breaks the connection to Redis for good, as seen by one
// client.
type cutOff struct {
	cut   atomic.Bool
	reads atomic.Int64
}

var errCut = errors.New("the connection is cut")

func (h *cutOff) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *cutOff) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if h.cut.Load() {
			cmd.SetErr(errCut)
			return errCut
		}
		if cmd.Name() == "xreadgroup" {
			h.reads.Add(1)
		}
		return next(ctx, cmd)
	}
}

// awaitPolls waits until the client has asked for events so often.
func (c *consuming) awaitPolls(h *cutOff, n int64) {
	c.t.Helper()
	c.eventually("it asks for events", func() bool { return h.reads.Load() >= n })
}

func (h *cutOff) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// die starts a consumer that gets one event and then is as good as dead: it
// neither ends its handler nor reaches Redis any more. It returns the event's
// key.
func (c *consuming) die(group string, changes ...func(*replies.ConsumeConfig)) string {
	c.t.Helper()
	hook := &cutOff{}
	rdb := c.redis.Client(c.t)
	rdb.AddHook(hook)
	got, forever := make(chan string, 1), make(chan struct{})
	stop := c.start(group, func(_ context.Context, e replies.Event) error {
		hook.cut.Store(true)
		got <- e.Key
		<-forever
		return errCut
	}, append(changes, func(cfg *replies.ConsumeConfig) { cfg.Redis, cfg.ShutdownTimeout = rdb, time.Millisecond })...)
	c.t.Cleanup(func() { // Before what start has left to do.
		hook.cut.Store(false) // Else it would try for long to record what happened.
		close(forever)
		stop()
	})
	return await(c.t, got)
}

// await waits for what a channel brings, such as its end.
func await[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited in vain for a handler")
		panic("unreachable")
	}
}
