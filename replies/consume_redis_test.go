package replies_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// TestConsumersGoOnWhenRedisIsBack needs a real Redis, and so do the others here
// that restart it: miniredis answers no blocking command after a restart.
func TestConsumersGoOnWhenRedisIsBack(t *testing.T) {
	t.Parallel()
	c := newConsuming(t, redistest.Start(t, redistest.Options{AppendOnly: true, Fsync: "always"}))
	var i inbox
	handling, goOn := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	c.start("orders", func(ctx context.Context, e replies.Event) error {
		if calls.Add(1) == 1 {
			close(handling)
			<-goOn // It ends while Redis is away.
		}
		return i.add(ctx, e)
	}, func(cfg *replies.ConsumeConfig) { cfg.Concurrency = 2 })
	want := c.publish(5)
	await(t, handling)
	c.awaitCounted("handled", 4)
	c.redis.Kill()
	c.eventually("it is noticed", func() bool { return strings.Contains(c.logged(), "cannot be read") })
	close(goOn)
	c.eventually("the outcome waits", func() bool { return strings.Contains(c.logged(), "cannot be recorded yet") })
	c.redis.Restart()
	c.awaitCounted("handled", 5)
	publish(t, c.rdb, "after")
	c.eventually("it goes on", func() bool { return slices.Contains(i.all(), "after") })
	c.awaitDone()
	require.ElementsMatch(t, append(want, "after"), i.all())
	require.Equal(t, 1, strings.Count(c.logged(), "reply events cannot be read"), "said once")
}

func TestAConsumerMayStartBeforeRedis(t *testing.T) {
	t.Parallel()
	c := newConsuming(t, redistest.Start(t, redistest.Options{AppendOnly: true}))
	c.redis.Kill()
	var i inbox
	c.start("orders", i.add)
	c.eventually("it says that it waits", func() bool { return strings.Contains(c.logged(), "cannot be read") })
	c.redis.Restart()
	publish(t, c.rdb, "k")
	c.eventually("it is handled", func() bool { return i.len() == 1 })
}

func TestAConsumerEndsWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	c := newConsuming(t, redistest.Start(t, redistest.Options{}))
	var i inbox
	stop := c.start("orders", i.add)
	publish(t, c.rdb, "k")
	c.awaitCounted("handled", 1)
	c.redis.Kill()
	stop()
}

func TestAGroupThatIsLostIsCreatedAgain(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*consuming) error{
		"stream deleted": func(c *consuming) error {
			return c.rdb.Del(c.t.Context(), ledger.ReplyStreamKey("main")).Err()
		},
		"groups deleted": func(c *consuming) error {
			_, err := c.rdb.Pipelined(c.t.Context(), func(p redis.Pipeliner) error {
				p.XGroupDestroy(c.t.Context(), ledger.ReplyStreamKey("main"), "orders")
				p.XGroupDestroy(c.t.Context(), ledger.ReplyStreamKey("main"), "mails")
				return nil
			})
			return err
		},
		"everything deleted": func(c *consuming) error { return c.rdb.FlushAll(c.t.Context()).Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(t *testing.T, c *consuming) {
				t.Helper()
				var fromStart, fromNow inbox
				c.start("orders", fromStart.add)
				publish(t, c.rdb, "before")
				c.eventually("it is handled", func() bool { return fromStart.len() == 1 })
				c.start("mails", fromNow.add, func(cfg *replies.ConsumeConfig) { cfg.FromNow = true })
				c.awaitGroup("mails")
				publish(t, c.rdb, "old")
				c.eventually("it is handled", func() bool { return fromStart.len() == 2 && fromNow.len() == 1 })
				require.NoError(t, lose(c))
				c.awaitGroup("orders")
				c.awaitGroup("mails")
				publish(t, c.rdb, "after")
				c.eventually("they go on", func() bool {
					return slices.Contains(fromStart.all(), "after") && slices.Contains(fromNow.all(), "after")
				})
				c.awaitDone()
				require.Equal(t, []string{"old", "after"}, fromNow.all(), "nothing comes twice")
			})
		})
	}
}

// awaitGroup waits until the group is there.
func (c *consuming) awaitGroup(group string) {
	c.t.Helper()
	c.eventually("the group is there", func() bool {
		return c.rdb.XPending(c.t.Context(), ledger.ReplyStreamKey("main"), group).Err() == nil
	})
}

func TestAnEventInHandWhoseGroupIsLostIsNotHandledTwiceAtATime(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		c.publish(2)
		var deliveries, atATime, most atomic.Int64
		handling, goOn := make(chan struct{}), make(chan struct{})
		c.start("orders", func(_ context.Context, e replies.Event) error {
			if e.Key != "k-0" {
				return nil
			}
			most.Store(max(most.Load(), atATime.Add(1)))
			defer atATime.Add(-1)
			if deliveries.Add(1) == 1 {
				close(handling)
				<-goOn
			}
			return nil
		}, func(cfg *replies.ConsumeConfig) { cfg.Concurrency = 4 })
		await(t, handling)
		c.awaitCounted("handled", 1)
		require.NoError(t, c.rdb.XGroupDestroy(t.Context(), ledger.ReplyStreamKey("main"), "orders").Err())
		c.awaitCounted("handled", 2)
		due, _ := ledger.RetryRepliesKeys("main", "orders")
		c.eventually("this one was given back", func() bool { return c.rdb.ZCard(t.Context(), due).Val() == 1 })
		close(goOn)
		c.awaitDone()
		require.EqualValues(t, 1, most.Load())
		require.EqualValues(t, 1, deliveries.Load(), "what its handler did counts")
		require.Empty(t, c.dead(""))
	})
}

// TestAnEventThatIsHandledThroughAnOutageIsNotTakenAway has the connections cut
// rather than Redis stopped, so that the consumer that has the event is the last to
// come back.
func TestAnEventThatIsHandledThroughAnOutageIsNotTakenAway(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		const after = 3 * redeliverAfter / 2
		connect := func() (*cutOff, func(*replies.ConsumeConfig)) {
			hook, rdb := &cutOff{}, c.redis.Client(t)
			rdb.AddHook(hook)
			return hook, func(cfg *replies.ConsumeConfig) { cfg.Redis, cfg.RedeliverAfter = rdb, after }
		}
		busyHook, busyClient := connect()
		idleHook, idleClient := connect()
		var deliveries atomic.Int64
		handling, goOn := make(chan struct{}), make(chan struct{})
		h := func(context.Context, replies.Event) error {
			if deliveries.Add(1) == 1 {
				close(handling)
				<-goOn
			}
			return nil
		}
		c.start("orders", h, busyClient)
		publish(t, c.rdb, "k")
		await(t, handling)
		c.start("orders", h, idleClient)
		c.awaitPolls(idleHook, 2)
		busyHook.cut.Store(true)
		idleHook.cut.Store(true)
		time.Sleep(after + after/4) // For Redis, the event's time goes on.
		idleHook.cut.Store(false)
		c.eventually("the idle one is back", func() bool { return strings.Contains(c.logged(), "are read again") })
		time.Sleep(after / 4)
		busyHook.cut.Store(false)
		time.Sleep(3 * after / 2)
		require.EqualValues(t, 1, deliveries.Load())
		require.NotContains(t, c.logged(), "delivered again")
		close(goOn)
		c.awaitDone()
		require.EqualValues(t, 1, deliveries.Load())
	})
}
