package replies_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

func TestTheEventsOfADeadConsumerAreHandledByAnother(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		c := newConsuming(t, s)
		want := c.publish(10)
		require.Equal(t, "k-0", c.die("orders"))
		require.EqualValues(t, 1, c.pending())
		var i inbox
		c.start("orders", i.add)
		c.eventually("all are handled", func() bool { return i.len() == len(want) })
		require.Equal(t, append(want[1:], want[0]), i.all(), "the others do not wait for it")
		c.awaitDone()
		require.Empty(t, c.dead(""))
	})
}

func TestAnEventThatKillsItsConsumersEndsAsADeadEvent(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		c.publish(1)
		for range 3 {
			require.Equal(t, "k-0", c.die("orders", func(cfg *replies.ConsumeConfig) { cfg.MaxDeliveries = 3 }))
		}
		var i inbox
		c.start("orders", i.add, func(cfg *replies.ConsumeConfig) { cfg.MaxDeliveries = 3 })
		c.eventually("it is dead", func() bool { return len(c.dead("orders")) == 1 })
		d := c.dead("orders")[0]
		require.Equal(t, 3, d.Deliveries)
		require.Contains(t, d.Error, "the consumer ended")
		c.awaitCounted("dead", 1)
		publish(t, c.rdb, "next")
		c.eventually("the next is handled", func() bool { return i.len() == 1 })
		require.Equal(t, []string{"next"}, i.all())
	})
}

// TestASlowHandlersEventIsNotDeliveredToAnother is about first deliveries, and
// about later ones, which are held in another way.
func TestASlowHandlersEventIsNotDeliveredToAnother(t *testing.T) {
	t.Parallel()
	for name, failures := range map[string]int{"first delivery": 0, "second delivery": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(t *testing.T, c *consuming) {
				t.Helper()
				c.publish(1)
				var deliveries atomic.Int64
				slow, goOn := make(chan struct{}), make(chan struct{})
				h := func(context.Context, replies.Event) error {
					switch n := int(deliveries.Add(1)) - 1; {
					case n < failures:
						return errBroken
					case n == failures:
						close(slow)
						<-goOn
					}
					return nil
				}
				c.start("orders", h)
				c.start("orders", h)
				await(t, slow)
				// Nothing is to happen, so there is nothing to wait for but time.
				time.Sleep(5 * redeliverAfter / 2)
				require.EqualValues(t, failures+1, deliveries.Load())
				if c.redis.Real() && failures == 0 {
					pending, err := c.rdb.XPendingExt(t.Context(), &redis.XPendingExtArgs{
						Stream: ledger.ReplyStreamKey("main"), Group: "orders", Start: "-", End: "+", Count: 10,
					}).Result()
					require.NoError(t, err)
					require.Len(t, pending, 1)
					require.EqualValues(t, 1, pending[0].RetryCount, "holding on is no delivery")
				}
				close(goOn)
				c.awaitDone()
				require.EqualValues(t, failures+1, deliveries.Load())
			})
		})
	}
}

func TestEventsThatWereTrimmedWhilePendingAreDroppedAndCounted(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		stream := ledger.ReplyStreamKey("main")
		c.publish(3)
		require.NoError(t, c.rdb.XGroupCreate(t.Context(), stream, "orders", "0").Err())
		// A consumer in any language, which dies.
		res, err := c.rdb.XReadGroup(t.Context(), &redis.XReadGroupArgs{
			Group: "orders", Consumer: "dead", Streams: []string{stream, ">"}, Count: 10, Block: -1,
		}).Result()
		require.NoError(t, err)
		require.Len(t, res[0].Messages, 3)
		require.NoError(t, c.rdb.XTrimMinID(t.Context(), stream, res[0].Messages[2].ID).Err())
		var i inbox
		c.start("orders", i.add)
		c.eventually("the one that is left is handled", func() bool { return i.len() == 1 })
		require.Equal(t, []string{"k-2"}, i.all())
		c.awaitDone()
		c.awaitCounted("trimmed", 2)
		require.Contains(t, c.logged(), "older than the record TTL")
	})
}

func TestAnEventThatIsTrimmedWhileItsHandlerFailsIsNotLost(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		c.publish(1)
		var deliveries atomic.Int64
		handling, goOn := make(chan string), make(chan struct{})
		c.start("orders", func(_ context.Context, e replies.Event) error {
			if deliveries.Add(1) > 1 {
				return nil
			}
			handling <- e.ID
			<-goOn
			return errBroken
		})
		require.NoError(t, c.rdb.XDel(t.Context(), ledger.ReplyStreamKey("main"), await(t, handling)).Err())
		if c.redis.Real() {
			c.eventually("Redis forgets that it was pending", func() bool { return c.pending() == 0 })
		}
		close(goOn)
		c.awaitCounted("handled", 1)
		c.awaitDone()
		require.EqualValues(t, 2, deliveries.Load())
	})
}

func TestConsumersThatAreGoneLeaveTheGroup(t *testing.T) {
	t.Parallel()
	// Miniredis does not keep track of what it has heard of consumers.
	c := newConsuming(t, redistest.Start(t, redistest.Options{}))
	stream := ledger.ReplyStreamKey("main")
	consumers := func() []string {
		list, err := c.rdb.XInfoConsumers(t.Context(), stream, "orders").Result()
		require.NoError(t, err)
		var names []string
		for _, one := range list {
			names = append(names, one.Name)
		}
		return names
	}
	require.NoError(t, c.rdb.XGroupCreateMkStream(t.Context(), stream, "orders", "0").Err())
	require.NoError(t, c.rdb.XGroupCreateConsumer(t.Context(), stream, "orders", "dead").Err())
	quick := func(cfg *replies.ConsumeConfig) { cfg.RedeliverAfter, cfg.Consumer = 200*time.Millisecond, "host" }
	var i inbox
	stop := c.start("orders", i.add, quick)
	c.eventually("the dead one leaves", func() bool { return !slices.Contains(consumers(), "dead") })
	// Redis 7.0 hears nothing of a consumer that gets no events, so this one may
	// be taken out, too. It does not matter.
	time.Sleep(5 * time.Second / 2)
	publish(t, c.rdb, "k")
	c.eventually("it is handled", func() bool { return i.len() == 1 })
	require.Len(t, consumers(), 1)
	require.Contains(t, consumers()[0], "host-")
	stop()
	require.Empty(t, consumers(), "one that ends leaves by itself")
}

func TestWhatGoRedisSendsAgainIsDoneOnce(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		rdb := c.redis.Client(t)
		rdb.AddHook(redistest.Twice{})
		c.publish(3)
		var deliveries [3]atomic.Int64
		c.start("orders", func(_ context.Context, e replies.Event) error {
			switch n := deliveries[e.Key[2]-'0'].Add(1); {
			case e.Key == "k-1":
				return replies.ErrDead
			case e.Key == "k-2" && n == 1:
				return errBroken
			}
			return nil
		}, func(cfg *replies.ConsumeConfig) { cfg.Redis = rdb })
		c.awaitCounted("handled", 2)
		c.awaitDone()
		require.EqualValues(t, 1, deliveries[0].Load())
		require.EqualValues(t, 1, deliveries[1].Load())
		require.EqualValues(t, 2, deliveries[2].Load())
		c.awaitCounted("dead", 1)
		c.awaitCounted("failed", 1)
		require.Len(t, c.dead("orders"), 1)
		require.NotContains(t, c.logged(), "moved on")
		require.NoError(t, replies.RedeliverDead(t.Context(), rdb, "", c.dead("orders")[0].ID, 0))
		c.eventually("it is dead again", func() bool { return deliveries[1].Load() == 2 && len(c.dead("orders")) == 1 })
	})
}
